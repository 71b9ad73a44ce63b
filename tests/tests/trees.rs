//! Control groups: a process that hides from everything else is found and ended; without them all goes on as before.
//! Not here: trees that sessions and cookies tell (`processes`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Setup, Signal, Stack, User, alive, eventually, is_root, send, skip};

/// The machine lets us make control groups of version 2; a cell of the tests may not.
fn groups_can_be_made(test: &str) -> bool {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    let told = stack.cli(&["check"]).succeeded().stdout;
    if !told.contains("trees are known by control groups") {
        skip(test, "no control group of version 2 can be made here");
        return false;
    }
    true
}

/// As a supervisor leaves it that was killed a while ago.
fn left_behind(home: &Path, name: &str) -> PathBuf {
    let group = home.join(name);
    std::fs::create_dir_all(group.join("cafe.1")).expect("root may make groups");
    let old = std::time::SystemTime::now() - Duration::from_secs(600);
    std::fs::File::open(&group).and_then(|dir| dir.set_modified(old)).expect("its time can be set");
    group
}

#[test]
fn empty_groups_of_supervisors_that_were_killed_are_removed_by_the_next_start_of_any_stack() {
    if !groups_can_be_made("empty_groups_of_supervisors_that_were_killed_are_removed_by_the_next_start_of_any_stack") {
        return;
    }
    let mut idle = Setup::of("[services.t]\ncommand = './puppet wait'\nautostart = false").start_no_wait();
    let is_of_version_2 = |dir: &PathBuf| dir.join("cgroup.events").exists();
    let own = idle.groups().into_iter().find(is_of_version_2).expect("a stack has a group of its own");
    let home = own.parent().expect("it is below another one").to_owned();
    let (pid, own_name) = (std::process::id(), own.file_name().expect("it has a name").to_string_lossy().into_owned());
    let dead = left_behind(&home, &format!("supervisor-dead{pid}"));
    left_behind(&home, &own_name);
    let mut other = Setup::of("[services.t]\ncommand = './puppet escape'").start();
    eventually("what nobody holds to be gone", || (!dead.exists()).then_some(()));
    assert!(own.exists(), "a supervisor that runs nothing keeps its group");
    idle.cli(&["start", "t"]).succeeded();
    assert!(idle.groups_of_runs().len() > 1, "and uses it: {:?}", idle.groups());
    idle.stop();
    other.stop();
}

/// The process that `puppet escape` left.
#[track_caller]
fn escaped(stack: &Stack, service: &str) -> i32 {
    let text = stack.wait_log(service, "escaped: ");
    let line = text.lines().rev().find(|line| line.starts_with("escaped: ")).expect("the log holds it");
    line["escaped: ".len()..].parse().expect("it is a number")
}

#[test]
fn a_process_without_session_and_environment_ends_with_its_service() {
    if !groups_can_be_made("a_process_without_session_and_environment_ends_with_its_service") {
        return;
    }
    let mut stack = Setup::of("[services.t]\ncommand = './puppet escape'").start();
    let pid = escaped(&stack, "t");
    assert!(alive(pid));
    stack.cli(&["stop", "t"]).succeeded();
    assert!(!alive(pid), "it still runs");
    stack.stop();
    assert!(stack.groups().is_empty(), "left behind: {:?}", stack.groups());
}

#[test]
fn what_hides_is_gone_before_the_next_run_begins() {
    if !groups_can_be_made("what_hides_is_gone_before_the_next_run_begins") {
        return;
    }
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet escape --exit 1'\nrestart = { delay = '10ms', max_delay = '50ms' }",
    )
    .start_no_wait();
    stack.wait_until("t", "started again three times", |service| service.restarts() >= 3);
    stack.cli(&["stop", "t"]).succeeded();
    let log = stack.wait_log("t", "escaped: ");
    let left: Vec<i32> = log.lines().filter_map(|line| line.strip_prefix("escaped: ")?.parse().ok()).collect();
    assert!(left.len() >= 3 && left.iter().all(|pid| !alive(*pid)), "{left:?}");
    assert!(stack.groups_of_runs().is_empty(), "the groups of past runs are removed: {:?}", stack.groups_of_runs());
}

#[test]
fn what_hides_is_found_by_a_new_control_and_by_the_next_supervisor() {
    if !groups_can_be_made("what_hides_is_found_by_a_new_control_and_by_the_next_supervisor") {
        return;
    }
    let mut stack =
        Setup::of("[services.a]\ncommand = './puppet escape'\n[services.b]\ncommand = './puppet escape'").start();
    let (a, b) = (escaped(&stack, "a"), escaped(&stack, "b"));
    stack.kill_control();
    stack.cli(&["stop", "a"]).succeeded();
    assert!(!alive(a), "a new control does not know it");
    assert!(alive(b), "it is another service's");
    let (keeper, control) = (stack.keeper(), stack.control());
    e2e::kill_together(&[keeper, control]);
    eventually("both roles to be gone", || (!alive(keeper) && !alive(control)).then_some(()));
    assert!(alive(b));
    let told = stack.cli(&["start"]).succeeded().stderr;
    assert!(told.contains("of an earlier supervisor"), "{told}");
    assert!(!alive(b), "the next supervisor does not know it");
    stack.stop();
    assert!(stack.groups().is_empty(), "left behind: {:?}", stack.groups());
}

#[test]
fn a_kill_reaches_a_whole_tree_at_once() {
    if !groups_can_be_made("a_kill_reaches_a_whole_tree_at_once") {
        return;
    }
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet tree --ignore-term main,child,grandchild,daemon'\nstop = { timeout = '60s' }",
    )
    .start();
    stack.wait_log("t", "}");
    let done = stack.cli(&["stop", "--now", "t"]).succeeded();
    assert!(done.took < Duration::from_secs(10), "it took {:?}", done.took);
    let left: Vec<_> = stack.processes().into_iter().filter(|one| one.command.contains("puppet")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_a_probe_leaves_hidden_ends_with_its_service() {
    if !groups_can_be_made("what_a_probe_leaves_hidden_ends_with_its_service") {
        return;
    }
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet wait'\n\
         ready = { command = ['sh', '-c', './puppet escape --exit 0 > told'] }",
    )
    .start();
    let told = std::fs::read_to_string(stack.path("told")).expect("the probe ran");
    let pid: i32 = told.trim().trim_start_matches("escaped: ").parse().expect("a number");
    assert!(alive(pid));
    stack.cli(&["stop", "t"]).succeeded();
    assert!(!alive(pid));
}

#[test]
fn a_user_who_may_make_none_loses_nothing() {
    if !is_root() {
        return skip("a_user_who_may_make_none_loses_nothing", "only root knows a user who may not");
    }
    let mut stack = Setup::of("[services.t]\ncommand = './puppet tree'").as_user(User::Ordinary).start();
    let told = stack.cli(&["check"]).stdout;
    assert!(told.contains("trees are known by sessions and cookies"), "{told}");
    stack.wait_log("t", "}");
    send(stack.pid("t"), Signal::SIGKILL);
    stack.wait_until("t", "started again", |service| service.restarts() >= 1);
    stack.stop();
}

#[test]
fn where_the_control_groups_are_read_only_sessions_and_cookies_have_to_do() {
    let name = "where_the_control_groups_are_read_only_sessions_and_cookies_have_to_do";
    let freeze = "for at in $(awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts); do mount -o remount,bind,ro $at; done; exec \"$@\"";
    let before = ["unshare", "-m", "sh", "-c", freeze, "sh"];
    let works =
        std::process::Command::new(before[0]).args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !works {
        return skip(name, "no mount namespaces here");
    }
    let mut stack = Setup::of("[services.t]\ncommand = './puppet tree'").before(&before).start();
    let told = stack.wait_log("supervisor", "control starts");
    assert!(told.contains("trees=\"sessions and cookies"), "{told}");
    stack.wait_log("t", "}");
    stack.cli(&["stop", "t"]).succeeded();
    let left: Vec<_> = stack.processes().into_iter().filter(|one| one.command.contains("puppet")).collect();
    assert!(left.is_empty(), "{left:?}");
    stack.stop();
}
