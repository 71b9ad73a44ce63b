//! Ends of processes: of runs, of orphans, of helpers.
//! Not here: what a shutdown does.

use std::collections::BTreeMap;
use std::fs;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use supervisor_keeper::{Notice, Reply, Request, Spawn};

use crate::rig::{Control, Rig, line_in, lives, wait_for};

#[test]
fn every_exit_code_and_signal_is_told_beside_many_orphans() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.run(orphans(&rig, 1_000, 500), &rig.path("out"));
    let mut expected = BTreeMap::new();
    for code in 0..=255 {
        control.run(rig.script(code, &format!("exit {code}")), &rig.path("out"));
        expected.insert(code, (Some(i32::try_from(code).unwrap()), None));
    }
    // The fatal ones, by default.
    for signal in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 29, 30, 31, 34, 50, 64] {
        let run = 300 + u64::try_from(signal).unwrap();
        control.run(rig.script(run, &format!("ulimit -c 0; kill -{signal} $$; sleep 60")), &rig.path("out"));
        expected.insert(run, (None, Some(signal)));
    }
    expected.insert(1_000, (Some(0), None));
    let mut seen = BTreeMap::new();
    while seen.len() < expected.len() {
        let exited = control.until("an exit", |notice| match notice {
            Notice::Exited(exited) => Some(exited),
            _ => None,
        });
        assert!(seen.insert(exited.run, (exited.code, exited.signal)).is_none(), "told once");
    }
    assert_eq!(seen, expected);
}

#[test]
fn whether_a_core_was_written_is_told() {
    let rig = Rig::start();
    let mut control = rig.control();
    let kill = |limit: &str| format!("ulimit -c {limit} || exit 3; kill -SEGV $$; sleep 60");
    control.run(rig.script(1, &kill("0")), &rig.path("out"));
    let none = control.exit_of(1);
    assert_eq!((none.signal, none.core_dumped), (Some(libc::SIGSEGV), false));
    control.run(rig.script(2, &kill("unlimited")), &rig.path("out"));
    let core = control.exit_of(2);
    if core.code == Some(3) {
        println!("skipped: whether_a_core_was_written_is_told: cores are forbidden here");
        return;
    }
    assert_eq!((core.signal, core.core_dumped), (Some(libc::SIGSEGV), true));
}

#[test]
fn two_thousand_orphans_leave_no_zombie() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.run(orphans(&rig, 1, 2_000), &rig.path("out"));
    assert_eq!(control.exit_of(1).code, Some(0));
    wait_for("the last orphan", || (orphans_of(&mut control).is_empty()).then_some(()));
    let children = format!("/proc/{0}/task/{0}/children", rig.pid());
    let children = fs::read_to_string(children).unwrap();
    assert_eq!(children.split_whitespace().collect::<Vec<_>>(), [control.pid.to_string()]);
}

#[test]
fn a_thousand_runs_that_die_in_the_same_instant_are_each_told_once_and_leave_no_zombie() {
    const RUNS: u64 = 1_000;
    let rig = Rig::start();
    let mut control = rig.control();
    let mut sleep = |run| control.run(rig.script(run, "exec sleep 1000"), &rig.path("out"));
    let pids: Vec<i32> = (0..RUNS).map(&mut sleep).collect();
    // It finds all of them dead at once.
    rig.signal(Signal::SIGSTOP);
    pids.iter().for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap());
    wait_for("all to be dead", || pids.iter().all(|pid| !lives(*pid)).then_some(()));
    rig.signal(Signal::SIGCONT);
    let mut told = BTreeMap::new();
    while told.len() < pids.len() {
        let exited = control.until("an exit", |notice| match notice {
            Notice::Exited(exited) => Some(exited),
            _ => None,
        });
        assert_eq!(exited.signal, Some(libc::SIGKILL));
        assert_eq!(told.insert(exited.run, exited.pid), None, "told once");
    }
    assert!(told.into_values().eq(pids), "each run by its own process");
    let children = format!("/proc/{0}/task/{0}/children", rig.pid());
    let children = fs::read_to_string(children).unwrap();
    assert_eq!(children.split_whitespace().collect::<Vec<_>>(), [control.pid.to_string()]);
    assert_eq!(control.lull(), []);
}

#[test]
fn an_exit_tells_its_cost() {
    let rig = Rig::start();
    let mut control = rig.control();
    let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let pid = control.run(rig.script(1, script), &rig.path("out"));
    let exited = control.exit_of(1);
    assert_eq!(exited.pid, pid);
    assert!(exited.cpu_us > 1_000 && exited.cpu_us < 20_000_000, "{exited:?}");
    assert!(exited.max_rss > 100_000 && exited.max_rss < 1 << 30, "{exited:?}");
    assert!(exited.at_ms > 0);
}

#[test]
fn an_exit_is_alone_when_nothing_of_its_tree_can_be_left() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.run(rig.script(1, "exec sleep 60"), &rig.path("out"));
    control.run(rig.script(2, "true & wait; exit 0"), &rig.path("out"));
    assert!(control.exit_of(2).alone, "another run's main process is known");
    // Of three kinds of descendants, each alone is enough.
    let daemons = ["sleep 60 & exit 0", "setsid sleep 60 & exit 0", "(setsid sleep 60 &) ; exit 0"];
    for (run, script) in (3..).zip(daemons) {
        control.run(rig.script(run, script), &rig.path("out"));
        assert!(!control.exit_of(run).alone, "{script}");
        let orphan = wait_for("the orphan", || orphans_of(&mut control).first().copied());
        assert!(lives(orphan));
        let request = Request::SignalOrphan { pid: orphan, signal: 15, and_continue: true };
        assert_eq!(control.ask(&request), Reply::Done);
        control.until("news of the orphan", |notice| (notice == Notice::OrphanReaped).then_some(()));
        assert_eq!(orphans_of(&mut control), []);
    }
    control.run(rig.script(9, "exit 0"), &rig.path("out"));
    assert!(control.exit_of(9).alone);
}

#[test]
fn news_of_orphans_comes_once_for_each_list() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.run(rig.script(1, "for i in 1 2 3; do setsid sleep 60 & done; exit 0"), &rig.path("out"));
    control.exit_of(1);
    let orphans = wait_for("three orphans", || Some(orphans_of(&mut control)).filter(|all| all.len() == 3));
    for pid in orphans {
        let request = Request::SignalOrphan { pid, signal: libc::SIGKILL, and_continue: false };
        assert_eq!(control.ask(&request), Reply::Done);
    }
    wait_for("their ends", || {
        let children = format!("/proc/{0}/task/{0}/children", rig.pid());
        (fs::read_to_string(children).unwrap().split_whitespace().count() == 1).then_some(())
    });
    control.hears_only(&Notice::OrphanReaped);
}

#[test]
fn no_signal_goes_to_a_process_that_is_no_orphan() {
    let rig = Rig::start();
    let mut control = rig.control();
    let main = control.run(rig.script(1, "exec sleep 60"), &rig.path("out"));
    let strangers = [main, control.pid, i32::try_from(std::process::id()).unwrap(), 1, 0, -1, rig.pid()];
    for pid in strangers {
        let request = Request::SignalOrphan { pid, signal: libc::SIGKILL, and_continue: false };
        assert_eq!(control.ask(&request), Reply::Failed { errno: libc::ESRCH }, "{pid}");
    }
    assert!(lives(main) && lives(control.pid));
}

#[test]
fn a_signal_goes_to_the_main_process_or_to_its_group_and_never_to_a_run_that_is_over() {
    let rig = Rig::start();
    let mut control = rig.control();
    let script = "sleep 60 & echo $!; wait";
    control.run(rig.script(1, script), &rig.path("one"));
    control.run(rig.script(2, script), &rig.path("two"));
    let child = |name: &str| line_in(&rig.path(name)).trim().parse::<i32>().unwrap();
    let (one, two) = (child("one"), child("two"));
    let signal = |run, group| Request::Signal { run, signal: libc::SIGTERM, and_continue: false, group };
    assert_eq!(control.ask(&signal(1, false)), Reply::Done);
    assert_eq!(control.exit_of(1).signal, Some(libc::SIGTERM));
    assert!(lives(one));
    assert_eq!(control.ask(&signal(2, true)), Reply::Done);
    assert_eq!(control.exit_of(2).signal, Some(libc::SIGTERM));
    wait_for("the end of the group", || (!lives(two)).then_some(()));
    for gone in [1, 2, 77] {
        assert_eq!(control.ask(&signal(gone, true)), Reply::Failed { errno: Errno::ESRCH as i32 });
    }
}

#[test]
fn a_stopped_process_hears_the_signal_that_asks_it_to_end() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.run(rig.script(1, "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"), &rig.path("out"));
    line_in(&rig.path("out"));
    let signal = |signal, and_continue| Request::Signal { run: 1, signal, and_continue, group: false };
    assert_eq!(control.ask(&signal(libc::SIGSTOP, false)), Reply::Done);
    assert_eq!(control.ask(&signal(libc::SIGTERM, true)), Reply::Done);
    assert_eq!(control.exit_of(1).code, Some(7));
}

#[test]
fn a_helper_ends_with_its_group_at_its_deadline() {
    let rig = Rig::start();
    let mut control = rig.control();
    let mut helper = rig.script(1, "trap '' TERM; sleep 60 & echo $!; wait");
    helper.helper_deadline_ms = 3_000;
    control.run(helper, &rig.path("out"));
    let child: i32 = line_in(&rig.path("out")).trim().parse().unwrap();
    assert_eq!(control.exit_of(1).signal, Some(libc::SIGKILL));
    wait_for("the end of its child", || (!lives(child)).then_some(()));
}

#[test]
fn helpers_end_with_their_control_and_their_exits_are_not_told_again() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.acknowledging = false;
    let mut long = rig.script(1, "sleep 60 & echo $!; wait");
    long.helper_deadline_ms = 60_000;
    let main = control.run(long, &rig.path("out"));
    let child: i32 = line_in(&rig.path("out")).trim().parse().unwrap();
    let mut short = rig.script(2, "exit 0");
    short.helper_deadline_ms = 60_000;
    control.run(short, &rig.path("short"));
    control.exit_of(2);
    control.kill();

    let mut control = rig.control();
    let inventory = control.inventory();
    assert!(!inventory.iter().any(|notice| matches!(notice, Notice::Run { .. })), "{inventory:?}");
    wait_for("the end of the helper's group", || (!lives(main) && !lives(child)).then_some(()));
    assert_eq!(control.lull(), []);
}

fn orphans(rig: &Rig, run: u64, count: usize) -> Spawn {
    let mut spawn = rig.program(run, std::env::current_exe().unwrap(), &["orphans"]);
    spawn.env.push("KEEPER_TEST_ROLE=orphans");
    spawn.env.push(format!("KEEPER_TEST_ORPHANS={count}"));
    spawn
}

fn orphans_of(control: &mut Control) -> Vec<i32> {
    match control.ask(&Request::ListOrphans) {
        Reply::Orphans { processes } => processes.into_iter().map(|(pid, _)| pid).collect(),
        other => panic!("no list: {other:?}"),
    }
}
