//! Alert rules and dashboard: read by Prometheus' own tool, and naming only what the supervisor exports.
//! Not here: what the metrics tell (`metrics`).

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::{Setup, Stack, eventually, skip};

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(docs(file)).expect("it is there")
}

/// Prometheus' own tool, if it is installed.
fn promtool(test: &str) -> Option<Command> {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(Command::new("promtool"));
    }
    skip(test, "promtool is not installed");
    None
}

/// Every metric that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !word(c));
    words.filter(|name| name.starts_with("supervisor_")).map(str::to_owned).collect()
}

/// With a limit, a check, and an end, so that every family has a sample; and with one to which nothing ever happened.
fn stack() -> Stack {
    let port = e2e::free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen'\nport = {port}\nready = {{ tcp = true }}\n\
         limits = {{ memory = '1GiB', memory_soft = '900MiB' }}\n\
         [services.crash]\ncommand = ['sh', '-c', 'exit 7']\nrestart = {{ delay = '20s' }}\n\
         [services.idle]\ncommand = './puppet wait'\nautostart = false"
    ))
    .start_no_wait();
    stack.wait_for("t", "running");
    stack.wait_for("crash", "backoff");
    stack
}

fn scraped(stack: &Stack) -> String {
    eventually("the processes to have been looked at", || {
        let text = stack.get("/metrics").text();
        text.contains("supervisor_service_memory_bytes{").then_some(text)
    })
}

/// Every name under which a sample may come, of families that have none yet, too.
fn exported(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type");
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        names.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    names
}

#[test]
fn rules_and_dashboard_name_only_what_is_exported() {
    let stack = stack();
    let exported = exported(&scraped(&stack));
    for file in ["rules.yml", "dashboard.json"] {
        let named = named(&read(file));
        assert!(named.len() >= 8, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&exported).collect();
        assert!(unknown.is_empty(), "{file} names what nobody exports: {unknown:?}");
    }
}

#[test]
fn the_document_names_every_metric_and_no_other() {
    let stack = stack();
    let exported: BTreeSet<String> = scraped(&stack)
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE supervisor_")?.split_whitespace().next().map(str::to_owned))
        .collect();
    let page = std::fs::read_to_string(docs("../metrics.md")).expect("it is there");
    let column = page.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(2));
    let named: BTreeSet<String> =
        column.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert_eq!(named, exported);
}

#[test]
fn the_dashboard_is_one() {
    let board: serde_json::Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each has a number of its own");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{panel:#}");
        for (x, y) in (0..at("w")).flat_map(|x| (0..at("h")).map(move |y| (x, y))) {
            assert!(taken.insert((at("x") + x, at("y") + y)), "panels lie over each other: {panel:#}");
        }
        let queries = panel["targets"].as_array().expect("queries");
        assert!(queries.iter().all(|query| query["expr"].as_str().is_some_and(|text| text.contains("supervisor_"))));
    }
}

/// Prometheus sees no increase in a counter that was not there before its first step.
#[test]
fn what_a_rule_sees_increase_is_there_before_it_does() {
    let stack = stack();
    let text = scraped(&stack);
    let rules = read("rules.yml");
    let increasing: Vec<&str> =
        rules.split("increase(").skip(1).filter_map(|rest| rest.split(['{', '[']).next()).collect();
    assert!(increasing.len() >= 4, "{increasing:?}");
    for name in increasing {
        let at_zero = |line: &&str| line.starts_with(&format!("{name}{{service=\"idle\"")) && line.ends_with(" 0");
        let found = text.lines().filter(at_zero).count();
        assert_eq!(found, if name.contains("rollouts") { 4 } else { 1 }, "{name} of what never ran\n{text}");
    }
}

fn accepts(mut promtool: Command, words: [&str; 2], file: &str) {
    let done = promtool.args(words).arg(docs(file)).output().expect("it runs");
    let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.contains("SUCCESS"), "{told}");
}

#[test]
fn prometheus_takes_the_rules() {
    let Some(promtool) = promtool("prometheus_takes_the_rules") else { return };
    accepts(promtool, ["check", "rules"], "rules.yml");
}

#[test]
fn the_rules_alert_for_what_they_promise_and_for_nothing_else() {
    let Some(promtool) = promtool("the_rules_alert_for_what_they_promise_and_for_nothing_else") else { return };
    accepts(promtool, ["test", "rules"], "rules.test.yml");
}

#[test]
fn prometheus_takes_the_metrics() {
    let Some(mut promtool) = promtool("prometheus_takes_the_metrics") else { return };
    let stack = stack();
    let text = scraped(&stack);
    let mut child = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    let done = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.is_empty(), "{told}");
}
