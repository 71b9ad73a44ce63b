//! What goes wrong in the middle of a login: the service dies or is restarted, Entra is away or refuses.
//! Not here: logins without trouble.

use e2e::{Signal, raw_over_tcp, send};
use serde_json::json;

use crate::flow::{Flow, value};
use crate::stand::Stand;

fn stand() -> Stand {
    // Five deaths in a row would make the waits grow, which is not what is looked at here.
    let at_once = "[services.oauth]\nrestart = { delay = '0s' }\n";
    let stand = Stand::prepare("auto", |file| file.replace("[services.oauth]\n", at_once));
    stand.stack.cli(&["start", "oauth"]).succeeded();
    stand
}

impl Stand {
    /// `kill -9`. What is asked next waits on the socket that the supervisor holds.
    #[track_caller]
    fn kill_oauth(&self) {
        send(self.stack.pid("oauth"), Signal::SIGKILL);
    }

    #[track_caller]
    fn script(&self, script: &serde_json::Value) {
        let body = script.to_string();
        let text = format!(
            "POST /_control/scripts HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw_over_tcp(("127.0.0.1", self.port("TENANT")), text.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn a_login_goes_through_although_the_service_is_killed_between_any_two_steps() {
    let stand = stand();
    let mut flow = Flow::register(&stand);
    stand.kill_oauth();
    let question = flow.ask();
    stand.kill_oauth();
    let login = flow.agree(&question);
    stand.kill_oauth();
    let back = flow.log_in(&login);
    let came = flow.come_back(&back);
    stand.kill_oauth();
    let first = flow.redeem(value(&came, "code"));
    stand.kill_oauth();
    let second = flow.refresh(first["refresh_token"].as_str().expect("there is one"));
    assert!(second["access_token"].is_string(), "{second}");
    stand.stack.wait_until("oauth", "killed five times", |service| service.restarts() == 5);
    stand.kept_the_rules();
}

#[test]
fn a_login_goes_through_although_the_service_is_restarted_in_its_middle() {
    let stand = stand();
    let mut flow = Flow::register(&stand);
    let question = flow.ask();
    stand.stack.cli(&["restart", "oauth"]).succeeded();
    let back = flow.log_in(&flow.agree(&question));
    stand.stack.cli(&["restart", "oauth"]).succeeded();
    let tokens = flow.redeem(value(&flow.come_back(&back), "code"));
    assert!(tokens["access_token"].is_string(), "{tokens}");
    stand.kept_the_rules();
}

#[test]
fn when_entra_is_away_the_client_is_told_and_the_next_login_works() {
    let stand = stand();
    let mut flow = Flow::register(&stand);
    stand.script(&json!({"on": "redeem", "then": {"error": "transient"}}));
    let came = flow.whole();
    assert_eq!((value(&came, "error"), value(&came, "state")), ("temporarily_unavailable", "state"));
    stand.script(&json!({"on": "redeem", "then": "lose_answer"}));
    let mut flow = Flow::register(&stand);
    assert_eq!(value(&flow.whole(), "error"), "temporarily_unavailable");
    let mut flow = Flow::register(&stand);
    let came = flow.whole();
    assert!(flow.redeem(value(&came, "code"))["access_token"].is_string());
    stand.kept_the_rules();
}

#[test]
fn what_a_person_refuses_at_entra_is_told_as_access_denied() {
    let stand = stand();
    for error in ["access_denied", "consent_required", "interaction_required"] {
        stand.script(&json!({"on": "authorize", "then": {"error": error}}));
        let came = Flow::register(&stand).whole();
        assert_eq!(value(&came, "error"), "access_denied", "{error}");
        assert_eq!(value(&came, "iss"), stand.url("OAUTH"));
        assert!(!came.iter().any(|(name, text)| name == "code" || text.contains("AADSTS")), "{came:?}");
    }
    stand.kept_the_rules();
}
