//! One run: writers, their pipes, and whoever reads them.
//! Not here: what the processes do (`reader`).

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::UsageWho;

use crate::measure::{Run, cpu, memory, watched};

pub(crate) fn run(way: &str, writes: &str, services: usize, bytes: usize, directory: &Path) -> io::Result<Run> {
    let before = cpu(UsageWho::RUSAGE_CHILDREN)?;
    let share = bytes / services;
    let (inputs, mut drains) = prepare(way, services, directory)?;
    // All are up before the clock starts.
    for drain in &mut drains {
        drain.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.read_exact(&mut [0])?;
    }
    let pids: Vec<u32> = drains.iter().map(Child::id).collect();
    let at_first = memory(&pids);
    let this = env::current_exe()?;
    let (result, most) = watched(&pids, || -> io::Result<(f64, f64)> {
        let begin = Instant::now();
        let writer = |input| Command::new(&this).args(["write", writes, &share.to_string()]).stdout(input).spawn();
        let writers: Vec<Child> = inputs.into_iter().map(writer).collect::<io::Result<_>>()?;
        for mut writer in writers {
            writer.wait()?;
        }
        let mut own = 0.0;
        for drain in &mut drains {
            // Tells a pump that all was written; the others see it by themselves.
            drop(drain.stdin.take());
            let mut used = String::new();
            drain.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.read_to_string(&mut used)?;
            own += used.trim().parse::<f64>().map_err(io::Error::other)?;
        }
        Ok((begin.elapsed().as_secs_f64(), own))
    });
    let (wall, own) = result?;
    for mut child in drains {
        child.wait()?;
    }
    Ok(Run { wall, own, whole: cpu(UsageWho::RUSAGE_CHILDREN)? - before, memory: (at_first, most) })
}

/// What each writer writes to, and the readers.
fn prepare(way: &str, services: usize, directory: &Path) -> io::Result<(Vec<Stdio>, Vec<Child>)> {
    let this = env::current_exe()?;
    let (mut inputs, mut drains): (Vec<Stdio>, Vec<Child>) = (Vec::new(), Vec::new());
    let reader = |services: usize, number: usize| {
        let mut command = Command::new(&this);
        command.args(["drain", way, &services.to_string()]);
        command.arg(directory.join(format!("{way}{number}.log"))).stdout(Stdio::piped());
        command
    };
    if way == "itself" {
        for service in 0..services {
            inputs.push(File::create(directory.join(format!("{service}.log")))?.into());
        }
    } else if matches!(way, "cat" | "cat+mv" | "splice") {
        for service in 0..services {
            let (output, input) = pipe()?;
            inputs.push(input.into());
            drains.push(reader(1, service).stdin(output).spawn()?);
        }
    } else {
        // Each service opens its pipe by a name: only standard input is inherited without unsafe code.
        let names: Vec<PathBuf> = (0..services).map(|service| directory.join(format!("{service}.pipe"))).collect();
        for name in &names {
            nix::unistd::mkfifo(name, nix::sys::stat::Mode::S_IRWXU)?;
        }
        drains.push(reader(services, 0).stdin(Stdio::piped()).spawn()?);
        for name in &names {
            inputs.push(OpenOptions::new().write(true).open(name)?.into());
        }
    }
    Ok((inputs, drains))
}

/// As large as those that control makes.
fn pipe() -> io::Result<(PipeReader, io::PipeWriter)> {
    let (output, input) = io::pipe()?;
    fcntl(&input, FcntlArg::F_SETPIPE_SZ(256 << 10))?;
    Ok((output, input))
}
