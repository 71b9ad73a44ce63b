//! A message told by a program, which the keeper runs: it ends at its deadline, and with this control.
//! Not here: what it is told.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::fcntl::OFlag;
use supervisor_core::ProbeOutcome;
use supervisor_keeper::Spawn;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::failure::Failure;
use super::send::{LOOKUPS, Office};
use crate::control::{Errand, News, collect, launch, told};

/// A program has this long.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `argv` in the directory of the configuration, with `input` on its standard input.
pub(super) async fn run(
    argv: &[String],
    extra: BTreeMap<String, String>,
    input: Vec<u8>,
    office: &Office,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::later(error.to_string());
    let (dir, argv0, path) = (office.dir.clone(), argv[0].clone(), std::env::var("PATH").ok());
    let program = LOOKUPS.run(move || launch::program_of(&dir, &argv0, path.as_deref())).await.map_err(failed)?;
    let program = program.map_err(|error| Failure::never(error.to_string()))?;
    let mut env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    env.retain(|key, _| !key.starts_with("SUPERVISOR_"));
    env.extend(extra);
    let spawn = Spawn {
        helper_deadline_ms: u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX),
        program: program.as_os_str().as_bytes().to_vec(),
        argv: argv.iter().map(|word| word.as_bytes().to_vec()).collect(),
        env: env.iter().map(|(key, value)| format!("{key}={value}").into_bytes()).collect(),
        cwd: office.dir.as_os_str().as_bytes().to_vec(),
        umask: 0o077,
        fds: vec![0, 1, 2],
        ..Spawn::default()
    };
    let (stdin, feed) = pipe().map_err(failed)?;
    let (heard, stdout) = pipe().map_err(failed)?;
    let mut feed = pipe::Sender::from_owned_fd(feed).map_err(failed)?;
    let heard = pipe::Receiver::from_owned_fd(heard).map_err(failed)?;
    let stderr = stdout.try_clone().map_err(failed)?;
    let (ended, end) = oneshot::channel();
    let errand = Errand { spawn, fds: vec![stdin, stdout, stderr], ended };
    office.news.send(News::Errand(Box::new(errand))).await.map_err(|_| Failure::later("the supervisor is ending"))?;
    let feeding = async {
        // Who does not read it needs none of it.
        let _ = feed.write_all(&input).await;
        drop(feed);
        std::future::pending::<()>().await;
    };
    let (outcome, output) = tokio::select! {
        done = collect(heard, end) => done,
        () = feeding => return Err(Failure::later("nothing came of it")),
    };
    match outcome {
        ProbeOutcome::Passed => Ok(()),
        ProbeOutcome::Failed(how) | ProbeOutcome::Untried(how) => Err(Failure::later(told(&how, &output))),
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}
