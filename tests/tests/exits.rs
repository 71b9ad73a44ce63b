//! Reports of ends: what a run used and said last, whoever died meanwhile.
//! Not here: what `why` tells of a service that runs (`why`).

use e2e::{Setup, Signal, Stack, eventually, send, skip};
use serde_json::Value;

/// The reports of a service, the newest first.
fn reports(stack: &Stack, service: &str) -> Vec<Value> {
    let answer = stack.get(&format!("/api/v1/services/{service}/exits"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["exits"].as_array().expect("a list").clone()
}

#[track_caller]
fn wait_reports(stack: &Stack, service: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} reports of {service}"), || {
        Some(reports(stack, service)).filter(|reports| reports.len() >= count)
    })
}

const CALM: &str = "restart = { delay = '60s', max_delay = '60s', jitter = 0 }";

#[test]
fn an_end_is_reported_with_its_last_output_and_what_it_cost() {
    let stack =
        Setup::of(&format!("[services.t]\ncommand = ['sh', '-c', 'seq 1 80; printf unfinished; exit 3']\n{CALM}"))
            .start_no_wait();
    let report = wait_reports(&stack, "t", 1).remove(0);
    let output: Vec<&str> =
        report["last_output"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!((output.len(), output[0], output[49]), (50, "32", "unfinished"), "{output:?}");
    assert_eq!((&report["number"], &report["generation"], &report["exit"]["code"]), (&1.into(), &1.into(), &3.into()));
    assert!(report["exit"]["max_rss_bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{report:#}");
    let why = stack.cli(&["why", "t"]).stdout;
    assert!(why.contains("--exit N` tells one whole") && why.contains("1: exited with code 3 after"), "{why}");
    let told = stack.cli(&["why", "t", "--exit", "1"]).succeeded().stdout;
    for part in ["t: end 1, of generation 1", "exited with code 3", "its last output", "unfinished"] {
        assert!(told.contains(part), "{part:?} is missing:\n{told}");
    }
    let missing = stack.cli(&["why", "t", "--exit", "9"]).ended_with(2).stderr;
    assert!(missing.contains("there are: 1"), "{missing}");
    assert_eq!(stack.get("/api/v1/services/t/exits?number=9").status, 404);
}

#[test]
fn a_core_that_was_written_is_told_wherever_an_end_is() {
    let name = "a_core_that_was_written_is_told_wherever_an_end_is";
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = ['sh', '-c', 'ulimit -c unlimited || exit 3; kill -SEGV $$$$; sleep 60']\n{CALM}"
    ))
    .start_no_wait();
    let report = wait_reports(&stack, "t", 1).remove(0);
    if report["exit"]["code"] == 3 {
        return skip(name, "cores are forbidden here");
    }
    assert_eq!((&report["exit"]["signal"], &report["exit"]["core_dumped"]), (&"SEGV".into(), &true.into()));
    assert_eq!(stack.service("t").last_exit()["core_dumped"], true);
    for words in [&["why", "t"][..], &["why", "t", "--exit", "1"], &["events", "t", "--kind", "exit"]] {
        let told = stack.cli(words).stdout;
        assert!(told.contains("killed by SIGSEGV after ") && told.contains(", core dumped"), "{words:?}: {told}");
    }
}

#[test]
fn the_last_twenty_ends_are_kept() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'echo $SUPERVISOR_GENERATION; exit 1']\n\
         restart = { delay = '5ms', max_delay = '5ms' }",
    )
    .start_no_wait();
    stack.wait_until("t", "started 25 times", |service| service.generation() >= 25);
    stack.cli(&["stop", "t"]).succeeded();
    let kept = eventually("the report of its last end", || {
        let newest = stack.service("t").generation();
        let kept = reports(&stack, "t");
        (kept[0]["generation"].as_u64()? >= newest - 1).then_some(kept)
    });
    assert_eq!(kept.len(), 20);
    let numbers: Vec<u64> = kept.iter().filter_map(|report| report["number"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|newer, older| *newer == older + 1), "{numbers:?}");
    // The one that `stop` ended may not have come to a word.
    for report in kept.iter().filter(|report| report["exit"]["asked"] == false) {
        assert_eq!(report["last_output"][0], report["generation"].to_string(), "its own words: {report:#}");
    }
}

#[test]
fn reports_outlive_control_and_the_supervisor_and_are_read_when_nothing_runs() {
    let mut stack = Setup::of(&format!("[services.t]\ncommand = './puppet wait'\n{CALM}")).start();
    send(stack.pid("t"), Signal::SIGKILL);
    stack.kill_control();
    let report = wait_reports(&stack, "t", 1).remove(0);
    assert_eq!(report["exit"]["signal"], "KILL");
    assert!(report["exit"].get("oom").is_none(), "memory was not short: {report:#}");
    stack.cli(&["start", "t"]).succeeded();
    stack.stop();
    let told = stack.cli(&["why", "t", "--exit", "2", "--json"]).succeeded().stdout;
    let report: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(report["exit"]["asked"], true, "{report:#}");
    stack.cli(&["start"]).succeeded();
    send(stack.pid("t"), Signal::SIGABRT);
    let all = wait_reports(&stack, "t", 3);
    let signals: Vec<&Value> = all.iter().map(|report| &report["exit"]["signal"]).collect();
    assert_eq!((all.len(), signals[0]), (3, &"ABRT".into()), "each once: {all:#?}");
}
