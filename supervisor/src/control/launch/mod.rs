//! The environment, the program and the user of a run, resolved. May block: on a name service, a disk, a secret's
//! command; so it runs on a blocking thread, or in a command of the CLI.
//! Not here: file descriptors (`prepare`), processes of services (the keeper).

pub(crate) mod hangup;
pub(crate) mod listeners;
pub(crate) mod prepare;
pub(crate) mod programs;
mod sockets;
pub(crate) mod workshop;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use supervisor_core::ServiceSpec;

use crate::config::{InheritEnv, Launch, SecretSource};
use crate::control::api::view::Executable;
use crate::platform;

/// A secret's command has this long.
const SECRET_TIMEOUT: Duration = Duration::from_secs(10);
/// A secret is at most this long.
const SECRET_MAX_BYTES: u64 = 64 * 1024;
/// Searched when a service has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whom a run becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    name: Option<String>,
    home: Option<PathBuf>,
}

/// Everything a generation finds in its environment, but what names its file descriptors, socket and cookie.
pub(crate) fn environment(launch: &Launch, generation: u64) -> io::Result<BTreeMap<String, String>> {
    let mut env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| inherited(launch, key))
        .collect();
    if let Some(identity) = identity(launch)? {
        env.extend(identity.name.map(|name| ("USER".to_owned(), name)));
        env.extend(identity.home.map(|home| ("HOME".to_owned(), home.display().to_string())));
    }
    for (key, value) in &launch.env {
        env.insert(key.clone(), value.render(generation));
    }
    for (key, source) in &launch.secrets {
        env.insert(key.clone(), secret(key, source, &launch.cwd)?);
    }
    if let Some(port) = launch.port {
        env.insert("PORT".to_owned(), port.to_string());
        env.insert("HOST".to_owned(), launch.bind.to_string());
    }
    for (name, port) in &launch.ports {
        env.insert(format!("PORT_{}", name.to_uppercase().replace('-', "_")), port.to_string());
    }
    env.insert("SUPERVISOR_SERVICE".to_owned(), launch.name.to_string());
    env.insert("SUPERVISOR_GENERATION".to_owned(), generation.to_string());
    env.insert("SUPERVISOR_INSTANCE".to_owned(), "0".to_owned());
    Ok(env)
}

fn inherited(launch: &Launch, key: &str) -> bool {
    let ours = key.starts_with("SUPERVISOR_") || key.starts_with("LISTEN_") || key.starts_with("WATCHDOG_");
    match &launch.inherit_env {
        _ if ours || key == "NOTIFY_SOCKET" => false,
        InheritEnv::All => true,
        InheritEnv::Names(names) => names.iter().any(|name| name == key),
    }
}

pub(crate) fn secret(key: &str, source: &SecretSource, cwd: &Path) -> io::Result<String> {
    let text = match source {
        SecretSource::Env(name) => {
            std::env::var(name).map_err(|_| io::Error::other(format!("secret {key}: variable {name} is not set")))?
        }
        SecretSource::File { path, mark: _ } => read_secret_file(path)
            .map_err(|error| io::Error::new(error.kind(), format!("secret {key}: {}: {error}", path.display())))?,
        SecretSource::Command(argv) => secret_of_command(argv, cwd, SECRET_TIMEOUT)
            .map_err(|error| io::Error::new(error.kind(), format!("secret {key}: `{}`: {error}", argv[0])))?,
    };
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn read_secret_file(path: &Path) -> io::Result<String> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    file.take(SECRET_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn secret_of_command(argv: &[String], cwd: &Path, timeout: Duration) -> io::Result<String> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(cwd).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    platform::ends_with_us(&mut command);
    let mut child = command.spawn()?;
    let deadline = Instant::now() + timeout;
    let text = read_until(&mut child, deadline, timeout).and_then(|text| {
        // What closes its output need not end.
        ended(&child, deadline, timeout).map(|()| text)
    });
    if text.is_err()
        && let Ok(pid) = i32::try_from(child.id())
    {
        // The child leads its group and is not reaped yet, so the number is still its own.
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    let status = child.wait()?;
    let text = text?;
    if !status.success() {
        return Err(io::Error::other(format!("failed: {status}")));
    }
    String::from_utf8(text).map_err(|_| io::Error::other("its output is not UTF-8"))
}

/// Waits for its end, and leaves it to be reaped.
fn ended(child: &Child, deadline: Instant, timeout: Duration) -> io::Result<()> {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    /// How often it is looked at; mostly it ends with its output.
    const LOOK: Duration = Duration::from_millis(5);
    let id = || Id::Pid(nix::unistd::Pid::from_raw(child.id().cast_signed()));
    while waitid(id(), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT)? == WaitStatus::StillAlive {
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("has not ended within {timeout:?}")));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn read_until(child: &mut Child, deadline: Instant, limit: Duration) -> io::Result<Vec<u8>> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let Some(mut output) = child.stdout.take() else { return Ok(Vec::new()) };
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let ready = poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], timeout)?;
        if ready == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")));
        }
        let n = output.read(&mut buffer)?;
        if n == 0 {
            return Ok(text);
        }
        text.extend_from_slice(&buffer[..n]);
        if text.len() as u64 > SECRET_MAX_BYTES {
            return Err(io::Error::other(format!("more than {SECRET_MAX_BYTES} bytes of output")));
        }
    }
}

/// What a service on our kit goes by.
pub(crate) fn spans(launch: &Launch, spec: &ServiceSpec) -> impl Iterator<Item = (String, String)> {
    let spans = [
        ("DRAIN_TIMEOUT", u128::from(spec.rollout.drain)),
        ("STOP_TIMEOUT", u128::from(spec.stop.timeout)),
        ("LONG_LIVED_CLOSE_AFTER", launch.long_lived.close_after.as_millis()),
        ("LONG_LIVED_SPREAD", launch.long_lived.spread.as_millis()),
    ];
    spans.into_iter().map(|(what, span)| (format!("SUPERVISOR_{what}_MS"), span.to_string()))
}

/// The soft and the hard limit of open files.
pub(crate) fn nofile(launch: &Launch) -> io::Result<Option<(u64, u64)>> {
    let Some(soft) = launch.limits.nofile else { return Ok(None) };
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    Ok(Some((soft, hard.max(soft))))
}

/// `PATH`, as the service will see it; its secrets are left alone.
pub(crate) fn path_of(launch: &Launch) -> BTreeMap<String, String> {
    const PATH: &str = "PATH";
    let inherited = || {
        let passed = match &launch.inherit_env {
            InheritEnv::All => true,
            InheritEnv::Names(names) => names.iter().any(|name| name == PATH),
        };
        std::env::var(PATH).ok().filter(|_| passed)
    };
    let path = launch.env.get(PATH).map(|path| path.render(1)).or_else(inherited);
    path.map(|path| (PATH.to_owned(), path)).into_iter().collect()
}

/// The file to execute: with a `/` relative to the configuration, else searched in the service's `PATH`.
pub(crate) fn program(launch: &Launch, argv0: &str, env: &BTreeMap<String, String>) -> io::Result<PathBuf> {
    program_of(&launch.base, argv0, env.get("PATH").map(String::as_str))
}

/// The same, with a `/` relative to `base`.
pub(crate) fn program_of(base: &Path, argv0: &str, path: Option<&str>) -> io::Result<PathBuf> {
    if argv0.contains('/') {
        return Ok(base.join(argv0));
    }
    let path = path.unwrap_or(DEFAULT_PATH);
    let found = path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join(argv0)).find(|candidate| {
        candidate.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    });
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("`{argv0}` is not in PATH")))
}

/// Why a program cannot be run, of those that belong to no service.
pub(crate) fn not_runnable(argv0: &str, base: &Path) -> Option<String> {
    match program_of(base, argv0, std::env::var("PATH").ok().as_deref()) {
        Ok(program) => not_executable(&program),
        Err(error) => Some(error.to_string()),
    }
}

/// Why a secret cannot be had, as far as that is known without a command being run.
pub(crate) fn not_told(key: &str, source: &SecretSource, base: &Path) -> Option<String> {
    match source {
        SecretSource::Command(argv) => not_runnable(&argv[0], base).map(|why| format!("secret {key}: {why}")),
        SecretSource::File { .. } | SecretSource::Env(_) => {
            secret(key, source, base).err().map(|error| error.to_string())
        }
    }
}

/// Why it cannot be run.
pub(crate) fn not_executable(program: &Path) -> Option<String> {
    let shown = program.display();
    match program.metadata() {
        Err(error) => Some(format!("{shown}: {error}")),
        Ok(meta) if !meta.is_file() => Some(format!("{shown} is no file")),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => Some(format!("{shown} is not executable")),
        Ok(_) => None,
    }
}

/// What `stat` tells of a file; `None` when it cannot.
pub(crate) fn executable(path: &Path) -> Option<Executable> {
    Some(told(path, &path.metadata().ok()?))
}

/// The same of a file that is open, and was found at `path`.
pub(crate) fn executable_of(file: &OwnedFd, path: &Path) -> Option<Executable> {
    let file = std::fs::File::from(file.try_clone().ok()?);
    Some(told(path, &file.metadata().ok()?))
}

fn told(path: &Path, meta: &std::fs::Metadata) -> Executable {
    Executable {
        path: path.to_owned(),
        device: meta.dev(),
        inode: meta.ino(),
        modified_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
        size: meta.size(),
    }
}

/// Whom a run becomes; `None` when it stays who we are.
pub(crate) fn identity(launch: &Launch) -> io::Result<Option<Identity>> {
    if launch.user.is_none() && launch.group.is_none() {
        return Ok(None);
    }
    let user = match &launch.user {
        Some(name) => lookup_user(name)?,
        None => (Uid::current(), User::from_uid(Uid::current())?),
    };
    let (uid, entry) = user;
    let gid = match (&launch.group, &entry) {
        (Some(group), _) => lookup_group(group)?,
        (None, Some(entry)) => entry.gid,
        (None, None) => {
            return Err(io::Error::other(format!("user {uid} has no entry in the user database; give `group` too")));
        }
    };
    let groups = match entry.as_ref().and_then(|entry| CString::new(entry.name.as_str()).ok()) {
        Some(name) => getgrouplist(&name, gid)?,
        None => vec![gid],
    };
    if uid == Uid::current() && gid == Gid::current() && launch.group.is_none() {
        return Ok(None);
    }
    if !Uid::effective().is_root() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "`user` and `group` need a supervisor run by root",
        ));
    }
    Ok(Some(Identity {
        uid: uid.as_raw(),
        gid: gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
        name: entry.as_ref().map(|entry| entry.name.clone()),
        home: entry.map(|entry| entry.dir),
    }))
}

fn lookup_user(name: &str) -> io::Result<(Uid, Option<User>)> {
    if let Ok(number) = name.parse::<u32>() {
        let uid = Uid::from_raw(number);
        return Ok((uid, User::from_uid(uid)?));
    }
    let user = User::from_name(name)?.ok_or_else(|| io::Error::other(format!("there is no user `{name}`")))?;
    Ok((user.uid, Some(user)))
}

fn lookup_group(name: &str) -> io::Result<Gid> {
    if let Ok(number) = name.parse::<u32>() {
        return Ok(Gid::from_raw(number));
    }
    let group = Group::from_name(name)?.ok_or_else(|| io::Error::other(format!("there is no group `{name}`")))?;
    Ok(group.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_of(script: &str, timeout: Duration) -> io::Result<String> {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        secret_of_command(&argv, Path::new("/"), timeout)
    }

    #[test]
    fn a_secrets_command_that_does_not_end_is_ended_whatever_it_does_with_its_output() {
        for script in ["exec sleep 1000", "echo x; exec >&-; exec sleep 1000", "sleep 1000 & exec sleep 1000"] {
            let began = Instant::now();
            let error = secret_of(script, Duration::from_millis(100)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{script}: {error}");
            assert!(began.elapsed() < Duration::from_secs(30), "{script}");
        }
    }

    #[test]
    fn a_secret_is_what_its_command_prints_when_it_succeeds() {
        let long = Duration::from_secs(60);
        assert_eq!(secret_of("echo hush; exec >&-; sleep 0.05", long).unwrap(), "hush\n");
        let error = secret_of("echo hush; exit 3", long).unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn a_program_without_the_mode_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "").unwrap();
        assert!(not_executable(&path).unwrap().contains("not executable"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(not_executable(&path), None);
        assert!(not_executable(dir.path()).is_some());
    }
}
