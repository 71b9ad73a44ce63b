//! What a program may do to its standard output.
//! Not here: reading it.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use crate::args::Args;
use crate::ends;

/// Writes at once, past any buffer.
pub(crate) fn say(text: &str) -> io::Result<()> {
    shout(text.as_bytes())
}

fn shout(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Numbered lines: `--rate` a second (else as fast as it can), `--count` of them (else for ever), from `--from`,
/// padded to `--size` bytes. Then waits, or ends with `--exit N`.
pub(crate) fn seq(mut args: Args) -> io::Result<()> {
    let rate: Option<u64> = args.option_number("rate");
    let count: Option<u64> = args.option_number("count");
    let from: u64 = args.option_number("from").unwrap_or(1);
    let size: usize = args.option_number("size").unwrap_or(0);
    let end = count.map_or(u64::MAX, |count| from + count);
    let batch = if rate.is_some() { 1 } else { 256 };
    let mut text = String::new();
    let mut next = from;
    while next < end {
        text.clear();
        for number in next..end.min(next + batch) {
            let start = text.len();
            write!(text, "{number}").map_err(io::Error::other)?;
            let pad = size.saturating_sub(text.len() - start + 1);
            text.extend(std::iter::repeat_n('.', pad));
            text.push('\n');
        }
        next = end.min(next + batch);
        say(&text)?;
        if let Some(rate) = rate {
            thread::sleep(Duration::from_nanos(1_000_000_000 / rate));
        }
    }
    match args.option_number("exit") {
        Some(code) => process::exit(code),
        None => ends::wait(),
    }
}

/// One line of that many bytes, then `after`.
pub(crate) fn longline(mut args: Args) -> io::Result<()> {
    let mut left: usize = args.number("bytes");
    let chunk = [b'x'; 65536];
    while left > 0 {
        let now = left.min(chunk.len());
        shout(&chunk[..now])?;
        left -= now;
    }
    say("\nafter\n")?;
    ends::wait()
}

/// Bytes that break readers: every value, a NUL, broken UTF-8, a bare return, colours, a byte order mark.
pub(crate) fn bytes(mut args: Args) -> io::Result<()> {
    let all: Vec<u8> = (0..=255).collect();
    shout(b"\xef\xbb\xbfmark\n")?;
    shout(&all)?;
    shout(b"\nnul\0nul\n\xc3\x28\xff\xfe\x80\nbare\rreturn\r\n\x1b[31mred\x1b[0m\x1b]0;title\x07\n")?;
    match args.option_number("exit") {
        Some(code) => process::exit(code),
        None => ends::wait(),
    }
}

/// A last line without its end.
pub(crate) fn partial(mut args: Args) -> ! {
    match say("whole\nx") {
        Ok(()) => process::exit(args.option_number("exit").unwrap_or(0)),
        Err(_) => process::exit(99),
    }
}

/// Closes its output and lives on.
pub(crate) fn closeout() -> io::Result<()> {
    say("last words\n")?;
    nix::unistd::close(1)?;
    nix::unistd::close(2)?;
    ends::wait()
}

/// Ends, with `--exit N`, while a grandchild in a session of its own keeps the output and writes to it `--after MS`.
pub(crate) fn holdpipe(mut args: Args) -> io::Result<()> {
    let after: u64 = args.option_number("after").unwrap_or(500);
    let (mut told, tells) = io::pipe()?;
    let child = Command::new(std::env::current_exe()?).args(["late", &after.to_string()]).stdin(tells).spawn()?;
    told.read_exact(&mut [0])?;
    say(&format!("main ends, {} stays\n", child.id()))?;
    process::exit(args.option_number("exit").unwrap_or(0))
}

/// The grandchild of `holdpipe`.
pub(crate) fn late(mut args: Args) -> io::Result<()> {
    nix::unistd::setsid()?;
    // It must outlive the TERM that its tree gets when the main process is gone.
    nix::sys::signal::SigSet::all().thread_block()?;
    nix::unistd::write(io::stdin(), b"!")?;
    thread::sleep(Duration::from_millis(args.number("milliseconds")));
    say("late\n")
}
