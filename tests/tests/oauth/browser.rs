//! People in Chromium.
//! Not here: how the pages look; `SCREENSHOTS=DIR` leaves pictures of them to look at.

use std::path::{Path, PathBuf};

use e2e::skip;

use crate::clients::node;
use crate::stand::{Stand, installed, repository};

/// As distributions and Google call it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

fn chromium() -> Option<PathBuf> {
    let directories = ["/usr/bin", "/usr/local/bin", "/snap/bin"];
    directories.iter().flat_map(|dir| NAMES.map(|name| Path::new(dir).join(name))).find(|path| path.exists())
}

fn browse(test: &str, scenario: &str) {
    let Some(chromium) = chromium().filter(|_| installed().join("installed").exists()) else {
        return skip(test, "there is no Chromium, or the clients are not installed: run tests/clients/install");
    };
    let stand = Stand::prepare("page", |file| file);
    stand.stack.cli(&["start", "oauth"]).succeeded();
    let script = repository().join("tests/clients/browser.mjs");
    let (issuer, resource) = (stand.url("OAUTH"), format!("{}/messages", stand.url("MAIL")));
    let paths = [script, chromium, stand.data_dir()].map(|path| path.display().to_string());
    let [script, chromium, data] = &paths;
    stand.run(&[&node(), script, scenario, chromium, &issuer, &resource, data], &[]);
    stand.kept_the_rules();
}

#[test]
fn a_person_who_agrees_and_signs_in_comes_back_with_what_was_agreed_to() {
    browse("a_person_who_agrees_and_signs_in_comes_back_with_what_was_agreed_to", "agrees");
}

#[test]
fn a_person_who_denies_or_leaves_the_login_comes_back_with_an_error() {
    browse("a_person_who_denies_or_leaves_the_login_comes_back_with_an_error", "denies");
}

#[test]
fn a_question_that_is_too_old_or_was_answered_leads_nowhere() {
    browse("a_question_that_is_too_old_or_was_answered_leads_nowhere", "comes_late");
}

#[test]
fn a_second_person_at_the_same_client_signs_in_for_themselves() {
    browse("a_second_person_at_the_same_client_signs_in_for_themselves", "is_second");
}

#[test]
fn every_page_fits_a_desktop_and_a_phone_in_both_languages() {
    browse("every_page_fits_a_desktop_and_a_phone_in_both_languages", "pages");
}
