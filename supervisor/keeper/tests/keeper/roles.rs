//! The programs of these tests: this very executable, told by a variable what to be.
//! Not here: anything that a test calls.

#![expect(unsafe_code, reason = "a keeper must be alone in its process, so it cannot run under the test harness")]

use std::ffi::OsString;
use std::io::{IoSlice, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{ForkResult, fork};
use supervisor_keeper::{CONTROL_FD, ControlCommand, FirstControl, Setup, reset_signals, run};

pub(crate) const ROLE: &str = "KEEPER_TEST_ROLE";

/// Runs before `main`, and so before the harness makes threads.
#[used]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
static BEFORE_MAIN: extern "C" fn() = play;

extern "C" fn play() {
    let code = match variable(ROLE).as_str() {
        "" => return,
        "keeper" => be_keeper(),
        "process 1" => be_process_one(),
        "control" => be_control(),
        "orphans" => make_orphans(),
        "descriptors" => list_descriptors(),
        "reset" => {
            reset_signals();
            println!("{}", std::fs::read_to_string("/proc/self/status").unwrap());
            0
        }
        other => panic!("no role {other}"),
    };
    std::process::exit(code);
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn be_keeper() -> i32 {
    let given = std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("KEEPER_TEST_"));
    let env = given.filter(|(key, _)| key != ROLE).chain([(ROLE.into(), "control".into())]).collect();
    let program = match variable("KEEPER_TEST_CONTROL").as_str() {
        "" => std::env::current_exe().unwrap(),
        path => PathBuf::from(path),
    };
    let argv = vec![OsString::from("control")];
    let timeout = variable("KEEPER_TEST_TIMEOUT_MS").parse().unwrap_or(20_000);
    // As a copy of the keeper, if the test wants that; those after it are other programs.
    let first: Option<FirstControl> = match variable("KEEPER_TEST_FIRST").as_str() {
        "copy" => Some(Box::new(|| be_control().try_into().unwrap())),
        "panic" => Some(Box::new(|| panic!("as the test wants"))),
        _ => None,
    };
    run(Setup {
        control: ControlCommand { program, argv, env, first },
        shutdown_timeout: Duration::from_millis(timeout),
        foreground: !variable("KEEPER_TEST_FOREGROUND").is_empty(),
    })
    .into()
}

/// A keeper as process 1 of a namespace, with a view of processes of its own.
fn be_process_one() -> i32 {
    let (none, proc) = (std::ptr::null(), c"proc".as_ptr());
    // SAFETY: this process has one thread, and the strings are constants.
    let forked = unsafe {
        Errno::result(libc::unshare(libc::CLONE_NEWPID | libc::CLONE_NEWNS)).unwrap();
        let private = libc::MS_REC | libc::MS_PRIVATE;
        Errno::result(libc::mount(none, c"/".as_ptr(), none, private, none.cast())).unwrap();
        fork().unwrap()
    };
    match forked {
        ForkResult::Child => {
            // SAFETY: as above.
            Errno::result(unsafe { libc::mount(proc, c"/proc".as_ptr(), proc, 0, none.cast()) }).unwrap();
            be_keeper()
        }
        ForkResult::Parent { child } => match nix::sys::wait::waitpid(child, None).unwrap() {
            nix::sys::wait::WaitStatus::Exited(_, code) => code,
            other => panic!("process 1 ended otherwise: {other:?}"),
        },
    }
}

/// Hands the channel to the test and lives until the test says with which code to exit.
fn be_control() -> i32 {
    let Ok(mut line) = UnixStream::connect(variable("KEEPER_TEST_SOCKET")) else { return 1 };
    let pid = std::process::id().to_le_bytes();
    let rights = [ControlMessage::ScmRights(&[CONTROL_FD])];
    let flags = MsgFlags::empty();
    sendmsg::<()>(line.as_raw_fd(), &[IoSlice::new(&pid)], &rights, flags, None).unwrap();
    // SAFETY: the keeper put it there for us, and nothing else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(CONTROL_FD) });
    let mut code = [0];
    line.read_exact(&mut code).map_or(0, |()| code[0].into())
}

/// Prints what is open, but for the directory that is opened to see it.
fn list_descriptors() -> i32 {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let listed: Vec<i32> = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    // SAFETY: F_GETFD only looks.
    let open = listed.into_iter().filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0);
    let open: std::collections::BTreeSet<i32> = open.collect();
    println!("{} {open:?}", std::fs::read_link("/proc/self/fd/0").unwrap().display());
    0
}

/// Makes processes whose parents are gone; each lives for a few milliseconds.
fn make_orphans() -> i32 {
    for number in 0..variable("KEEPER_TEST_ORPHANS").parse().unwrap() {
        // SAFETY: this process has one thread.
        if let ForkResult::Parent { child } = unsafe { fork() }.unwrap() {
            nix::sys::wait::waitpid(child, None).unwrap();
            continue;
        }
        // SAFETY: as above.
        if let ForkResult::Parent { .. } = unsafe { fork() }.unwrap() {
            std::process::exit(0);
        }
        std::thread::sleep(Duration::from_millis(5));
        std::process::exit(number % 256);
    }
    0
}
