//! What a reload begins is waited for and told, as with a start: new services, what they need, further instances.
//! Not here: what differs and what is done about it (`reload`), rollouts.

use std::fs;

use e2e::{Done, Setup, Stack, eventually};

/// Ready once `go` is there.
const READY: &str = "ready = { command = ['test', '-e', 'go'], interval = '20ms' }\n";

fn by_hand(services: &str) -> Setup {
    Setup::of(services).supervisor("auto_reload = false")
}

fn add(stack: &Stack, text: &str) {
    stack.save(&format!("{}{text}", stack.text()));
}

/// Reloads while nothing new can become ready; then lets it.
#[track_caller]
fn reloaded_once_ready(stack: &Stack, name: &str) -> String {
    let _was_there = fs::remove_file(stack.path("go"));
    let (mut child, out, err) = stack.spawn(&["reload"], std::process::Stdio::null());
    stack.wait_until(name, "on its way", |service| service.state() == "starting");
    e2e::holds_for(std::time::Duration::from_millis(300), "the reload waits", || {
        child.try_wait().expect("it can be asked").is_none()
    });
    fs::write(stack.path("go"), "").expect("it can be written");
    let ended = eventually("the reload to end", || child.try_wait().expect("it can be asked"));
    let read = |path| fs::read_to_string(path).expect("it was written");
    assert!(ended.success(), "{}", read(err));
    read(out)
}

#[test]
fn a_reload_returns_when_what_it_adds_is_ready() {
    let stack = by_hand("[services.a]\ncommand = './puppet wait'\n").start();
    add(&stack, &format!("[services.b]\ncommand = './puppet wait'\n{READY}"));
    let told = reloaded_once_ready(&stack, "b");
    assert!(told.contains("started  b        running, ready after"), "{told}");
    // One that was there, and that nobody wanted so far.
    add(&stack, &format!("[services.c]\ncommand = './puppet wait'\nautostart = false\n{READY}"));
    assert!(stack.cli(&["reload"]).succeeded().stdout.contains("added"), "nothing is begun, so nothing is waited for");
    add(&stack, "[services.d]\ncommand = './puppet wait'\ndepends_on = ['c']\n");
    let dry = stack.cli(&["reload", "--dry-run"]).succeeded().stdout;
    assert!(dry.contains("would start  c") && dry.contains("would start  d"), "{dry}");
    let told = reloaded_once_ready(&stack, "c");
    assert!(told.contains("started  c        running") && told.contains("started  d        running"), "{told}");
    // One that was stopped, and that something which runs depends on from now on.
    stack.cli(&["stop", "c"]).succeeded();
    stack.edit("[services.a]\n", "[services.a]\ndepends_on = ['c']\n");
    let dry = stack.cli(&["reload", "--dry-run"]).succeeded().stdout;
    assert!(dry.lines().any(|line| line.starts_with("would start") && line.ends_with(" c")), "{dry}");
    let told = reloaded_once_ready(&stack, "c");
    let is_c = |line: &str| line.starts_with("started  c ") && line.contains("running, ready after");
    assert!(told.lines().any(is_c), "{told}");
}

#[test]
fn a_reload_returns_when_further_instances_are_ready() {
    let stack = by_hand(&format!("[services.a]\ncommand = './puppet wait'\ninstances = 1\n{READY}")).prepare();
    fs::write(stack.path("go"), "").expect("it can be written");
    stack.cli(&["start"]).succeeded();
    stack.edit("instances = 1", "instances = 3");
    let told = reloaded_once_ready(&stack, "a");
    assert!(told.contains("instances  running, ready after"), "{told}");
}

#[test]
fn a_reload_ends_when_what_it_adds_fails_or_waits_in_vain() {
    let stack = by_hand("[services.a]\ncommand = './puppet wait'\n").start();
    add(
        &stack,
        &format!(
            "[services.bad]\ncommand = './puppet exit-code 3'\nrestart = {{ delay = '10ms', crash_loop = 2 }}\n{READY}\
             [services.behind]\ncommand = './puppet wait'\ndepends_on = ['bad']\n"
        ),
    );
    let done = stack.cli(&["reload"]).ended_with(1);
    assert!(done.stderr.contains("error: bad: exited with code 3"), "{}", done.stderr);
    let told = |done: &Done| {
        let (why, next) = ("error: behind: waiting for bad to be ready", "`supervisor why behind` says more");
        assert!(done.stderr.contains(why) && done.stderr.contains(next), "{}", done.stderr);
    };
    told(&done);
    // Nothing else is judged that could have failed.
    told(&stack.cli(&["start", "behind"]).ended_with(1));
    add(&stack, "[services.further]\ncommand = './puppet wait'\ndepends_on = ['behind']\n");
    let done = stack.cli(&["reload"]).ended_with(1);
    assert!(done.stderr.contains("error: further: waiting for behind"), "{}", done.stderr);
    // As if the watch had been quicker: what it has begun has failed.
    let done = stack.cli(&["reload"]).ended_with(1);
    assert!(done.stderr.contains("what that began is not over for: further"), "{}", done.stderr);
}
