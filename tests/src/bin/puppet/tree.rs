//! Processes that a service leaves about: children, sessions of their own, daemons, bombs, orphans.
//! Not here: single processes.

use std::io::{self, BufRead, BufReader};
use std::process::{self, Command, Stdio};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, setsid, write};

use crate::args::Args;
use crate::ends;
use crate::output::say;

/// A child, its child in a session of its own, and a daemon (forked twice). Prints all pids as one JSON line, then
/// waits, or ends with `--exit N`. `--ignore-term main,child,grandchild,daemon` names who is deaf to TERM.
pub(crate) fn main(mut args: Args) -> io::Result<()> {
    let deaf = args.option("ignore-term").unwrap_or_default();
    hear(&deaf, "main")?;
    let (reader, writer) = io::pipe()?;
    // The parts tell their pids through what they find as standard input.
    let child = spawn("child", &deaf, writer.try_clone()?.into())?;
    let launcher = spawn("launcher", &deaf, writer.into())?;
    let mut lines = BufReader::new(reader).lines();
    let mut pids = vec![format!("\"main\": {}", process::id())];
    for _ in 0..3 {
        pids.push(lines.next().ok_or_else(|| io::Error::other("a part died"))??);
    }
    drop((child, launcher));
    say(&format!("{{{}}}\n", pids.join(", ")))?;
    match args.option_number("exit") {
        Some(code) => process::exit(code),
        None => ends::wait(),
    }
}

/// One process of the tree.
pub(crate) fn part(mut args: Args) -> io::Result<()> {
    let name = args.word("name of the part");
    let deaf = args.word("names of the deaf");
    hear(&deaf, &name)?;
    match name.as_str() {
        "child" => {
            spawn("grandchild", &deaf, Stdio::inherit())?;
        }
        "grandchild" | "daemon" => {
            setsid()?;
        }
        "launcher" => {
            setsid()?;
            spawn("daemon", &deaf, Stdio::inherit())?;
            process::exit(0);
        }
        other => return Err(io::Error::other(format!("no such part: `{other}`"))),
    }
    write(io::stdin(), format!("\"{name}\": {}\n", Pid::this()).as_bytes())?;
    ends::wait()
}

/// Leaves a process behind that bears no sign of where it comes from: a session of its own, an empty environment, no
/// output. Prints its pid, then waits, or ends with `--exit N`. It ends by itself after two minutes.
pub(crate) fn escape(mut args: Args) -> io::Result<()> {
    let launcher = "setsid env -i sleep 120 >/dev/null 2>&1 </dev/null & echo $!";
    let told = Command::new("sh").args(["-c", launcher]).output()?;
    let pid: i32 = String::from_utf8_lossy(&told.stdout).trim().parse().map_err(io::Error::other)?;
    // Not before it is what it is to be.
    while std::fs::read(format!("/proc/{pid}/environ"))? != b""
        || !std::fs::read(format!("/proc/{pid}/cmdline"))?.starts_with(b"sleep")
    {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    say(&format!("escaped: {pid}\n"))?;
    match args.option_number("exit") {
        Some(code) => process::exit(code),
        None => ends::wait(),
    }
}

/// That many children, which wait, and which are told apart from nothing.
pub(crate) fn forkbomb(mut args: Args) -> io::Result<()> {
    let count: usize = args.number("children");
    let mut children = Vec::with_capacity(count);
    for _ in 0..count {
        children.push(Command::new("sleep").arg("1000").spawn()?);
    }
    say(&format!("{count} children\n"))?;
    ends::wait()
}

/// That many orphans, which end at once: somebody else must reap them.
pub(crate) fn orphans(mut args: Args) -> io::Result<()> {
    let count: usize = args.number("orphans");
    let made = "i=0; while [ $i -lt 50 ]; do sleep 0.05 & i=$((i+1)); done";
    for _ in 0..count.div_ceil(50) {
        Command::new("sh").args(["-c", made]).status()?;
    }
    say("orphaned\n")?;
    ends::wait()
}

/// The mask survives `exec`, so each part sets its own.
fn hear(deaf: &str, name: &str) -> io::Result<()> {
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    if deaf.split(',').any(|one| one == name) {
        term.thread_block()?;
    } else {
        term.thread_unblock()?;
    }
    Ok(())
}

fn spawn(name: &str, deaf: &str, stdin: Stdio) -> io::Result<process::Child> {
    Command::new(std::env::current_exe()?).args(["tree-part", name, deaf]).stdin(stdin).spawn()
}
