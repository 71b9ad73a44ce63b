//! The examples of docs/services, as users start them: restarts under load lose nothing.
//! Not here: the kit's own service (`rollouts`), and languages that a test machine seldom has.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{DEADLINE, Setup, free_port, skip};
use load::{Crowd, Kind, Load};

/// Runs an example with its own part of supervisor.toml, but on a port of ours and with short spans.
fn is_restarted_under_load(example: &str, program: &str) {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/services").join(example).canonicalize().unwrap();
    let port = free_port();
    let toml = std::fs::read_to_string(at.join("supervisor.toml")).unwrap();
    let (before, after) = toml.split_once("port = ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let command = |part: &str| {
        let line = part.lines().find(|line| line.starts_with("command = [\"")).unwrap();
        let file = line.split('"').nth(3).unwrap();
        part.replace(line, &format!("command = [\"{program}\", \"{}\"]", at.join(file).display()))
    };
    let toml = format!("{}port = {port}\n{after}bake = \"0s\"\ndrain = \"6s\"\n", command(before));
    let stack = Setup::of(&toml).start();
    let crowd = |kind, clients| Crowd { kind, clients, pause: Duration::from_millis(10) };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let load = Load::start(address, &[crowd(Kind::Fresh, 4), crowd(Kind::KeepAlive, 4), crowd(Kind::Slow, 1)]);
    assert!(load.await_answers(20, DEADLINE), "nobody is answered");
    for _ in 0..5 {
        stack.cli(&["restart", "web"]).succeeded();
        assert!(load.await_answers(50, DEADLINE), "nobody is answered any more");
    }
    let report = load.stop();
    assert_eq!(report.failed(), 0, "\n{report}");
}

fn can(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn a_service_on_node_is_restarted_under_load_and_loses_no_request() {
    if !can("node", &["--version"]) {
        skip("a service on node", "there is no node");
        return;
    }
    is_restarted_under_load("node", "node");
}

#[test]
fn a_service_on_uvicorn_is_restarted_under_load_and_loses_no_request() {
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(|one| can(one, &["-c", "import uvicorn"]))
    else {
        skip("a service on uvicorn", "no python3 has uvicorn");
        return;
    };
    is_restarted_under_load("uvicorn", python);
}
