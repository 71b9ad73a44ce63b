//! Time that is lost: what is frozen together is not held against anyone.
//! Not here: clocks that jump (`clocks`), a control that hangs alone (the keeper's own tests).

use std::fs;
use std::thread;
use std::time::Duration;

use e2e::{Group, Setup, Signal, Stack, eventually, is_root, send, skip};

/// In which a whole stack lives; thawed when this is dropped.
struct Freezer(Group);

impl Freezer {
    fn new() -> Option<Self> {
        Group::unified().map(Self).filter(|freezer| freezer.0.path("cgroup.freeze").exists())
    }

    fn freeze_for(&self, span: Duration) {
        let set = |state: &str| fs::write(self.0.path("cgroup.freeze"), state).expect("root may");
        set("1");
        eventually("all to be frozen", || {
            fs::read_to_string(self.0.path("cgroup.events")).ok()?.contains("frozen 1").then_some(())
        });
        thread::sleep(span);
        set("0");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _already = fs::write(self.0.path("cgroup.freeze"), "0");
    }
}

const SERVICES: &str = "[services.fed]\ncommand = './puppet watchdog --interval 100'\nlive = { watchdog = '2s' }\n\
     ready = { notify = true }\n\
     [services.probed]\ncommand = './puppet wait'\n\
     live = { command = ['sh', '-c', 'echo x >> probes'], interval = '200ms', timeout = '1s', failures = 1 }";

#[track_caller]
fn assert_nothing_held_against_anyone(stack: &Stack, before: usize) {
    eventually("the own log to tell", || {
        let log = fs::read_to_string(stack.path("logs/supervisor.log")).ok()?;
        log.contains("resumed after ").then_some(())
    });
    eventually("probes to go on", || (probes(stack) > before + 5).then_some(()));
    for name in ["fed", "probed"] {
        let service = stack.service(name);
        assert_eq!((service.state(), service.restarts()), ("running", 0), "{:#}", service.0);
    }
}

fn probes(stack: &Stack) -> usize {
    fs::read_to_string(stack.path("probes")).map_or(0, |text| text.lines().count())
}

#[test]
fn a_whole_stack_that_was_frozen_goes_on_where_it_was_and_says_so() {
    let name = "a_whole_stack_that_was_frozen_goes_on_where_it_was_and_says_so";
    let Some(freezer) = is_root().then(Freezer::new).flatten() else {
        return skip(name, "only root with control groups of version 2 can freeze a tree");
    };
    let words = freezer.0.words();
    let mut stack = Setup::of(SERVICES).before(&words.each_ref().map(String::as_str)).start();
    eventually("probes", || (probes(&stack) > 2).then_some(()));
    let before = probes(&stack);
    freezer.freeze_for(Duration::from_secs(6));
    assert_nothing_held_against_anyone(&stack, before);
    stack.stop();
    assert!(freezer.0.is_empty());
}

#[test]
fn roles_that_were_stopped_hold_their_absence_against_nobody() {
    let stack = Setup::of(SERVICES).start();
    eventually("probes", || (probes(&stack) > 2).then_some(()));
    let roles = [stack.keeper(), stack.control()];
    roles.iter().for_each(|pid| send(*pid, Signal::SIGSTOP));
    let before = probes(&stack);
    thread::sleep(Duration::from_secs(6));
    roles.iter().for_each(|pid| send(*pid, Signal::SIGCONT));
    assert_nothing_held_against_anyone(&stack, before);
}
