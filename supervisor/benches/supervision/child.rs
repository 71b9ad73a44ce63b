//! What this program does when it is run again: as the child that both sides supervise, and as the bare loops.
//! Not here: who starts these, and what is measured.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Error;
use crate::clock::now_ns;

/// A part in a measure, with its arguments on the command line.
pub(crate) enum Role<'w> {
    /// Reports in, then idles until a signal ends it.
    Child { fifo: &'w str, name: &'w str },
    /// Spawns one child, and again whenever it dies.
    Respawn { fifo: &'w str },
    /// Spawns this many children; ends them and itself when its standard input closes.
    Hold { fifo: &'w str, size: &'w str },
}

impl<'w> Role<'w> {
    pub(crate) fn of(words: &'w [String]) -> Option<Self> {
        let mut words = words.iter().map(String::as_str);
        match (words.next()?, words.next(), words.next()) {
            ("child", Some(fifo), Some(name)) => Some(Self::Child { fifo, name }),
            ("respawn", Some(fifo), None) => Some(Self::Respawn { fifo }),
            ("hold", Some(fifo), Some(size)) => Some(Self::Hold { fifo, size }),
            _ => None,
        }
    }

    pub(crate) fn play(&self) -> ExitCode {
        let played = match self {
            Self::Child { fifo, name } => idle(fifo, name).map_err(Error::from),
            Self::Respawn { fifo } => respawn(fifo).map_err(Error::from),
            Self::Hold { fifo, size } => hold(fifo, size),
        };
        match played {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// The line is shorter than `PIPE_BUF`, so those of many children never mix.
fn idle(fifo: &str, name: &str) -> io::Result<()> {
    let line = format!("{name} {} {}\n", std::process::id(), now_ns());
    File::options().write(true).open(fifo)?.write_all(line.as_bytes())?;
    loop {
        nix::unistd::pause();
    }
}

fn respawn(fifo: &str) -> io::Result<()> {
    loop {
        spawn(fifo, 0)?.wait()?;
    }
}

fn hold(fifo: &str, size: &str) -> Result<(), Error> {
    let size = size.parse()?;
    let mut children = (0..size).map(|number| spawn(fifo, number)).collect::<io::Result<Vec<_>>>()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    for child in &children {
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    }
    for child in &mut children {
        child.wait()?;
    }
    Ok(())
}

fn spawn(fifo: &str, number: usize) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["child", fifo, &format!("s{number:04}")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()
}
