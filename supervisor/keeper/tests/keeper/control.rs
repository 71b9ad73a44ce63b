//! The life of control: what survives it, how it is brought back, when it is not.
//! Not here: requests of a control that lives.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, send};
use nix::unistd::{Pid, setsid};
use supervisor_keeper::{Notice, Reply, Request, VERSION};

use crate::rig::{Rig, lives, wait_for};

#[test]
fn a_new_control_is_told_all_that_the_keeper_keeps() {
    let rig = Rig::start();
    let mut control = rig.control();
    let welcome = |epoch| Notice::Welcome { version: VERSION, epoch, keeper_pid: rig.pid(), pid_one: false };
    assert_eq!(control.inventory(), [welcome(1), Notice::Ready]);

    control.acknowledging = false;
    let mut spawn = rig.script(5, "exec sleep 60");
    spawn.record = Some(("run 5".to_owned(), b"five".to_vec()));
    let pid = control.run(spawn, &rig.path("out"));
    let gone = control.run(rig.script(6, "exit 3"), &rig.path("out"));
    assert_eq!(control.exit_of(6).code, Some(3));
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let hold = Request::Hold { names: vec!["held".to_owned()] };
    assert_eq!(control.ask_with(&hold, &[theirs.as_fd()]).0, Reply::Done);
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
        let put = Request::Put { key: key.to_owned(), value: value.into() };
        assert_eq!(control.ask(&put), Reply::Done);
    }
    assert_eq!(control.ask(&Request::Delete { key: "b".to_owned() }), Reply::Done);
    control.kill();

    let mut control = rig.control();
    assert!(lives(pid), "services do not notice");
    let mut inventory = control.inventory();
    let is_run = |run, pid| move |n: &Notice| matches!(n, Notice::Run { run: r, pid: p, helper: false, .. } if *r == run && *p == pid);
    assert!(inventory.iter().any(is_run(5, pid)) && inventory.iter().any(is_run(6, gone)), "{inventory:?}");
    inventory.retain(|notice| !matches!(notice, Notice::Run { .. }));
    let record = |key: &str, value: &str| Notice::Record { key: key.to_owned(), value: value.into() };
    let held = Notice::Held { name: "held".to_owned() };
    let kept = [record("a", "3"), record("run 5", "five"), held];
    assert_eq!(inventory, [[welcome(2)].as_slice(), &kept, &[Notice::Ready]].concat());
    assert_eq!(control.exit_of(6).code, Some(3), "an exit that nobody acknowledged is told again");
    assert_eq!(control.ask(&Request::Configure { shutdown_timeout_ms: 1 }), Reply::Done);
    control.kill();

    let mut control = rig.control();
    let inventory = control.inventory();
    assert!(!inventory.iter().any(is_run(6, gone)), "an acknowledged exit is forgotten: {inventory:?}");
    assert_eq!(control.lull(), []);
    assert!(lives(pid));
}

#[test]
fn an_exit_between_two_controls_is_told_to_the_second() {
    let rig = Rig::start();
    let mut control = rig.control();
    let pid = control.run(rig.script(1, "exec sleep 60"), &rig.path("out"));
    // Control cannot come back before it is let go of, so the exit falls into the gap.
    kill(Pid::from_raw(control.pid), Signal::SIGSTOP).unwrap();
    rig.signal(Signal::SIGSTOP);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    kill(Pid::from_raw(control.pid), Signal::SIGKILL).unwrap();
    rig.signal(Signal::SIGCONT);
    let mut control = rig.control();
    assert_eq!(control.exit_of(1).signal, Some(9));
}

#[test]
fn no_exit_is_lost_and_no_run_unknown_however_often_control_is_killed() {
    let rig = Rig::start();
    let (mut known, mut exits) = (BTreeSet::new(), BTreeMap::new());
    let mut note = |notice: Notice| match notice {
        Notice::Run { run, .. } => drop(known.insert(run)),
        Notice::Exited(exited) => {
            let code = exited.code.unwrap();
            assert_eq!(*exits.entry(exited.run).or_insert(code), code, "told again, but not otherwise");
        }
        _ => {}
    };
    let out = File::create(rig.path("out")).unwrap();
    for round in 0..8 {
        let mut control = rig.control();
        control.inventory().into_iter().for_each(&mut note);
        for run in (1..=25).map(|number| round * 25 + number) {
            let script = format!("echo > ran-{run}; exit {}", run % 100);
            let spawn = Request::Spawn(Box::new(rig.script(run, &script)));
            let id = control.send(&spawn, &[out.as_fd(), out.as_fd()]);
            // Early rounds end with all still to be done, late ones with nearly all answered.
            if run - round * 25 <= round * 3 {
                control.reply(id);
            }
        }
        control.drain().into_iter().for_each(&mut note);
        control.kill();
    }
    let mut control = rig.control();
    control.inventory().into_iter().for_each(&mut note);
    control.lull().into_iter().for_each(&mut note);
    let ran = |run: &u64| rig.path(&format!("ran-{run}")).exists();
    let ran: BTreeSet<u64> = (1..=200).filter(ran).collect();
    assert!(ran.len() > 60, "{ran:?}");
    assert!(ran.iter().all(|run| exits.get(run) == Some(&i32::try_from(run % 100).unwrap())), "{ran:?} {exits:?}");
    assert!(known.is_subset(&ran), "what is told of has run");
}

#[test]
fn a_crash_looping_control_is_started_ever_more_slowly() {
    let rig = Rig::start();
    let began = Instant::now();
    let mut starts = Vec::new();
    for _ in 0..7 {
        let control = rig.control();
        starts.push(began.elapsed());
        control.exit(1);
    }
    let gaps: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, least) in gaps.iter().zip([0, 0, 100, 200, 400, 800]) {
        assert!(*gap >= Duration::from_millis(least), "{gaps:?}");
    }
    assert!(gaps[0] + gaps[1] < Duration::from_secs(3), "the first two times at once: {gaps:?}");
}

#[test]
fn a_control_that_breaks_the_protocol_is_replaced() {
    let rig = Rig::start();
    let bodies: [&[u8]; 4] = [
        &[0xff; 64],
        // An unknown operation, a body that ends early, a descriptor that is not there.
        &[0, 0, 0, 0, 0x7e, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0x0c, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9],
        &[0, 0, 0, 0, 0x04, 1, 1, 0, 0, 0, 0, 0, 0, 0],
    ];
    for body in bodies {
        let mut control = rig.control();
        control.inventory();
        send(control.socket().as_raw_fd(), body, MsgFlags::empty()).unwrap();
        let pid = control.pid;
        control.wait_for_the_cut();
        wait_for("its end", || (!lives(pid)).then_some(()));
    }
    assert_eq!(rig.control().ask(&Request::ListOrphans), Reply::Orphans { processes: vec![] });
}

#[test]
fn a_control_that_does_not_answer_for_ten_seconds_is_replaced() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.acknowledging = false;
    let began = Instant::now();
    let pid = control.run(rig.script(1, "exec sleep 60"), &rig.path("out"));
    control.wait_for_the_cut();
    assert!(began.elapsed() > Duration::from_secs(9));
    let mut next = rig.control();
    assert!(next.inventory().iter().any(|notice| matches!(notice, Notice::Run { run: 1, .. })));
    assert!(lives(pid));
}

#[test]
fn time_in_which_the_keeper_did_not_run_does_not_count_against_control() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.acknowledging = false;
    control.inventory();
    rig.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(13));
    rig.signal(Signal::SIGCONT);
    control.acknowledging = true;
    control.run(rig.script(1, "exit 0"), &rig.path("out"));
    control.exit_of(1);
    assert!(lives(control.pid), "it had no chance to be heard");
}

#[test]
fn a_control_that_cannot_be_started_ends_the_keeper() {
    let mut rig = Rig::start_with(|command| {
        command.env("KEEPER_TEST_CONTROL", "/no/such/program");
    });
    assert_eq!(rig.ended().code(), Some(1));
}

#[test]
fn a_configuration_error_ends_the_keeper_unless_some_process_was_asked_for() {
    let mut rig = Rig::start();
    let mut control = rig.control();
    control.ask(&Request::ListOrphans);
    control.exit(78);
    assert_eq!(rig.ended().code(), Some(1));

    let rig = Rig::start();
    let mut control = rig.control();
    control.run(rig.script(1, "exec sleep 60"), &rig.path("out"));
    control.exit(78);
    assert!(!rig.control().inventory().is_empty(), "another control came");
}

#[test]
fn a_hangup_of_a_daemon_is_a_wish_to_reload() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.inventory();
    rig.signal(Signal::SIGHUP);
    rig.signal(Signal::SIGUSR1);
    rig.signal(Signal::SIGUSR2);
    rig.signal(Signal::SIGPIPE);
    control.hears_only(&Notice::Reload);
}

#[test]
fn a_hangup_of_the_terminal_is_the_end_in_the_foreground() {
    let (master, slave) = terminal();
    let rig = Rig::start_with(|command| {
        command.env("KEEPER_TEST_FOREGROUND", "1").stdin(slave);
        #[expect(unsafe_code, reason = "pre_exec is")]
        // SAFETY: these system calls are fine after fork.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
                Ok(())
            });
        }
    });
    let mut control = rig.control();
    control.inventory();
    rig.signal(Signal::SIGHUP);
    control.hears_only(&Notice::Reload); // The terminal is still there.
    drop(master);
    let shutdown = Notice::Shutdown { now: false };
    control.until("the shutdown", |notice| (notice == shutdown).then_some(()));
}

/// Close-on-exec from the start: a copy in another test's keeper would keep the terminal open.
fn terminal() -> (OwnedFd, File) {
    let mut path = [0; 64];
    #[expect(unsafe_code, reason = "descriptors by number")]
    // SAFETY: the new descriptor is ours alone, and `path` has the length that is given.
    let master = unsafe {
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let master = Errno::result(libc::posix_openpt(flags)).unwrap();
        Errno::result(libc::unlockpt(master)).unwrap();
        assert_eq!(libc::ptsname_r(master, path.as_mut_ptr().cast(), path.len()), 0);
        OwnedFd::from_raw_fd(master)
    };
    let path = CStr::from_bytes_until_nul(&path).unwrap().to_str().unwrap();
    let options = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path);
    (master, options.unwrap())
}
