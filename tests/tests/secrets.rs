//! Secrets are in no output: not in answers, tables, logs of ours, errors or arguments of ours.
//! Not here: what services themselves print.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::{CANARY, Secrets, Setup, Stack, free_port};

const SECRETS: Secrets = Secrets(&[CANARY]);

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the directory can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// Secrets in every place that may hold one, in services that run and in services that fail in every way.
fn planted() -> Stack {
    let services = r#"
[defaults]
env = { DEFAULT = "c4n4ry-01" }
inherit_env = ["PATH", "HOME", "TMPDIR", "INHERITED"]
[services.well]
command = ["./puppet", "wait", "c4n4ry-02", "--password=c4n4ry-03", "postgres://u:c4n4ry-04@db/x", "${EXPANDED}"]
env = { KEY = "c4n4ry-05", URL = "https://user:c4n4ry-06@host/?k=c4n4ry-07" }
env_file = [".env"]
secrets = { A = { file = "secret" }, B = { command = ["/bin/echo", "c4n4ry-09"] }, C = { env = "GIVEN" } }
[services.shell]
shell = true
command = "exec ./puppet wait c4n4ry-10"
live = { command = ["/bin/false", "c4n4ry-11"], interval = "1s", failures = 1000 }
[services.unready]
command = ["./puppet", "wait", "c4n4ry-12"]
port = 1
ready = { http = { path = "/x?token=c4n4ry-13", headers = { Authorization = "Bearer c4n4ry-14" } } }
[services.unready2]
command = ["./puppet", "wait"]
ready = { command = ["/bin/false", "c4n4ry-15"] }
[services.wordless]
command = ["./puppet", "wait"]
ready = { log = "up ${EXPANDED}" }
[services.missing]
command = ["./no-such-program", "c4n4ry-16"]
[services.broken]
command = ["./puppet", "wait"]
secrets = { T = { command = ["/bin/sh", "-c", "echo c4n4ry-17; echo c4n4ry-18 >&2; exit 1"] } }
[services.crash]
command = ["./puppet", "exit-code", "3", "c4n4ry-19"]
env = { KEY = "c4n4ry-20" }
[services.nowhere]
command = ["./puppet", "wait"]
cwd = "/nonexistent"
env = { KEY = "c4n4ry-21" }
"#;
    // One that anybody may bind.
    let services = services.replace("port = 1\n", &format!("port = {}\n", free_port()));
    let stack = Setup::of(&services)
        .http("listen = '127.0.0.1:0'")
        .env("INHERITED", "c4n4ry-22")
        .env("GIVEN", "c4n4ry-23")
        .env("OTHER", "c4n4ry-24")
        .env("EXPANDED", "c4n4ry-08")
        .prepare();
    write(&stack.path(".env"), "FROM_FILE='c4n4ry-25'\nEMPTY=\nURL2=amqp://u:c4n4ry-26@mq\n");
    write(&stack.path("secret"), "c4n4ry-27\n");
    stack
}

#[test]
fn no_answer_table_log_or_argument_of_ours_gives_a_secret_away() {
    let mut stack = planted();
    SECRETS.not_said("check", &stack.cli(&["check"]));
    SECRETS.not_said("check --json", &stack.cli(&["check", "--json"]));
    SECRETS.not_said("start", &stack.cli(&["start", "--timeout", "3s"]));
    stack.wait_until("unready", "seen to fail", |service| !service.0["failing"][0].is_null());
    stack.wait_until("shell", "seen to fail", |service| !service.0["failing"][0].is_null());
    stack.wait_until("unready2", "seen to fail", |service| !service.0["failing"][0].is_null());
    stack.wait_until("broken", "tried", |service| !service.last_exit().is_null());
    let names = ["well", "shell", "unready", "unready2", "wordless", "missing", "broken", "crash", "nowhere"];
    for path in stack.get("/openapi.json").json()["paths"].as_object().expect("it has paths").keys() {
        for name in names {
            let path = path.replace("{name}", name).replace("{id}", "1");
            SECRETS.not_in(&path, &stack.get(&path).body);
        }
    }
    SECRETS.not_in("/metrics", &stack.get("/metrics").body);
    for name in names {
        SECRETS.not_said(&format!("why {name}"), &stack.cli(&["why", name]));
        SECRETS.not_said(&format!("why {name} --json"), &stack.cli(&["why", name, "--json"]));
    }
    for words in [&["status"][..], &["status", "--json"], &["list"], &["list", "--json"], &["events", "-n", "1000"]] {
        SECRETS.not_said(&words.join(" "), &stack.cli(words));
    }
    for role in [stack.keeper(), stack.control()] {
        SECRETS.not_in("the arguments of a role", &fs::read(format!("/proc/{role}/cmdline")).expect("it runs"));
    }
    refused_reload(&stack);
    SECRETS.not_said("restart", &stack.cli(&["restart", "well", "crash", "--timeout", "2s"]));
    stack.stop();
    for dir in ["logs", "state"] {
        for file in fs::read_dir(stack.path(dir)).expect("it is there").flatten().filter(|file| file.path().is_file()) {
            SECRETS.not_in(&file.path().display().to_string(), &fs::read(file.path()).expect("it is ours"));
        }
    }
}

/// A file with secrets in its errors: whoever asks for them sees where they are, and not what.
fn refused_reload(stack: &Stack) {
    let good = stack.text();
    let bad = "env = { KEY = ['c4n4ry-28'] }\nready = { log = '(${EXPANDED}' }\nport = '${EXPANDED}'\n";
    stack.save(&format!("{good}[services.bad]\ncommand = './puppet wait'\n{bad}"));
    SECRETS.not_said("reload", &stack.cli(&["reload"]).ended_with(2));
    let refused = stack.post("/api/v1/reload");
    assert_eq!(refused.status, 422);
    SECRETS.not_in("a reload's answer", &refused.body);
    for path in ["/api/v1/status", "/status", "/health", "/metrics"] {
        SECRETS.not_in(path, &stack.get(path).body);
    }
    for words in [&["status"][..], &["status", "--json"], &["why", "well"], &["check"]] {
        SECRETS.not_said(&words.join(" "), &stack.cli(words));
    }
    stack.save(&good);
    SECRETS.not_said("reload", &stack.cli(&["reload"]).succeeded());
}

#[test]
fn no_error_about_the_configuration_repeats_a_value_that_may_be_secret() {
    for line in [
        "env = { KEY = ['c4n4ry'] }",
        "env = { KEY = \"c4n4ry }",
        "env = { KEY = 'c4n4ry${' }",
        "env = { KEY = 'c4n4ry${NO_SUCH_VARIABLE}' }",
        "env = 'c4n4ry'",
        "env_file = ['broken.env']",
        "secrets = { KEY = 'c4n4ry' }",
        "secrets = { KEY = { value = 'c4n4ry' } }",
        "secrets = { KEY = { command = 'c4n4ry \"' } }",
        "secrets = { KEY = { command = ['c4n4ry', 5] } }",
        "command = ['x', 'c4n4ry', 5]",
        "command = 'x c4n4ry \"'",
        "ready = { http = 'http://user:c4n4ry@host/x y' }",
        "ready = { http = { path = '/', headers = { 'X-Key' = \"c4n4ry\\n\" } } }",
        "ready = { http = { path = '/', headers = { 'X-Key' = ['c4n4ry'] } } }",
    ] {
        let command = if line.starts_with("command") { "" } else { "command = './puppet wait'\n" };
        let stack = Setup::of(&format!("[services.t]\n{command}{line}")).prepare();
        write(&stack.path("broken.env"), "GOOD=c4n4ry\nc4n4ry is no assignment\nKEY='c4n4ry\n");
        let check = stack.cli(&["check"]);
        assert_eq!(check.code, 2, "{line}: {}{}", check.stdout, check.stderr);
        SECRETS.not_said(line, &check);
        SECRETS.not_said(line, &stack.cli(&["start"]));
    }
}
