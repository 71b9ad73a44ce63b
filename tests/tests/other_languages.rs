//! The examples of docs/services, as users start them: restarts under load lose nothing.
//! Not here: services on the kit (`rollouts`), and languages that a test machine seldom has.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{DEADLINE, Setup, free_port, program, skip};
use load::{Crowd, Kind, Load};

/// Runs an example with its own part of supervisor.toml, but by `words`, on a port of ours and with short spans.
fn is_restarted_under_load(example: &str, words: &[&str]) {
    let port = free_port();
    let toml = std::fs::read_to_string(directory(example).join("supervisor.toml")).unwrap();
    let ours = |line: &str| match line.split_once(" = ") {
        Some(("command", _)) => format!("command = {words:?}\n"),
        Some(("port", _)) => format!("port = {port}\n"),
        Some(_) | None => format!("{line}\n"),
    };
    let toml: String = toml.lines().map(ours).collect();
    let toml = format!("{toml}bake = \"0s\"\ndrain = \"6s\"\n");
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

fn directory(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/services").join(example).canonicalize().unwrap()
}

fn script(example: &str, file: &str) -> String {
    directory(example).join(file).display().to_string()
}

fn can(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn a_service_on_axum_alone_is_restarted_under_load_and_loses_no_request() {
    is_restarted_under_load("axum", &[&program("example-axum").display().to_string()]);
}

#[test]
fn a_service_on_hyper_alone_is_restarted_under_load_and_loses_no_request() {
    is_restarted_under_load("hyper", &[&program("example-hyper").display().to_string()]);
}

#[test]
fn a_service_on_node_is_restarted_under_load_and_loses_no_request() {
    if !can("node", &["--version"]) {
        skip("a service on node", "there is no node");
        return;
    }
    is_restarted_under_load("node", &["node", &script("node", "server.js")]);
}

#[test]
fn a_service_on_uvicorn_is_restarted_under_load_and_loses_no_request() {
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(|one| can(one, &["-c", "import uvicorn"]))
    else {
        skip("a service on uvicorn", "no python3 has uvicorn");
        return;
    };
    is_restarted_under_load("uvicorn", &[python, &script("uvicorn", "server.py")]);
}
