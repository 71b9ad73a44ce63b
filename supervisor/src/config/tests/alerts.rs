//! `[[alerts]]`: defaults, ways, and what is refused.
//! Not here: what alerts do.

use std::time::Duration;

use super::*;

fn alert(lines: &str) -> Alert {
    stack(&format!("{SERVICE}[[alerts]]\n{lines}")).alerts.remove(0)
}

fn refused(lines: &str) -> String {
    problems(&format!("{SERVICE}[[alerts]]\n{lines}")).join("; ")
}

const SERVICE: &str = "[services.web]\ncommand = 'x'\n";

#[test]
fn an_alert_tells_everything_but_single_crashes_of_all_services() {
    let alert = alert("slack = 'https://h/x'");
    assert_eq!(alert.name, "slack");
    assert!(!alert.on.contains(&Occasion::Crash) && alert.on.len() == Occasion::TOLD.len() - 1);
    assert!(alert.is_about("web") && alert.is_about("anything"));
    assert_eq!((alert.min_interval, alert.log_lines), (Duration::from_secs(300), 20));
    assert_eq!(alert.way, Way::Slack(Hidden::Text("https://h/x".to_owned())));
}

#[test]
fn alerts_without_names_are_told_apart() {
    let stack =
        stack("[[alerts]]\nslack = 'https://h/x'\n[[alerts]]\nslack = 'https://h/x'\n[[alerts]]\ndesktop = true");
    let names: Vec<&str> = stack.alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names, ["slack", "slack-2", "desktop"]);
}

#[test]
fn an_alert_without_a_name_is_known_by_whom_it_leads_to() {
    let keys = |text: &str| -> Vec<String> { stack(text).alerts.into_iter().map(|alert| alert.key).collect() };
    let (one, other) = ("[[alerts]]\nslack = 'https://h/s3cret'\n", "[[alerts]]\nslack = { env = 'HOOK' }\n");
    let [first, second] = keys(&format!("{one}{other}")).try_into().unwrap();
    assert_eq!(keys(&format!("{other}on = ['failed']\n{one}{one}")), [second, first.clone(), format!("{first}-2")]);
    assert!(first.starts_with("slack#") && !first.contains("s3cret"), "{first}");
    assert_eq!(keys("[[alerts]]\nname = 'ops'\nslack = 'https://h/'\n[[alerts]]\nntfy = 'https://h/t'")[0], "ops");
}

#[test]
fn an_address_may_come_from_the_environment_a_file_or_a_command() {
    let text =
        "[[alerts]]\nwebhook = '${HOOK}'\nheaders = { A = { env = 'TOKEN' } }\n[[alerts]]\nntfy = { file = 'n' }";
    let stack = load_with(text, &[], &[("HOOK", "https://h/s3cret")]).unwrap();
    let Way::Webhook { address, headers } = &stack.alerts[0].way else { panic!("a webhook") };
    assert_eq!(*address, Hidden::Text("https://h/s3cret".to_owned()));
    assert_eq!(headers["A"], Hidden::Source(SecretSource::Env("TOKEN".to_owned())));
    assert_eq!(stack.alerts[1].hidden()[0].file(), Some(Path::new("/stack/n")));
    assert!(!format!("{stack:?}").contains("s3cret"));
}

#[test]
fn a_mail_has_the_port_of_its_encryption() {
    for (tls, wire, port) in [("starttls", Wire::StartTls, 587), ("tls", Wire::Tls, 465), ("none", Wire::Clear, 25)] {
        let alert = alert(&format!("email = {{ server = 'h', tls = '{tls}', from = 'a@b.cd', to = 'A <a@b.cd>' }}"));
        let Way::Email(mail) = alert.way else { panic!("a mail") };
        assert_eq!((mail.wire, mail.port, mail.to), (wire, port, vec!["A <a@b.cd>".to_owned()]));
    }
}

#[test]
fn what_would_tell_nobody_or_nothing_is_refused() {
    for (lines, why) in [
        ("", "exactly one of"),
        ("desktop = false", "exactly one of"),
        ("slack = 'https://h/'\ndesktop = true", "exactly one of"),
        ("desktop = true\non = ['recovered']", "never tell anything"),
        ("desktop = true\non = ['limits']", "is not `crash`, `crash-loop`"),
        ("desktop = true\nservices = ['wep']", "there is no service `wep` (did you mean `web`?)"),
        ("desktop = true\nheaders = { A = 'b' }", "only a `webhook`"),
        ("webhook = 'https://h/'\nheaders = { Host = 'b' }", "cannot be set"),
        ("desktop = true\nname = 'A B'", "no name of an alert"),
        ("command = []", "a command is missing"),
        ("email = { server = 'h', to = 'a@b.cd' }", "`from` is missing"),
        ("email = { server = 'h', from = 'a@b.cd', to = [] }", "`to` is missing"),
        ("email = { server = 'h', user = 'u', from = 'a@b.cd', to = 'a@b.cd' }", "belong together"),
        ("desktop = true\nlog_lines = 101", "an integer from 0 to 100"),
    ] {
        assert!(refused(lines).contains(why), "{lines}: {}", refused(lines));
    }
    assert!(problems("alerts = { slack = 'x' }")[0].contains("expected tables, each under `[[alerts]]`"));
    let seventeen = "[[alerts]]\ndesktop = true\n".repeat(17);
    assert!(problems(&seventeen)[0].contains("more than 16 alerts"));
}
