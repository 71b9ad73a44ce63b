//! The end of everything: with control, without it, and in a hurry.
//! Not here: the end of one service.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use supervisor_keeper::{Notice, Reply, Request};

use crate::rig::{Control, Rig, line_in, lives, wait_for};

#[test]
fn a_signal_is_passed_on_to_control_and_a_second_one_says_now() {
    let mut rig = Rig::start();
    let mut control = rig.control();
    rig.signal(Signal::SIGTERM);
    assert!(!shutdown(&mut control));
    rig.signal(Signal::SIGINT);
    assert!(shutdown(&mut control));
    assert_eq!(control.ask(&Request::Finish { code: 7 }), Reply::Done);
    control.exit(0);
    assert_eq!(rig.ended().code(), Some(7));
}

#[test]
fn a_new_control_hears_of_the_shutdown_too() {
    let rig = Rig::start();
    let mut control = rig.control();
    rig.signal(Signal::SIGTERM);
    assert!(!shutdown(&mut control));
    control.kill();
    let mut control = rig.control();
    assert_eq!(control.inventory().last(), Some(&Notice::Ready));
    assert!(!shutdown(&mut control));
}

#[test]
fn finishing_ends_what_is_left() {
    let mut rig = Rig::start();
    let mut control = rig.control();
    let polite = "trap 'echo asked >> polite; exit 0' TERM; echo up; while :; do sleep 0.01; done";
    let stubborn = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ > grandchild; sleep 60; :' &) ; sleep 60; :";
    control.run(rig.script(1, polite), &rig.path("out"));
    let main = control.run(rig.script(2, stubborn), &rig.path("out2"));
    line_in(&rig.path("out"));
    let grandchild: i32 = line_in(&rig.path("grandchild")).trim().parse().unwrap();
    assert_eq!(control.ask(&Request::Finish { code: 0 }), Reply::Done);
    // Control itself lingers: it is killed.
    assert_eq!(rig.ended().code(), Some(0));
    assert!(!lives(main) && !lives(grandchild) && !lives(control.pid));
    assert_eq!(fs::read_to_string(rig.path("polite")).unwrap(), "asked\n");
}

#[test]
fn without_control_services_are_stopped_by_rank() {
    let mut rig = Rig::start();
    let mut control = rig.control();
    for rank in [3, 1, 2] {
        let script = format!(
            "trap 'echo asked {rank} >> order; sleep 0.2; echo ended {rank} >> order; exit 0' HUP
             echo up; while :; do sleep 0.01; done"
        );
        let mut spawn = rig.script(rank.into(), &script);
        spawn.stop_rank = rank;
        spawn.stop_signal = libc::SIGHUP;
        control.run(spawn, &rig.path(&format!("out{rank}")));
        line_in(&rig.path(&format!("out{rank}")));
    }
    rig.signal(Signal::SIGTERM);
    assert!(!shutdown(&mut control));
    control.exit(1);
    rig.control().exit(1);
    rig.control().exit(1);
    assert_eq!(rig.ended().code(), Some(0));
    let order = fs::read_to_string(rig.path("order")).unwrap();
    assert_eq!(order, "asked 3\nended 3\nasked 2\nended 2\nasked 1\nended 1\n");
}

#[test]
fn without_control_a_service_that_ignores_the_request_is_killed_with_its_group_after_its_time() {
    let mut rig = Rig::start();
    let mut control = rig.control();
    let mut spawn = rig.script(1, "trap '' TERM; sleep 60 & echo $!; wait");
    spawn.stop_timeout_ms = 300;
    let main = control.run(spawn, &rig.path("out"));
    let child: i32 = line_in(&rig.path("out")).trim().parse().unwrap();
    let began = Instant::now();
    crash_through_the_shutdown(&rig, control);
    assert_eq!(rig.ended().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(!lives(main) && !lives(child));
}

#[test]
fn a_signal_while_the_keeper_stops_everything_by_itself_kills_at_once() {
    let mut rig = Rig::start();
    let mut control = rig.control();
    let mut spawn = rig.script(1, "trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done");
    spawn.stop_timeout_ms = 60_000;
    control.run(spawn, &rig.path("out"));
    line_in(&rig.path("out"));
    crash_through_the_shutdown(&rig, control);
    wait_for("the request", || fs::read_to_string(rig.path("out")).unwrap().contains("asked").then_some(()));
    let began = Instant::now();
    rig.signal(Signal::SIGTERM);
    assert_eq!(rig.ended().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_control_that_does_not_finish_in_time_is_not_waited_for() {
    let mut rig = Rig::start_with(|command| {
        command.env("KEEPER_TEST_TIMEOUT_MS", "60000");
    });
    let mut control = rig.control();
    assert_eq!(control.ask(&Request::Configure { shutdown_timeout_ms: 100 }), Reply::Done);
    let main = control.run(rig.script(1, "exec sleep 60"), &rig.path("out"));
    let began = Instant::now();
    rig.signal(Signal::SIGTERM);
    assert!(!shutdown(&mut control));
    assert_eq!(rig.ended().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_millis(5_100), "it had its time and five seconds of grace");
    assert!(!lives(main) && !lives(control.pid));
}

#[test]
fn as_process_one_it_adopts_every_orphan_and_is_down_within_ten_seconds() {
    let probe = Command::new("unshare").args(["-pfm", "mount", "-t", "proc", "proc", "/proc"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped: as_process_one_it_adopts_every_orphan: this process may not make a process namespace");
        return;
    }
    let mut rig = Rig::start_with(|command| {
        command.env("KEEPER_TEST_ROLE", "process 1");
    });
    let mut control = rig.control();
    let inventory = control.inventory();
    assert!(matches!(inventory[0], Notice::Welcome { keeper_pid: 1, pid_one: true, .. }), "{inventory:?}");
    control.run(rig.script(1, "setsid sleep 60 & exit 0"), &rig.path("out"));
    assert!(!control.exit_of(1).alone);
    let stubborn = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    control.run(rig.script(2, stubborn), &rig.path("out"));
    line_in(&rig.path("out"));
    let began = Instant::now();
    let one = fs::read_to_string(format!("/proc/{0}/task/{0}/children", rig.pid())).unwrap();
    let one = Pid::from_raw(one.trim().parse().unwrap());
    // None of these may end it: 32 and 33 belong to the C library.
    for signal in (1..=31).chain(34..=64).filter(|s| ![2, 3, 9, 15, 19].contains(s)) {
        send_signal(one, signal);
    }
    control.hears_only(&Notice::Reload);
    send_signal(one, libc::SIGTERM);
    assert!(!shutdown(&mut control));
    assert_eq!(rig.ended().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

fn send_signal(pid: Pid, signal: i32) {
    #[expect(unsafe_code, reason = "nix knows no real-time signals")]
    // SAFETY: kill touches no memory.
    let sent = unsafe { libc::kill(pid.as_raw(), signal) };
    assert_eq!(sent, 0, "signal {signal}");
}

fn crash_through_the_shutdown(rig: &Rig, mut control: Control) {
    rig.signal(Signal::SIGTERM);
    assert!(!shutdown(&mut control));
    control.exit(1);
    rig.control().exit(1);
    rig.control().exit(1);
}

/// Waits for the notice and says whether it is urgent.
fn shutdown(control: &mut Control) -> bool {
    control.until("the shutdown", |notice| match notice {
        Notice::Shutdown { now } => Some(now),
        _ => None,
    })
}
