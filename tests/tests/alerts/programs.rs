//! Alerts that are told by programs, and those of chat servers; and tests on request.
//! Not here: mail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::{User, eventually};
use serde_json::Value;

use super::receiver::Receiver;
use super::{alert, setup, webhook};

fn program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().expect("it has one")).expect("the directory can be written");
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("the directory can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().filter(|text| !text.is_empty())
}

#[test]
fn a_command_gets_the_message_as_json_and_in_variables() {
    let stack = setup("[[alerts]]\ncommand = ['./tell', 'a b']\n").as_user(User::Ordinary).prepare();
    let script = "cat > got.new; printf '%s|%s|%s|%s' \"$1\" \"$SUPERVISOR_ALERT_OCCASION\" \"$SUPERVISOR_ALERT_SERVICE\" \
                  \"$SUPERVISOR_ALERT_TITLE\" > said.new; mv said.new said; mv got.new got";
    program(&stack.path("tell"), script);
    stack.cli(&["start", "--no-wait"]).succeeded();
    let got = eventually("the command to be run", || read(&stack.path("got")));
    let got: Value = serde_json::from_str(&got).expect("it is JSON");
    assert_eq!((&got["occasion"], &got["alert"]), (&"crash-loop".into(), &"command".into()));
    assert_eq!(read(&stack.path("said")).as_deref(), Some("a b|crash-loop|sick|sick crashes again and again"));
    eventually("it to count", || (alert(&stack, "command")["sent"] == 1).then_some(()));
}

#[test]
fn a_command_that_fails_is_tried_again_and_its_words_are_shown() {
    let stack = setup("[[alerts]]\nname = 'c'\ncommand = ['./tell', 'https://h/s3cret']\n").prepare();
    let script = "echo x >> tries; if [ -e fixed ]; then exit 0; fi; echo out of paper for $1 >&2; exit 7";
    program(&stack.path("tell"), script);
    stack.cli(&["start", "--no-wait"]).succeeded();
    let state = eventually("it to fail", || Some(alert(&stack, "c")).filter(|state| !state["error"].is_null()));
    assert_eq!(state["error"], "exit code 7: out of paper for ***");
    fs::write(stack.path("fixed"), "").expect("the directory can be written");
    eventually("it to succeed", || (alert(&stack, "c")["sent"] == 1).then_some(()));
    assert!(read(&stack.path("tries")).is_some_and(|tries| tries.lines().count() >= 2));
}

#[test]
fn the_desktop_is_told_by_its_own_program() {
    let path = "@root/stand-in:/usr/local/bin:/usr/bin:/bin";
    let stack = setup("[[alerts]]\ndesktop = true\n").env("PATH", path).prepare();
    program(&stack.path("stand-in/notify-send"), "for word; do echo \"$word\"; done > told.new; mv told.new told");
    stack.cli(&["start", "--no-wait"]).succeeded();
    let told = eventually("the notification", || read(&stack.path("told")));
    let words: Vec<&str> = told.lines().collect();
    assert_eq!(words[words.len() - 3..][..2], ["--", "[t] sick crashes again and again"], "{told}");
}

#[test]
fn chat_servers_are_told_in_their_languages() {
    let server = Receiver::start();
    let alerts = format!(
        "[[alerts]]\nslack = '{0}/slack'\n[[alerts]]\ndiscord = '{0}/discord'\n[[alerts]]\nntfy = 'http://:t0ken@{1}/base/ops'\n",
        server.url("").trim_end_matches('/'),
        server.address,
    );
    let _stack = setup(&alerts).start_no_wait();
    let of = |path: &str| server.wait(path, |post| post.path == path);
    let slack = of("/slack").body["text"].as_str().unwrap_or_default().to_owned();
    assert!(slack.contains("*sick crashes again and again*") && slack.contains("no database"), "{slack}");
    let discord = of("/discord").body;
    assert_eq!(discord["allowed_mentions"]["parse"], serde_json::json!([]));
    assert!(discord["content"].as_str().unwrap_or_default().contains("no database"), "{discord}");
    let ntfy = of("/base");
    assert_eq!((&ntfy.body["topic"], &ntfy.body["priority"]), (&"ops".into(), &5.into()));
    // base64 of `:t0ken`
    assert!(ntfy.headers.contains(&"authorization: Basic OnQwa2Vu".to_owned()), "{:?}", ntfy.headers);
}

#[test]
fn check_names_what_keeps_an_alert_from_being_told() {
    let alerts = "[[alerts]]\ncommand = ['./tell']\n[[alerts]]\ndesktop = true\n\
                  [[alerts]]\nname = 'ops'\nslack = { env = 'HOOK' }\n[[alerts]]\nntfy = 'http://localhost'\n";
    let stack = setup(alerts).env("PATH", "@root/stand-in").as_user(User::Ordinary).prepare();
    let told = stack.cli(&["check"]).ended_with(1).stderr;
    for part in [
        "error: alert command cannot be told: ",
        "/tell: No such file",
        "error: alert desktop cannot be told: `notify-send` is not in PATH",
        "error: alert ops cannot be told: secret of the alert: variable HOOK is not set",
        "error: alert ntfy cannot be told: the address of ntfy ends with no topic",
    ] {
        assert!(told.contains(part), "{part:?} is missing:\n{told}");
    }
    let document: Value = serde_json::from_str(&stack.cli(&["check", "--json"]).stdout).expect("it is JSON");
    assert_eq!(document["alerts"].as_object().map(serde_json::Map::len), Some(4), "{document:#}");
    assert!(document["alerts"]["command"][0].as_str().is_some_and(|why| why.contains("/tell: ")), "{document:#}");
}

#[test]
fn a_test_says_for_each_alert_whether_it_arrived() {
    let (well, sick) = (Receiver::start(), Receiver::start());
    sick.answer_next(&[401]);
    let alerts = format!("{}[[alerts]]\nname = 'sick'\nntfy = '{}'\n", webhook(&well.url("/"), ""), sick.url("/topic"));
    let stack = e2e::Setup::of(&format!("[services.a]\ncommand = './puppet wait'\n{alerts}")).start();
    let done = stack.cli(&["alerts", "test"]).ended_with(1);
    assert_eq!(done.stdout, format!("hook: arrived\nsick: failed: `{}` answers 401: plain\n", sick.address));
    assert_eq!(well.wait_for("test")["title"], "a test");
    let done = stack.cli(&["alerts", "test", "hook", "--json"]).succeeded();
    let document: Value = serde_json::from_str(&done.stdout).expect("it is JSON");
    assert_eq!(document["alerts"], serde_json::json!([{ "name": "hook", "arrived": true, "error": null }]));
    let unknown = stack.cli(&["alerts", "test", "nobody"]);
    assert_ne!(unknown.code, 0);
    assert!(unknown.stderr.contains("there are `hook`, `sick`"), "{}", unknown.stderr);
    assert_eq!(alert(&stack, "hook")["sent"], 0, "a test is no alert");
}
