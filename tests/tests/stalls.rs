//! Time that is lost: what is frozen together is not held against anyone.
//! Not here: clocks that jump (`clocks`), a control that hangs alone (the keeper's own tests).

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use e2e::{Setup, Signal, Stack, eventually, is_root, send, skip};

/// A control group of the test's own, in which a whole stack lives; removed when this is dropped.
struct Freezer(PathBuf);

impl Freezer {
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        let mut found = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let dir = Path::new(found.next()?.split(' ').nth(1)?).join(format!("e2e-{}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        let freezer = Self(dir);
        freezer.0.join("cgroup.freeze").exists().then_some(freezer)
    }

    /// Words that put what they are put before into the group.
    fn words(&self) -> [String; 4] {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]
    }

    fn freeze_for(&self, span: Duration) {
        let set = |state: &str| fs::write(self.0.join("cgroup.freeze"), state).expect("root may");
        set("1");
        eventually("all to be frozen", || {
            fs::read_to_string(self.0.join("cgroup.events")).ok()?.contains("frozen 1").then_some(())
        });
        thread::sleep(span);
        set("0");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _already = fs::write(self.0.join("cgroup.freeze"), "0");
        let _gone = fs::remove_dir(&self.0);
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
    let words = freezer.words();
    let mut stack = Setup::of(SERVICES).before(&words.each_ref().map(String::as_str)).start();
    eventually("probes", || (probes(&stack) > 2).then_some(()));
    let before = probes(&stack);
    freezer.freeze_for(Duration::from_secs(6));
    assert_nothing_held_against_anyone(&stack, before);
    stack.stop();
    assert!(fs::read_to_string(freezer.0.join("cgroup.procs")).is_ok_and(|text| text.is_empty()));
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
