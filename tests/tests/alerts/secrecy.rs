//! Addresses are passwords: they are shown nowhere, whatever goes wrong.
//! Not here: secrets of services.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use e2e::{CANARY, Secrets, Setup, eventually};

use super::receiver::{Post, Receiver, Reply};
use super::{SICK, alert};

/// The last is what is sent of the login `u:c4n4ry-1`.
const SECRETS: Secrets = Secrets(&[CANARY, SENT]);
const SENT: &str = "dTpjNG40cnkt";

#[test]
fn no_answer_log_or_file_gives_an_address_away() {
    let server = Receiver::start();
    server.answer_always(Reply::Status(500));
    let at = server.address;
    let alerts = format!(
        "[[alerts]]\nwebhook = 'http://u:c%34n4ry-1@{at}/c4n4ry-2?k=c4n4ry-3'\nheaders = {{ X-Token = 'Bearer c4n4ry-4' }}\n\
         [[alerts]]\nslack = {{ env = 'HOOK' }}\n[[alerts]]\ndiscord = {{ file = 'hook' }}\n\
         [[alerts]]\nntfy = {{ command = ['echo', 'http://{at}/c4n4ry-7'] }}\n\
         [[alerts]]\nname = 'refused'\nwebhook = 'http://127.0.0.1:1/c4n4ry-8'\n\
         [[alerts]]\nname = 'mail'\nemail = {{ server = '127.0.0.1', port = 1, tls = 'tls', user = 'me', password = 'c4n4ry-9', from = 'a@b.cd', to = 'a@b.cd' }}\n\
         [[alerts]]\nname = 'nowhere'\nslack = {{ file = 'missing' }}\n"
    );
    let mut stack = Setup::of(&format!("{SICK}{alerts}")).env("HOOK", &format!("http://{at}/c4n4ry-5")).prepare();
    fs::write(stack.path("hook"), format!("http://{at}/c4n4ry-6\n")).expect("the directory can be written");
    fs::set_permissions(stack.path("hook"), fs::Permissions::from_mode(0o600)).expect("it is ours");
    SECRETS.not_said("check", &stack.cli(&["check"]));
    stack.cli(&["start", "--no-wait"]).succeeded();
    for name in ["webhook", "slack", "discord", "ntfy", "refused", "mail", "nowhere"] {
        eventually(name, || (!alert(&stack, name)["error"].is_null()).then_some(()));
    }
    assert!(server.posts().iter().any(|post| post.path.contains("c4n4ry-5")), "{:#?}", server.posts());
    let with_login = |post: &Post| post.headers.iter().any(|line| line.contains(SENT));
    server.wait("the login to be sent, and repeated by the server", with_login);
    for words in
        [&["alerts"][..], &["alerts", "--json"], &["alerts", "test"], &["status", "--json"], &["events", "-n", "900"]]
    {
        SECRETS.not_said(&words.join(" "), &stack.cli(words));
    }
    for path in ["/metrics", "/api/v1/status", "/status"] {
        SECRETS.not_in(path, &stack.get(path).body);
    }
    stack.stop();
    for dir in ["logs", "state"] {
        for file in fs::read_dir(stack.path(dir)).expect("it is there").flatten().filter(|file| file.path().is_file()) {
            SECRETS.not_in(&file.path().display().to_string(), &fs::read(file.path()).expect("it is ours"));
        }
    }
}

#[test]
fn an_address_that_would_cross_a_network_in_the_clear_is_warned_of_and_allowed() {
    let hook = "[[alerts]]\nwebhook = 'http://u:c4n4ry@192.0.2.1/c4n4ry'\n";
    let stack = Setup::of(&format!("[services.t]\ncommand = './puppet wait'\n{hook}")).prepare();
    let check = stack.cli(&["check"]).succeeded();
    assert!(check.stderr.contains("warning: alert webhook: `http` to `192.0.2.1`"), "{}", check.stderr);
    SECRETS.not_said("check", &check);
}

#[test]
fn no_error_about_the_configuration_repeats_an_address() {
    for (lines, message) in [
        ("webhook = 'c4n4ry'", "this is no address"),
        ("slack = 'ftp://h/c4n4ry'", "this is no address"),
        ("discord = 'https://h/c4n4ry\nx'", ""),
        ("webhook = 'https://h/c4n4ry'\nslack = 'https://h/c4n4ry'", "exactly one of"),
        ("webhook = ['https://h/c4n4ry']", "expected"),
        ("webhok = 'https://h/c4n4ry'", "did you mean `webhook`"),
        ("webhook = 'https://h/'\nheaders = { X = \"c4n4ry\\u0001\" }", "cannot stand in a header"),
        (
            "email = { server = 'h', user = 'u', password = 'c4n4ry', from = 'nobody', to = 'x@y.zz' }",
            "no mail address",
        ),
        (
            "email = { server = 'h', tls = 'none', user = 'u', password = 'c4n4ry', from = 'a@b.cd', to = 'a@b.cd' }",
            "in the clear",
        ),
        ("[alerts.email]\nserver = 5\npassword = 'c4n4ry'", "expected"),
    ] {
        let stack = Setup::of(&format!("[services.t]\ncommand = './puppet wait'\n[[alerts]]\n{lines}\n")).prepare();
        let check = stack.cli(&["check"]).ended_with(2);
        assert!(
            check.stderr.contains(message) || check.stdout.contains(message),
            "{lines}: {}{}",
            check.stdout,
            check.stderr
        );
        SECRETS.not_said(lines, &check);
    }
}
