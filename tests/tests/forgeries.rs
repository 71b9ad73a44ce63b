//! Files that someone else wrote where the supervisor keeps its own: nobody is signalled and nothing is overwritten for
//! what they say.
//! Not here: other users at the API (`http`), symbolic links (unit tests of each file).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};

use e2e::{Setup, Stack, alive, eventually, is_root, kill_together, skip};

/// A process that has nothing to do with any stack.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").env_clear().spawn().expect("every system has it"))
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Every file in which the supervisor might be thought to keep a pid now says this one.
fn forge(stack: &Stack, pid: i32) {
    for dir in ["state", "run"] {
        fs::create_dir_all(stack.path(dir)).expect("ours");
        fs::set_permissions(stack.path(dir), fs::Permissions::from_mode(0o700)).expect("ours");
    }
    for file in ["state/lock", "state/pid", "state/keeper.pid", "run/pid", "run/supervisor.pid", "run/control.pid"] {
        fs::write(stack.path(file), format!("{pid}\n")).expect("ours");
    }
}

#[test]
fn a_forged_pid_makes_no_stranger_a_leftover() {
    let (first, second) = (Stranger::new(), Stranger::new());
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    forge(&stack, first.pid());
    let told = stack.cli(&["start"]).succeeded();
    assert!(!told.stderr.contains("earlier supervisor"), "{}", told.stderr);
    let (keeper, control, service) = (stack.keeper(), stack.control(), stack.pid("t"));
    kill_together(&[keeper, control]);
    eventually("both roles to be gone", || (!alive(keeper) && !alive(control)).then_some(()));
    forge(&stack, second.pid());
    let told = stack.cli(&["start"]).succeeded().stderr;
    assert!(told.contains(&format!("({service})")), "only what was left is ended: {told}");
    stack.stop();
    assert!(alive(first.pid()) && alive(second.pid()));
}

#[test]
fn a_forged_pid_in_the_lock_stops_nobody_when_the_stack_is_stopped() {
    let stranger = Stranger::new();
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    forge(&stack, stranger.pid());
    let done = stack.cli(&["stop"]);
    assert!(alive(stranger.pid()), "{}", done.stderr);
    stack.cli(&["restart"]);
    assert!(alive(stranger.pid()));
}

#[test]
fn root_writes_no_log_through_a_hard_link() {
    let name = "root_writes_no_log_through_a_hard_link";
    if !is_root() {
        return skip(name, "others' files are in danger from root only");
    }
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --rate 100'").prepare();
    fs::create_dir_all(stack.path("logs")).expect("ours");
    fs::write(stack.path("victim"), "precious\n").expect("ours");
    fs::hard_link(stack.path("victim"), stack.path("logs/t.log")).expect("one file system");
    stack.cli(&["start", "--no-wait"]).succeeded();
    stack.wait_until("t", "without a log, and why", |service| {
        service.0["log_error"].as_str().is_some_and(|why| why.contains("link"))
    });
    assert_eq!(fs::read_to_string(stack.path("victim")).expect("there"), "precious\n");
    stack.wait_for("t", "running");
}
