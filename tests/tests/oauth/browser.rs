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

/// Each is a function of `browser.mjs`.
const SCENARIOS: [&str; 5] = ["agrees", "denies", "comes_late", "is_second", "pages"];

#[test]
fn people_in_a_browser_get_what_they_agreed_to_and_nobody_elses() {
    let Some(chromium) = chromium().filter(|_| installed().join("installed").exists()) else {
        let test = "people_in_a_browser_get_what_they_agreed_to_and_nobody_elses";
        return skip(test, "there is no Chromium, or the clients are not installed: run tests/clients/install");
    };
    let stand = Stand::prepare("page", |file| file);
    stand.stack.cli(&["start", "oauth"]).succeeded();
    let script = repository().join("tests/clients/browser.mjs");
    let (issuer, resource) = (stand.url("OAUTH"), format!("{}/messages", stand.url("MAIL")));
    let paths = [script, chromium, stand.data_dir()].map(|path| path.display().to_string());
    let [script, chromium, data] = &paths;
    let told = stand.run("browser", &[&node(), script, chromium, &issuer, &resource, data]);
    assert_eq!(told.lines().collect::<Vec<_>>(), SCENARIOS);
    stand.kept_the_rules();
}
