//! Limits of memory, processes and CPU: kept by control groups where the machine has them, else by looking.
//! Not here: open files, priorities (`inheritance`).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::{Setup, Stack, User, eventually, is_root, skip};

/// Whether a supervisor of ours can have such groups here. A cell of the tests may not have them.
fn groups_limit(test: &str, what: &str) -> bool {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    let told = stack.cli(&["check"]).succeeded().stdout;
    let limits = told.lines().find(|line| line.starts_with("limits are kept: ")).expect("check says so");
    let has = limits.contains(&format!("{what} by control groups"));
    if !has {
        skip(test, &format!("no control group can limit {what} here"));
    }
    has
}

/// The one group of a stack's only run that has this file.
fn file_of_run(stack: &Stack, file: &str) -> Option<PathBuf> {
    stack.groups_of_runs().into_iter().map(|dir| dir.join(file)).find(|file| file.exists())
}

#[track_caller]
fn wait_end(stack: &Stack, service: &str, part: &str) -> String {
    eventually(&format!("an end of {service} with {part:?}"), || {
        let told = stack.cli(&["events", service, "--kind", "exit"]).stdout;
        told.contains(part).then_some(told)
    })
}

const CALM: &str = "restart = { delay = '60s', max_delay = '60s', jitter = 0 }";

#[test]
fn at_its_hard_limit_of_memory_a_service_is_killed_by_the_kernel_and_that_is_told() {
    if !groups_limit("at_its_hard_limit_of_memory_a_service_is_killed_by_the_kernel_and_that_is_told", "memory") {
        return;
    }
    let mut stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet hog 200'\nlimits = {{ memory = '32MiB' }}\n{CALM}\n\
         [services.other]\ncommand = './puppet hog 60'"
    ))
    .start_no_wait();
    wait_end(&stack, "t", "out of memory, at its own limit");
    stack.wait_for("t", "backoff");
    let why = stack.cli(&["why", "t"]).ended_with(1).stdout;
    assert!(why.contains("killed by SIGKILL") && why.contains("out of memory, at its own limit"), "{why}");
    assert!(why.contains("limit        one of its processes was killed at `limits.memory` (32MiB)"), "{why}");
    let told = stack.cli(&["events", "t", "--kind", "limit"]).succeeded().stdout;
    assert!(told.contains("was killed at `limits.memory` (32MiB); it had used 32MiB"), "{told}");
    stack.wait_for("other", "running");
    stack.stop();
    assert_eq!(file_of_run(&stack, "cgroup.procs"), None, "no group is left");
}

#[test]
fn a_tree_of_which_one_process_was_killed_for_memory_is_not_left_half_there() {
    if !groups_limit("a_tree_of_which_one_process_was_killed_for_memory_is_not_left_half_there", "memory") {
        return;
    }
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = ['sh', '-c', './puppet hog 200 & exec sleep 1000']\nlimits = {{ memory = '32MiB' }}\n{CALM}"
    ))
    .start_no_wait();
    wait_end(&stack, "t", "`limits.memory` (32MiB)");
    assert_eq!(stack.wait_for("t", "backoff").pid(), None);
}

#[test]
fn without_groups_the_whole_tree_is_counted_and_killed_over_its_limit() {
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = ['sh', '-c', './puppet hog 40 & setsid ./puppet hog 40 & exec sleep 1000']\n\
         limits = {{ memory = '64MiB' }}\n{CALM}\n\
         [services.fits]\ncommand = './puppet hog 40'\nlimits = {{ memory = '64MiB' }}"
    ))
    .as_user(User::Ordinary)
    .start_no_wait();
    let told = wait_end(&stack, "t", "more than `limits.memory` (64MiB)");
    assert!(told.contains("killed"), "{told}");
    stack.wait_for("t", "backoff");
    let left: Vec<_> = stack.processes().into_iter().filter(|one| one.command.contains("hog")).collect();
    assert_eq!(left.len(), 1, "only the one that fits: {left:?}");
    assert_eq!(stack.service("fits").restarts(), 0);
}

#[test]
fn over_its_soft_limit_a_service_is_followed_by_its_next_generation() {
    for user in [User::Current, User::Ordinary] {
        let port = e2e::free_port();
        let stack = Setup::of(
            &format!(
                "[services.t]\ncommand = './puppet hog 60 --after @grow'\nport = {port}\n\
             rollout = {{ handoff = 'socket', bake = '100ms' }}\nlimits = {{ memory_soft = '32MiB' }}\n\
             restart = {{ reset_after = '300ms' }}\nenv.GENERATION = '${{generation}}'"
            )
            .replace("@grow", "grow-${generation}"),
        )
        .as_user(user)
        .start();
        std::fs::write(stack.path("grow-1"), "").expect("the directory can be written");
        let service = stack.wait_until("t", "served by its second generation", |service| {
            service.0["generation"] == 2 && service.state() == "running"
        });
        let told = stack.cli(&["events", "t", "--kind", "rollout"]).stdout;
        assert!(told.contains("more than `limits.memory_soft` (32MiB)"), "{user:?}: {told}");
        assert_eq!(service.0["failures"], 0, "it is no failure");
        eventually("the limit to be kept again", || {
            let told = stack.cli(&["events", "t", "--kind", "limit"]).stdout;
            let (passed, kept) = (told.find("more than `limits.memory_soft`")?, told.find("keeps within its limits")?);
            (passed < kept).then_some(())
        });
    }
}

#[test]
fn a_fork_bomb_gets_no_further_than_its_limit_of_processes() {
    if !groups_limit("a_fork_bomb_gets_no_further_than_its_limit_of_processes", "pids") {
        return;
    }
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'while :; do sleep 1000 & done']\nlimits = { pids = 40 }\n\
         [services.other]\ncommand = './puppet wait'",
    )
    .start_no_wait();
    stack.wait_log("t", "ork");
    let bombs = stack.processes().into_iter().filter(|one| one.command.contains("sleep")).count();
    assert!(bombs <= 40, "{bombs} processes");
    let began = Instant::now();
    assert_eq!(stack.get("/livez").status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "the API took {:?}", began.elapsed());
    stack.wait_for("other", "running");
    eventually("it to be told", || {
        let told = stack.cli(&["events", "t", "--kind", "limit"]).stdout;
        told.contains("has come up against `limits.pids` (40)").then_some(())
    });
    let done = stack.cli(&["stop", "--now", "t"]).succeeded();
    assert!(done.took < Duration::from_secs(5), "it took {:?}", done.took);
    assert_eq!(file_of_run(&stack, "pids.max"), None, "its group is gone");
}

#[test]
fn without_groups_too_many_processes_are_killed() {
    let stack = Setup::of(&format!("[services.t]\ncommand = './puppet forkbomb 30'\nlimits = {{ pids = 20 }}\n{CALM}"))
        .as_user(User::Ordinary)
        .start_no_wait();
    wait_end(&stack, "t", "31 processes, more than `limits.pids` (20)");
    stack.wait_for("t", "backoff");
    let left: Vec<_> = stack.processes().into_iter().filter(|one| one.command.contains("sleep")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_limit_of_cpu_slows_down_and_kills_nothing() {
    if !groups_limit("a_limit_of_cpu_slows_down_and_kills_nothing", "cpu") {
        return;
    }
    let stack =
        Setup::of("[services.t]\ncommand = ['sh', '-c', 'while :; do :; done']\nlimits = { cpu = 0.1 }").start();
    let group = || file_of_run(&stack, "cpu.cfs_quota_us").or_else(|| file_of_run(&stack, "cpu.max"));
    let stat = eventually("the group of the run", group).with_file_name("cpu.stat");
    eventually("it to be slowed down", || {
        let text = std::fs::read_to_string(&stat).ok()?;
        let count = text.lines().find_map(|line| line.strip_prefix("nr_throttled "))?.parse::<u64>().ok()?;
        (count > 2).then_some(())
    });
    let service = stack.service("t");
    assert_eq!((service.state(), service.restarts()), ("running", 0));
}

#[test]
fn a_changed_limit_counts_for_what_runs() {
    let change = |stack: &Stack, from: &str, to: &str| {
        stack.edit(from, to);
        stack.cli(&["reload"]).succeeded();
    };
    let setup = || {
        Setup::of(&format!(
            "[services.t]\ncommand = './puppet hog 40'\nlimits = {{ memory = '200MiB', pids = 100 }}\n{CALM}"
        ))
        .supervisor("auto_reload = false")
    };
    let stack = setup().as_user(User::Ordinary).start();
    let pid = stack.pid("t");
    change(&stack, "pids = 100", "pids = 50");
    assert_eq!(stack.pid("t"), pid);
    change(&stack, "200MiB", "20MiB");
    wait_end(&stack, "t", "more than `limits.memory` (20MiB)");
    if !groups_limit("a_changed_limit_counts_for_what_runs", "pids") {
        return;
    }
    let stack = setup().start();
    let pid = stack.pid("t");
    let most = file_of_run(&stack, "pids.max").expect("it has a group");
    assert_eq!(std::fs::read_to_string(&most).expect("it is there").trim(), "100");
    change(&stack, "pids = 100", "pids = 50");
    eventually("the kernel to know it", || {
        (std::fs::read_to_string(&most).expect("it is there").trim() == "50").then_some(())
    });
    assert_eq!(stack.pid("t"), pid);
}

#[test]
fn a_new_control_goes_on_looking() {
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet hog 60 --after grow'\nlimits = {{ memory = '32MiB' }}\n{CALM}"
    ))
    .as_user(if is_root() { User::Ordinary } else { User::Current })
    .start();
    stack.kill_control();
    std::fs::write(stack.path("grow"), "").expect("the directory can be written");
    wait_end(&stack, "t", "more than `limits.memory` (32MiB)");
}
