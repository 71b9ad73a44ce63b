//! The first control as a copy of the keeper: what it has of it, and what not.
//! Not here: what is the same of every control.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getsid};
use supervisor_keeper::{Notice, Reply, Request, VERSION};

use crate::rig::{Rig, is_root, wait_for};

fn rig(first: &'static str) -> Rig {
    Rig::start_with(|command: &mut Command| {
        command.env("KEEPER_TEST_FIRST", first);
    })
}

fn told(pid: i32, what: &str) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/{what}")).unwrap()
}

#[test]
fn the_first_control_is_a_copy_and_the_next_another_program() {
    let rig = rig("copy");
    let mut control = rig.control();
    let welcome = |epoch| Notice::Welcome { version: VERSION, epoch, keeper_pid: rig.pid(), pid_one: false };
    assert_eq!(control.inventory()[0], welcome(1));
    assert_eq!(told(control.pid, "cmdline"), told(rig.pid(), "cmdline"));
    let first = control.pid;
    control.kill();
    let mut control = rig.control();
    assert_eq!(control.inventory()[0], welcome(2));
    assert_eq!(told(control.pid, "cmdline"), b"control\0");
    wait_for("the first to be reaped", || (!std::path::Path::new(&format!("/proc/{first}")).exists()).then_some(()));
}

#[test]
fn a_copy_has_the_descriptors_the_limits_and_the_session_of_any_control_and_no_signal_of_the_keepers() {
    let (copy, program) = (rig("copy"), rig(""));
    let (copied, executed) = (copy.control(), program.control());
    for pid in [copied.pid, executed.pid] {
        assert_eq!(getsid(Some(Pid::from_raw(pid))), Ok(Pid::from_raw(pid)));
    }
    assert_eq!(told(copied.pid, "limits"), told(executed.pid, "limits"));
    let status = String::from_utf8(told(copied.pid, "status")).unwrap();
    for what in ["SigBlk", "SigIgn", "SigCgt"] {
        assert!(status.contains(&format!("{what}:\t0000000000000000\n")), "{status}");
    }
    if !is_root() {
        println!(
            "skipped: a_copy_has_the_descriptors_the_limits_and_the_session_of_any_control: descriptors: the keeper and its copy show theirs to root only"
        );
        return;
    }
    let descriptors = |pid: i32| -> BTreeSet<_> {
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    // Each hands its channel to this test, and closes it a moment later.
    wait_for("the same descriptors", || (descriptors(copied.pid) == descriptors(executed.pid)).then_some(()));
}

#[test]
fn a_copy_makes_processes_and_is_asked_to_stop_like_any_control() {
    let mut rig = rig("copy");
    let mut control = rig.control();
    control.inventory();
    control.run(rig.script(1, "exit 3"), &rig.path("out"));
    assert_eq!(control.exit_of(1).code, Some(3));
    rig.signal(Signal::SIGTERM);
    control.until("the request", |notice| (notice == Notice::Shutdown { now: false }).then_some(()));
    assert_eq!(control.ask(&Request::Finish { code: 7 }), Reply::Done);
    control.exit(0);
    assert_eq!(rig.ended().code(), Some(7));
}

#[test]
fn a_copy_that_panics_is_followed_by_another_control() {
    let rig = rig("panic");
    let mut control = rig.control();
    assert!(matches!(control.inventory()[0], Notice::Welcome { epoch: 2, .. }));
}
