//! The page where a person chooses an account.
//! Not here: how it looks.

use fake_m365::{Login, TENANT};

use crate::app::App;
use crate::http::{Answer, form, send};

fn with_page() -> App {
    let app = App::new();
    app.fake.set(|settings| settings.login = Login::Page);
    app
}

/// Presses the button of a person, or Cancel.
fn press(app: &App, page: &Answer, button: &str) -> Answer {
    assert_eq!(page.status, 200, "{page:?}");
    let at = page.body.split("name=\"login\" value=\"").nth(1).unwrap();
    let login = at.split('"').next().unwrap();
    let value = page.body.split("name=\"user\" value=\"").skip(1).find(|rest| rest.contains(button)).unwrap();
    let body = form(&[("login", login), ("user", value.split('"').next().unwrap())]);
    let headers = ["Content-Type: application/x-www-form-urlencoded"];
    send(&app.fake.base(), "POST", &format!("/{TENANT}/login"), &headers, &body).unwrap()
}

#[test]
fn a_person_is_chosen_and_goes_back_with_a_code() {
    let app = with_page();
    let answer = press(&app, &app.authorize(&[]), "이준호");
    assert_eq!(answer.redirected("state").as_deref(), Some("the state"));
    let tokens = app.redeem(&answer.redirected("code").unwrap(), &[]).json();
    assert_eq!(crate::app::claims(&tokens)["name"], "이준호");
}

#[test]
fn whoever_leaves_the_page_is_denied() {
    let app = with_page();
    let answer = press(&app, &app.authorize(&[]), "Cancel");
    assert_eq!(answer.redirected("error").as_deref(), Some("access_denied"));
    assert_eq!(answer.redirected("error_subcode").as_deref(), Some("cancel"));
}

#[test]
fn hints_make_the_choice_smaller() {
    let app = with_page();
    let people = |changes: &[crate::app::Change<'_>]| {
        let page = app.authorize(changes).body;
        ["minji@", "junho@", "anna@"].into_iter().filter(|alias| page.contains(alias)).count()
    };
    assert_eq!(people(&[]), 3);
    assert_eq!(people(&[("login_hint", Some("anna@sandbox.example"))]), 1);
    assert_eq!(people(&[("domain_hint", Some("sandbox.example"))]), 3);
    assert_eq!(people(&[("domain_hint", Some("elsewhere.example"))]), 3, "nobody fits: everybody");
}

#[test]
fn a_second_login_in_the_same_browser_needs_no_choice_unless_one_is_asked_for() {
    let app = with_page();
    let first = press(&app, &app.authorize(&[]), "Anna");
    let cookie = format!("Cookie: {}", first.header("set-cookie").unwrap().split(';').next().unwrap());
    assert!(app.get(&app.authorize_path(&[]), &[&cookie]).redirected("code").is_some());
    for prompt in ["login", "select_account"] {
        assert_eq!(app.get(&app.authorize_path(&[("prompt", Some(prompt))]), &[&cookie]).status, 200, "{prompt}");
    }
    assert!(app.get(&format!("/{TENANT}/logout"), &[]).header("set-cookie").unwrap().contains("Max-Age=0"));
}

#[test]
fn names_stand_on_the_page_as_text() {
    let app = with_page();
    let mut user = fake_m365::sandbox_users().remove(0);
    user.display_name = "<script>alert(1)</script>".to_owned();
    app.fake.add_user(user);
    let page = app.authorize(&[]).body;
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
}
