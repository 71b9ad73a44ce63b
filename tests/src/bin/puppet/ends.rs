//! Ways to end, and ways not to.
//! Not here: output, process trees.

use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, pause};

use crate::args::Args;
use crate::output::say;

/// Waits for signals for ever.
pub(crate) fn wait() -> ! {
    loop {
        pause();
    }
}

/// Nothing but `SIGKILL` ends it. Blocked, because a handler or `SIG_IGN` would need `unsafe`; the effect is the same.
pub(crate) fn ignore_term() -> io::Result<()> {
    SigSet::all().thread_block()?;
    say("deaf\n")?;
    wait()
}

/// Prints the name of each signal that arrives; ends at `--until NAME`, with `--exit N`.
pub(crate) fn tell_signals(mut args: Args) -> io::Result<()> {
    let until = args.option("until");
    let code = args.option_number("exit").unwrap_or(0);
    let mut set = SigSet::all();
    // A stopped process is continued by the kernel; the signal itself would only be noise.
    set.remove(Signal::SIGCHLD);
    set.thread_block()?;
    say("listening\n")?;
    loop {
        let signal = set.wait()?;
        say(&format!("{signal}\n"))?;
        if until.as_deref() == Some(signal.as_str()) {
            process::exit(code);
        }
    }
}

pub(crate) fn exit_code(mut args: Args) -> ! {
    process::exit(args.number("exit code"))
}

/// Runs a while, then fails.
pub(crate) fn crash(mut args: Args) -> ! {
    thread::sleep(args.option_millis("after").unwrap_or(Duration::ZERO));
    process::exit(args.number("exit code"))
}

pub(crate) fn signal_self(mut args: Args) -> io::Result<()> {
    let signal = Signal::try_from(args.number::<i32>("signal"))?;
    kill(Pid::this(), signal)?;
    wait()
}

/// Holds that many megabytes, touched; with `--after FILE` not before that file is there.
pub(crate) fn hog(mut args: Args) -> io::Result<()> {
    let megabytes = args.number::<usize>("megabytes");
    let after = args.option("after");
    while after.as_ref().is_some_and(|file| !std::path::Path::new(file).exists()) {
        thread::sleep(Duration::from_millis(5));
    }
    let held = vec![1_u8; megabytes << 20];
    say(&format!("holding {}\n", held.len()))?;
    wait()
}
