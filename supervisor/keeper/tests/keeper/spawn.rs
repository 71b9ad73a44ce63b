//! From request to program: what the child is given, and which step failed.
//! Not here: how it ends.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use supervisor_keeper::{Reply, Request, Spawn};

use crate::rig::{Control, Rig, is_root, line_in};

#[test]
fn a_failing_exec_is_named_with_its_error() {
    let rig = Rig::start();
    let mut control = rig.control();
    let file = |name: &str, content: &str, mode| {
        fs::write(rig.path(name), content).unwrap();
        fs::set_permissions(rig.path(name), Permissions::from_mode(mode)).unwrap();
        rig.path(name)
    };
    symlink(rig.path("loop"), rig.path("loop")).unwrap();
    control.inventory();
    let cases = [
        (rig.path("nothing"), Errno::ENOENT),
        (file("closed", "#!/bin/sh\n", 0o644), Errno::EACCES),
        (file("nonsense", "neither ELF nor script", 0o755), Errno::ENOEXEC),
        (file("lost", "#!/no/such/interpreter\n", 0o755), Errno::ENOENT),
        (rig.path("loop"), Errno::ELOOP),
    ];
    for (run, (program, errno)) in (1..).zip(cases) {
        let reply = control.spawn(rig.program(run, &program, &["program"]), &rig.path("out"));
        assert_eq!(reply, failed("exec", errno), "{}", program.display());
    }
    let too_long = "x".repeat(200_000);
    let reply = control.spawn(rig.program(9, "/bin/true", &["true", &too_long]), &rig.path("out"));
    assert_eq!(reply, failed("exec", Errno::E2BIG));
    assert_eq!(control.lull(), [], "a launch that failed is no run, so it has no exit");
}

#[test]
fn a_failing_step_before_exec_is_named_with_its_error() {
    let rig = Rig::start();
    let mut control = rig.control();
    fs::write(rig.path("file"), "").unwrap();
    type Spoil = fn(&mut Spawn);
    let cases: [(&str, Errno, Spoil); 6] = [
        ("chdir", Errno::ENOENT, |spawn| spawn.cwd = b"/no/such/directory".to_vec()),
        ("chdir", Errno::ENOTDIR, |spawn| spawn.cwd = b"/dev/null".to_vec()),
        ("limits", Errno::EINVAL, |spawn| spawn.nofile = Some((20, 10))),
        ("exec", Errno::EINVAL, |spawn| spawn.argv = ["nul\0inside"].into_iter().collect()),
        ("exec", Errno::EINVAL, |spawn| spawn.fds = vec![1, u32::MAX]),
        ("fds", Errno::EINVAL, |spawn| spawn.fds = vec![1, 0x7fff_fff0]),
    ];
    for (run, (step, errno, spoil)) in (1..).zip(cases) {
        let mut spawn = rig.script(run, "exit 0");
        spoil(&mut spawn);
        assert_eq!(control.spawn(spawn, &rig.path("out")), failed(step, errno));
    }
}

#[test]
fn a_run_has_a_number_of_its_own() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.run(rig.script(1, "exec sleep 60"), &rig.path("out"));
    let reply = control.spawn(rig.script(1, "exec sleep 60"), &rig.path("out"));
    assert_eq!(reply, failed("fork", Errno::EEXIST));
}

#[test]
fn a_failing_change_of_user_is_named_with_its_step() {
    if !is_root() {
        println!(
            "skipped: a_failing_change_of_user_is_named_with_its_step: a keeper that has lost one capability needs root"
        );
        return;
    }
    // linux/capability.h
    const CAP_SETGID: i32 = 6;
    const CAP_SETUID: i32 = 7;
    for (capability, step) in [(CAP_SETGID, "setgroups"), (CAP_SETUID, "setuid")] {
        let rig = Rig::start_with(|command| {
            #[expect(unsafe_code, reason = "pre_exec is")]
            // SAFETY: prctl with integers is fine after fork.
            unsafe {
                command.pre_exec(move || {
                    Errno::result(libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0))?;
                    Ok(())
                });
            }
        });
        let mut control = rig.control();
        let mut spawn = rig.script(1, "exit 0");
        spawn.user = Some((65_534, 65_534, vec![]));
        assert_eq!(control.spawn(spawn, &rig.path("out")), failed(step, Errno::EPERM));
    }
}

#[test]
fn a_user_is_changed_to_whole_and_for_good() {
    if !is_root() {
        println!("skipped: a_user_is_changed_to_whole_and_for_good: becoming another user needs root");
        return;
    }
    let rig = Rig::start();
    let mut control = rig.control();
    let mut spawn = rig.program(1, "/bin/cat", &["cat", "/proc/self/status"]);
    spawn.user = Some((12_345, 12_346, vec![7, 8]));
    control.run(spawn, &rig.path("status"));
    assert_eq!(control.exit_of(1).code, Some(0));
    let status = fs::read_to_string(rig.path("status")).unwrap();
    assert_eq!(field(&status, "Uid"), "12345\t12345\t12345\t12345");
    assert_eq!(field(&status, "Gid"), "12346\t12346\t12346\t12346");
    assert_eq!(field(&status, "Groups"), "7 8");
    assert_eq!(field(&status, "NoNewPrivs"), "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
}

#[test]
fn a_child_has_its_declared_descriptors_and_no_other() {
    let stray = File::open("/dev/null").unwrap();
    let rig = Rig::start_with(|command| {
        let stray = stray.as_raw_fd();
        #[expect(unsafe_code, reason = "pre_exec is")]
        // SAFETY: dup2 is fine after fork; the numbers belong to nobody in the program that follows.
        unsafe {
            command.pre_exec(move || {
                for number in [3, 77, 251] {
                    Errno::result(libc::dup2(stray, number))?;
                }
                Ok(())
            });
        }
    });
    let mut control = rig.control();
    let mut spawn = rig.program(1, std::env::current_exe().unwrap(), &["descriptors"]);
    spawn.env.push("KEEPER_TEST_ROLE=descriptors");
    // The frame's order crosses the numbers that the keeper has for them, so each must be moved out of the way.
    spawn.fds = vec![9, 4, 1, 2, 3];
    let out = File::create(rig.path("out")).unwrap();
    let fds = [out.as_fd(); 5];
    control.ask_with(&Request::Spawn(Box::new(spawn)), &fds);
    assert_eq!(control.exit_of(1).code, Some(0));
    assert_eq!(fs::read_to_string(rig.path("out")).unwrap(), "/dev/null {0, 1, 2, 3, 4, 9}\n");
}

#[test]
fn each_descriptor_is_at_its_number() {
    let rig = Rig::start();
    let mut control = rig.control();
    let numbers = [5, 3, 7, 0, 8, 4, 6, 1, 2];
    let files: Vec<File> = numbers.iter().map(|number| File::create(rig.path(&format!("{number}"))).unwrap()).collect();
    let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let mut spawn =
        rig.script(1, "for n in 0 1 2 3 4 5 6 7 8; do all=$all$(readlink /proc/$$/fd/$n):; done; echo $all > links");
    spawn.fds = numbers.to_vec();
    control.ask_with(&Request::Spawn(Box::new(spawn)), &fds);
    assert_eq!(control.exit_of(1).code, Some(0));
    let expected: String = (0..9).map(|n| format!("{}:", rig.path(&format!("{n}")).display())).collect();
    assert_eq!(fs::read_to_string(rig.path("links")).unwrap(), format!("{expected}\n"));
}

#[test]
fn signals_start_out_default_and_unblocked_whatever_the_keeper_was_started_with() {
    let rig = Rig::start_with(|command| {
        #[expect(unsafe_code, reason = "pre_exec is")]
        // SAFETY: these calls are fine after fork.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGCHLD, libc::SIGPIPE, libc::SIGHUP, libc::SIGINT] {
                    libc::signal(signal, libc::SIG_IGN);
                }
                nix::sys::signal::SigSet::all().thread_block()?;
                Ok(())
            });
        }
    });
    let mut control = rig.control();
    control.run(rig.program(1, "/bin/cat", &["cat", "/proc/self/status"]), &rig.path("status"));
    assert_eq!(control.exit_of(1).code, Some(0), "exits are seen though SIGCHLD was ignored");
    assert_signals_are_default(&fs::read_to_string(rig.path("status")).unwrap());
}

#[test]
fn reset_signals_leaves_nothing_blocked_and_nothing_ignored() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.env(crate::roles::ROLE, "reset");
    #[expect(unsafe_code, reason = "pre_exec is")]
    // SAFETY: these calls are fine after fork.
    unsafe {
        command.pre_exec(|| {
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_IGN);
            }
            nix::sys::signal::SigSet::all().thread_block()?;
            Ok(())
        });
    }
    let output = command.output().unwrap();
    assert_signals_are_default(&String::from_utf8(output.stdout).unwrap());
}

fn assert_signals_are_default(status: &str) {
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(field(status, set), "0000000000000000", "{set}");
    }
}

#[test]
fn a_child_gets_the_limit_of_open_files_that_the_keeper_was_started_with_or_its_own() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let rig = Rig::start_with(|command| {
        #[expect(unsafe_code, reason = "pre_exec is")]
        // SAFETY: setrlimit is fine after fork.
        unsafe {
            command.pre_exec(move || Ok(setrlimit(Resource::RLIMIT_NOFILE, 123, hard)?));
        }
    });
    let mut control = rig.control();
    let limits = |control: &mut Control, run, nofile| {
        let mut spawn = rig.script(run, "ulimit -Sn; ulimit -Hn");
        spawn.nofile = nofile;
        control.run(spawn, &rig.path("limits"));
        assert_eq!(control.exit_of(run).code, Some(0));
        fs::read_to_string(rig.path("limits")).unwrap()
    };
    assert_eq!(limits(&mut control, 1, None), format!("123\n{hard}\n"));
    assert_eq!(limits(&mut control, 2, Some((45, 67))), "45\n67\n");
}

#[test]
fn a_child_starts_where_and_as_it_was_told() {
    let rig = Rig::start_with(|command| {
        command.env("STRAY", "1");
    });
    let mut control = rig.control();
    let mut spawn = rig.script(1, "pwd; umask; [ $LISTEN_PID = $$ ] && echo listening; env; echo end");
    spawn.env = ["A=1", "B=x=y"].into_iter().collect();
    spawn.listen_pid = true;
    spawn.cwd = b"/usr".to_vec();
    spawn.umask = 0o027;
    let pid = control.run(spawn, &rig.path("out"));
    assert_eq!(control.exit_of(1).code, Some(0));
    let output = fs::read_to_string(rig.path("out")).unwrap();
    assert!(output.starts_with("/usr\n0027\nlistening\n"), "{output}");
    let listen = format!("LISTEN_PID={pid}");
    let mut env: Vec<_> = output.lines().filter(|line| line.contains('=')).collect();
    env.retain(|line| !line.starts_with("PWD=") && !line.starts_with("_=") && !line.starts_with("OLDPWD="));
    env.sort_unstable();
    assert_eq!(env, ["A=1", "B=x=y", &listen], "nothing of the keeper's environment");
}

#[test]
fn a_child_leads_a_session_of_its_own_and_is_not_spared_by_the_oom_killer() {
    let lowered = may_lower_oom_score();
    let rig = Rig::start_with(|command| {
        #[expect(unsafe_code, reason = "pre_exec is")]
        // SAFETY: the child of a single fork may write a file; no lock is needed for it.
        unsafe {
            command.pre_exec(move || if lowered { fs::write(OOM_SCORE_ADJ, "-500") } else { Ok(()) });
        }
    });
    let mut control = rig.control();
    let pid = control.run(rig.script(1, "cat /proc/$$/oom_score_adj; cut -d' ' -f5,6 /proc/$$/stat"), &rig.path("out"));
    assert_eq!(control.exit_of(1).code, Some(0));
    let output = fs::read_to_string(rig.path("out")).unwrap();
    let expected = format!("{pid} {pid}\n");
    assert!(output.ends_with(&expected), "{output}");
    if lowered {
        assert!(output.starts_with("0\n"), "{output}");
    }
}

#[test]
fn a_launch_that_hangs_holds_up_nothing_and_fails_after_ten_seconds() {
    // Without a writer, the child's open of what should be /dev/null never returns.
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("null");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let writer = File::options().read(true).write(true).open(&fifo).unwrap();
    if !in_namespace(&dir) {
        println!("skipped: a_launch_that_hangs_holds_up_nothing: this process may not make a mount namespace");
        return;
    }
    let path = CString::new(fifo.as_os_str().as_bytes()).unwrap();
    let rig = Rig::start_with(|command| {
        #[expect(unsafe_code, reason = "pre_exec is")]
        // SAFETY: these system calls are fine after fork; the strings live.
        unsafe {
            command.pre_exec(move || {
                let (slash, null) = (c"/".as_ptr(), std::ptr::null());
                Errno::result(libc::unshare(libc::CLONE_NEWNS))?;
                let private = libc::MS_REC | libc::MS_PRIVATE;
                Errno::result(libc::mount(null, slash, null, private, null.cast()))?;
                let target = c"/dev/null".as_ptr();
                Errno::result(libc::mount(path.as_ptr(), target, null, libc::MS_BIND, null.cast()))?;
                Ok(())
            });
        }
    });
    let mut control = rig.control();
    control.inventory();
    drop(writer);
    let out = File::create(rig.path("out")).unwrap();
    let stuck = Request::Spawn(Box::new(rig.script(1, "exit 0")));
    let stuck = control.send(&stuck, &[out.as_fd(), out.as_fd()]);
    let mut other = rig.script(2, "exit 0");
    other.fds = vec![0, 1];
    control.run(other, &rig.path("out"));
    assert_eq!(control.exit_of(2).code, Some(0));
    assert_eq!(control.reply(stuck).0, failed("fork", Errno::ETIMEDOUT));
    assert_eq!(control.lull(), [], "it never was a run");
}

fn in_namespace(dir: &tempfile::TempDir) -> bool {
    let mut probe = std::process::Command::new("unshare");
    probe.args(["-m", "mount", "--bind", "/dev/null"]).arg(dir.path().join("null"));
    probe.output().is_ok_and(|output| output.status.success())
}

#[test]
fn spawning_works_from_the_reserve_when_the_table_is_full() {
    let rig = Rig::start_with(|command| {
        #[expect(unsafe_code, reason = "pre_exec is")]
        // SAFETY: setrlimit is fine after fork.
        unsafe {
            command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_NOFILE, 100, 100)?));
        }
    });
    let mut control = rig.control();
    let (socket, _other) = UnixDatagram::pair().unwrap();
    let mut held = 0;
    let refusal = loop {
        let request = Request::Hold { names: vec![format!("{held}")] };
        match control.ask_with(&request, &[socket.as_fd()]).0 {
            Reply::Done => held += 1,
            refusal => break refusal,
        }
        assert!(held < 100);
    };
    assert_eq!(refusal, Reply::Failed { errno: libc::EMFILE });
    let mut spawn = rig.script(1, "echo up; exec sleep 60");
    spawn.fds = (1..=30).collect();
    let file = File::create(rig.path("out")).unwrap();
    let reply = control.ask_with(&Request::Spawn(Box::new(spawn)), &[file.as_fd(); 30]).0;
    assert!(matches!(reply, Reply::Spawned { .. }), "{reply:?}");
    assert_eq!(line_in(&rig.path("out")), "up\n");

    // What a run leaves may use the reserve up; then what comes is lost on the way, and said to be.
    let mut spawn = rig.script(2, "exec sleep 60");
    spawn.hold = (0..30).map(|name| format!("left {name}")).collect();
    let left = spawn.hold.clone();
    let reply = control.ask_with(&Request::Spawn(Box::new(spawn)), &[file.as_fd(); 32]).0;
    assert!(matches!(reply, Reply::Spawned { .. }), "{reply:?}");
    let request = Request::Hold { names: left.clone() };
    assert_eq!(control.ask_with(&request, &[file.as_fd(); 30]).0, Reply::Failed { errno: libc::EMFILE });

    let names = (0..held).map(|name| format!("{name}")).chain(left).collect();
    assert_eq!(control.ask(&Request::Drop { names }), Reply::Done);
    let request = Request::Hold { names: vec!["again".to_owned()] };
    assert_eq!(control.ask_with(&request, &[socket.as_fd()]).0, Reply::Done);
}

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

/// Root alone is not enough: it takes a capability that containers lack.
fn may_lower_oom_score() -> bool {
    let lower = format!("echo -500 > {OOM_SCORE_ADJ}");
    let may = std::process::Command::new("sh").args(["-c", &lower]).output().unwrap().status.success();
    if !may {
        println!("only partly: this process may not lower its oom_score_adj");
    }
    may
}

fn failed(step: &str, errno: Errno) -> Reply {
    Reply::SpawnFailed { step: step.to_owned(), errno: errno as i32 }
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}
