//! What a process finds when it starts.
//! Not here: what it ought to find. Signals are asked of `cat /proc/self/status`, as Rust changes its own at start.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::process;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{getgroups, getpgrp, getresgid, getresuid, getsid};
use serde_json::{Value, json};

use crate::args::Args;
use crate::ends;
use crate::output::say;

/// Prints all of it as one JSON line, then waits, or ends with `--exit N`.
pub(crate) fn sigdump(mut args: Args) -> io::Result<()> {
    let mask = umask(Mode::empty());
    let uids = getresuid()?;
    let gids = getresgid()?;
    let groups: Vec<u32> = getgroups()?.iter().map(|gid| gid.as_raw()).collect();
    let env: BTreeMap<String, String> = std::env::vars_os()
        .map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(status_line);
    let dump = json!({
        "pid": process::id(),
        "sid": getsid(None)?.as_raw(),
        "pgid": getpgrp().as_raw(),
        "fds": descriptors()?,
        "umask": format!("{:03o}", mask.bits()),
        "nofile": getrlimit(Resource::RLIMIT_NOFILE)?,
        "core": getrlimit(Resource::RLIMIT_CORE)?,
        "uid": [uids.real.as_raw(), uids.effective.as_raw(), uids.saved.as_raw()],
        "gid": [gids.real.as_raw(), gids.effective.as_raw(), gids.saved.as_raw()],
        "groups": groups,
        "no_new_privs": status_line("NoNewPrivs"),
        "capabilities": capabilities,
        "nice": stat_field(19),
        "policy": stat_field(41),
        "oom_score_adj": fs::read_to_string("/proc/self/oom_score_adj")?.trim(),
        "cwd": std::env::current_dir()?,
        "args": std::env::args().collect::<Vec<_>>(),
        "env": env,
    });
    say(&format!("{dump}\n"))?;
    match args.option_number("exit") {
        Some(code) => process::exit(code),
        None => ends::wait(),
    }
}

/// Number and target of each open descriptor, without the one that lists them.
fn descriptors() -> io::Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?;
        if !target.ends_with("fd") {
            all.insert(entry.file_name().to_string_lossy().into_owned(), json!(target));
        }
    }
    Ok(all)
}

fn status_line(key: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// A field of `/proc/self/stat` by its number in proc(5); the second may hold anything, so they are counted after it.
fn stat_field(number: usize) -> Option<String> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(number - 3).map(str::to_owned)
}

/// Tries to read from a person who is not there.
pub(crate) fn ttyread() -> io::Result<()> {
    let mut text = Vec::new();
    let read = io::stdin().read_to_end(&mut text)?;
    say(&format!("stdin: {read} bytes\n"))?;
    match fs::File::open("/dev/tty") {
        Ok(_) => say("tty: opened\n")?,
        Err(error) => say(&format!("tty: {}\n", error.raw_os_error().unwrap_or(0)))?,
    }
    ends::wait()
}

/// Appends the monotonic time in nanoseconds and its pid to a file, then waits, or ends with `--exit N`.
pub(crate) fn stamp(mut args: Args) -> io::Result<()> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let file = args.word("file");
    let line = format!("{} {}\n", now.tv_sec() * 1_000_000_000 + now.tv_nsec(), process::id());
    fs::OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())?;
    match args.option_number("exit") {
        Some(code) => process::exit(code),
        None => ends::wait(),
    }
}
