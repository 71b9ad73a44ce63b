//! One generation followed by the next while it serves, seen from outside.
//! Not here: every way in which it can fail; the core's own tests show that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use e2e::{Setup, Signal, Stack, eventually, free_port, over_tcp, send};

/// A service on the kit, whose listener the supervisor holds.
fn kit(port: u16, more: &str) -> String {
    format!(
        "[services.t]\ncommand = './exemplar'\nport = {port}\nready = {{ notify = true }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '200ms', drain = '5s' }}\n{more}"
    )
}

fn rollout(stack: &Stack) -> serde_json::Value {
    stack.service("t").0["rollout"].clone()
}

/// Asks again and again, each time on a connection of its own; counts what fails.
struct Clients {
    done: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Clients {
    fn of(port: u16) -> Self {
        let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..4).map(|_| {
            let (done, asked) = (Arc::clone(&done), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut failures = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    match over_tcp(("127.0.0.1", port), "GET", "/", &[]) {
                        Ok(response) if response.status == 200 => {}
                        Ok(response) => failures.push(format!("status {}", response.status)),
                        Err(error) => failures.push(error.to_string()),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        Self { done: Arc::clone(&done), asked: Arc::clone(&asked), threads: threads.collect() }
    }

    /// How many asked, and what went wrong.
    fn end(self) -> (u64, Vec<String>) {
        self.done.store(true, Ordering::Relaxed);
        let failures = self.threads.into_iter().flat_map(|thread| thread.join().expect("a client does not panic"));
        let failures = failures.collect();
        (self.asked.load(Ordering::Relaxed), failures)
    }
}

#[test]
fn case_1_a_restart_under_load_loses_no_request() {
    let port = free_port();
    let stack = Setup::of(&kit(port, "")).start();
    let clients = Clients::of(port);
    for generation in 2..=4 {
        stack.cli(&["restart", "t"]).succeeded();
        assert_eq!(stack.service("t").generation(), generation);
    }
    let (asked, failures) = clients.end();
    assert_eq!(failures, [""; 0], "of {asked}");
    assert!(asked > 20, "there was load: {asked}");
    let over = eventually("the last one has drained", || {
        let rollout = rollout(&stack);
        (rollout["phase"] == "over").then_some(rollout)
    });
    assert_eq!((over["number"].as_u64(), over["result"].as_str()), (Some(3), Some("done")));
    assert_eq!((over["from"].as_u64(), over["to"].as_u64()), (Some(3), Some(4)));
    assert!(over["baking_ms"].as_u64() >= Some(200), "{over:#}");
    assert_eq!(stack.service("t").0["generations"].as_array().map(Vec::len), Some(1));
}

#[test]
fn case_17_a_new_generation_that_fails_leaves_the_old_one_alone_and_the_restart_says_so() {
    let port = free_port();
    let command = "command = 'test -e broken && exit 7; exec ./exemplar'\nshell = true";
    let stack = Setup::of(&kit(port, "").replace("command = './exemplar'", command)).start();
    let old = stack.pid("t");
    std::fs::write(stack.path("broken"), "").expect("a file of our own");
    let clients = Clients::of(port);
    let failed = stack.cli(&["restart", "t"]).ended_with(1);
    assert!(failed.stderr.contains("rolled back: generation 2: exited with code 7"), "{}", failed.stderr);
    let (asked, failures) = clients.end();
    assert_eq!(failures, [""; 0], "of {asked}");
    let service = stack.service("t");
    assert_eq!((service.pid(), service.state(), service.restarts()), (Some(old), "running", 0));
    assert_eq!(rollout(&stack)["result"], "rolled-back");
    std::fs::remove_file(stack.path("broken")).expect("it is there");
    stack.cli(&["restart", "t"]).succeeded();
    assert_ne!(stack.service("t").pid(), Some(old));
}

#[test]
fn case_58_a_rollout_goes_on_when_control_is_killed_over_it() {
    let port = free_port();
    let stack = Setup::of(&kit(port, "").replace("200ms", "1500ms")).start();
    let clients = Clients::of(port);
    let old = stack.pid("t");
    assert_eq!(stack.post("/api/v1/services/t/restart").status, 202);
    stack.wait_until("t", "a successor that bakes", |service| service.0["rollout"]["phase"] == "baking");
    stack.kill_control();
    let service = stack.wait_until("t", "the switch", |service| service.0["rollout"]["result"] == "done");
    assert_eq!(service.generation(), 2);
    assert_ne!(service.pid(), Some(old));
    let (asked, failures) = clients.end();
    assert_eq!(failures, [""; 0], "of {asked}");
}

#[test]
fn several_instances_share_a_port_and_are_rolled_one_after_the_other() {
    let port = free_port();
    let mut stack = Setup::of(&kit(port, "instances = 2")).start();
    let pids = |stack: &Stack| -> Vec<i64> {
        let service = stack.service("t");
        let all = service.0["generations"].as_array().cloned().unwrap_or_default();
        all.iter().filter(|of| of["role"] == "serving").filter_map(|of| of["pid"].as_i64()).collect()
    };
    let before = pids(&stack);
    assert_eq!(before.len(), 2);
    stack.cli(&["restart", "t"]).succeeded();
    let after = pids(&stack);
    assert!(after.len() == 2 && after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    send(i32::try_from(after[1]).expect("a pid"), Signal::SIGKILL);
    eventually("the killed one is replaced", || (pids(&stack).len() == 2 && pids(&stack) != after).then_some(()));
    stack.stop();
    stack.assert_nothing_left();
}
