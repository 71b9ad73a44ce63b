//! `exec`: a command in the environment, directory and identity of a service.
//! Not here: how the environment is made (`control::launch`).

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use super::args::{Exec, Global};
use super::failure::{Exit, Failure};
use super::{locate, output};
use crate::client::Client;
use crate::config::Launch;
use crate::control::launch;

pub(crate) fn exec(global: &Global, exec: &Exec) -> Result<Exit, Failure> {
    let stack = locate::trusted_stack(global)?;
    let service = &*locate::one_named(&stack, &exec.service)?.launch;
    let generation =
        Client::prober(&stack.runtime_dir).ok().and_then(|client| client.status().ok()).and_then(|status| {
            let found = status.services.into_iter().find(|one| one.name == service.name);
            found.map(|one| one.generation)
        });
    let env = launch::environment(service, generation.unwrap_or(0).max(1))
        .map_err(|error| Failure::of_system(&format!("make the environment of `{}`", service.name), &error))?;
    become_user(service)?;
    let Some((program, arguments)) = exec.command.split_first() else {
        return Err(Failure::new(Exit::Usage, "a command is missing after `--`"));
    };
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(service.umask));
    // A relative directory would be searched from the new one.
    let error = Command::new(program).args(arguments).env_clear().envs(env).current_dir(&service.cwd).exec();
    let shown = output::clean(&program.to_string_lossy());
    Err(Failure::of_system(&format!("run `{shown}` in {}", service.cwd.display()), &error))
}

/// In this order: once the user is another, groups cannot be set.
fn become_user(service: &Launch) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::of_system(&format!("become the user of `{}`", service.name), error);
    let Some(identity) = launch::identity(service).map_err(|error| failed(&error))? else { return Ok(()) };
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)
        .and_then(|()| setgid(Gid::from_raw(identity.gid)))
        .and_then(|()| setuid(Uid::from_raw(identity.uid)))
        .map_err(|errno| failed(&errno))
}
