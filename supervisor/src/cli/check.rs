//! `check`: is the file right, and is the machine ready for it? Nothing is started or changed.
//! Not here: the rules of the file (`config`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{AccessFlags, access};
use supervisor_core::{Policy, RestartPolicy, State};

use super::args::Global;
use super::disks;
use super::failure::{Exit, Failure};
use super::locate;
use super::output::clean;
use super::table::{Cell, Tone, render};
use super::terminal::Screen;
use crate::alerts::{in_the_clear, obstacles};
use crate::api::StatusDocument;
use crate::client::Client;
use crate::config::{self, Handoff, Launch, Listen, Stack};
use crate::control::launch;
use crate::platform;

pub(crate) fn check(global: &Global, screen: Screen) -> Result<Exit, Failure> {
    let stack = locate::trusted_stack(global)?;
    let status = Client::prober(&stack.runtime_dir).ok().and_then(|client| client.status().ok());
    let mut rows = Vec::new();
    let mut troubled = 0;
    for service in &stack.services {
        let problems = problems_of(&service.launch, status.as_ref());
        troubled += usize::from(!problems.is_empty());
        rows.push(row(&service.launch, service.spec.autostart, &problems));
    }
    let own = problems_of_supervisor(&stack, status.as_ref());
    let dir = stack.file.parent().unwrap_or(Path::new("/"));
    let of_alerts = problems_of_alerts(&stack, dir);
    let trees = match platform::groups::usable() {
        Ok(home) => format!("control groups in {}", home.display()),
        Err(error) => format!("sessions and cookies (no control group can be made: {error})"),
    };
    let limits = platform::controllers::Controllers::expected().in_words();
    if screen.json {
        let problems: BTreeMap<&str, &str> = rows
            .iter()
            .map(|row| (row[0].text.as_str(), row[4].text.as_str()))
            .filter(|(_, text)| *text != "ok")
            .collect();
        let document = serde_json::json!({
            "schema_version": crate::api::SCHEMA_VERSION, "file": stack.file, "services": stack.services.len(),
            "problems": problems, "supervisor": own, "alerts": of_alerts, "trees": trees, "limits": limits,
        });
        screen.data(&format!("{document:#}\n"));
    } else {
        screen.show(&format!("{}: the file is right\n\n", clean(&stack.file.display().to_string())));
        if rows.is_empty() {
            screen.show("there are no services in it yet\n");
        } else {
            screen.show(&render(["NAME", "START", "PROGRAM", "PORT", "CHECK"], &rows, screen.width, screen.colour));
        }
        screen.show(&format!("\ntrees are known by {}\n", clean(&trees)));
        screen.show(&format!("limits are kept: {limits}\n"));
    }
    for service in &stack.services {
        for doubt in doubts(&service.spec.restart) {
            screen.complain(&format!("warning: {}: {doubt}", service.spec.name));
        }
    }
    for doubt in disks::too_small(&stack) {
        screen.complain(&format!("warning: {doubt}"));
    }
    for file in config::exposed(&stack) {
        let file = clean(&file.display().to_string());
        screen.complain(&format!("warning: {file}: other users of this machine can read it; `chmod go-r` it"));
    }
    for alert in &stack.alerts {
        if let Some(why) = in_the_clear(alert, dir) {
            screen.complain(&format!("warning: alert {}: {}", alert.name, clean(&why)));
        }
    }
    for withheld in &stack.withheld {
        screen.complain(&format!("warning: {}", clean(&withheld.to_string())));
    }
    for problem in &own {
        screen.complain(&format!("error: {problem}"));
    }
    for (alert, problem) in of_alerts.iter().flat_map(|(alert, problems)| problems.iter().map(move |one| (alert, one)))
    {
        screen.complain(&format!("error: alert {alert} cannot be told: {}", clean(problem)));
    }
    if troubled > 0 {
        screen.complain(&format!("error: {troubled} of {} services cannot be started as things are", rows.len()));
    }
    Ok(if troubled == 0 && own.is_empty() && of_alerts.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Hardly any program fails sooner than this.
const SHORT_RUN_MS: u64 = 100;

/// What is allowed, but can hardly be meant.
fn doubts(restart: &RestartPolicy) -> Vec<String> {
    let mut doubts = Vec::new();
    if restart.max_restarts > 0 && restart.policy == Policy::No {
        doubts.push("restart.max_restarts can never be reached: the policy is `no`".to_owned());
    }
    if restart.max_restarts > 0 && restart.reset_after < SHORT_RUN_MS {
        doubts
            .push("restart.max_restarts can hardly be reached: with so short a reset_after any run is good".to_owned());
    }
    if restart.delay > restart.max_delay {
        doubts.push("restart.delay is longer than restart.max_delay, which wins".to_owned());
    }
    doubts
}

fn row(launch: &Launch, autostart: bool, problems: &[String]) -> [Cell; 5] {
    let program = launch.command.first().map(|program| program.render(1)).unwrap_or_default();
    let verdict = if problems.is_empty() {
        Cell { text: "ok".to_owned(), tone: Tone::Good }
    } else {
        Cell { text: clean(&problems.join("; ")), tone: Tone::Bad }
    };
    [
        Cell::plain(launch.name.as_str()),
        Cell::plain(if autostart { "auto" } else { "by hand" }),
        Cell::plain(clean(&program)),
        Cell::plain(launch.port.map(|port| port.to_string()).unwrap_or_default()),
        verdict,
    ]
}

fn problems_of(launch: &Launch, status: Option<&StatusDocument>) -> Vec<String> {
    let mut problems = Vec::new();
    let argv0 = launch.command.first().map(|program| program.render(1)).unwrap_or_default();
    let path = launch::path_of(launch);
    match launch::program(launch, &argv0, &path) {
        Ok(program) => problems.extend(launch::not_executable(&program)),
        Err(error) if argv0.contains(' ') => {
            problems.push(format!("{error}; in a list each argument is a string of its own"));
        }
        Err(error) => {
            let path = path.get("PATH").map(|path| format!(" ({path})")).unwrap_or_default();
            problems.push(format!("{error}{path}"));
        }
    }
    let secrets = launch.secrets.iter();
    problems.extend(secrets.filter_map(|(key, source)| launch::not_told(key, source, &launch.cwd)));
    if !launch.cwd.is_dir() {
        problems.push(format!("cwd: there is no directory {}", launch.cwd.display()));
    }
    problems.extend(launch::identity(launch).err().map(|error| error.to_string()));
    let ports = launch.port.into_iter().chain(launch.ports.values().copied());
    let ports = ports.filter(|port| !status.is_some_and(|status| is_its_own(launch, *port, status)));
    problems.extend(ports.filter_map(|port| not_free(launch.bind, port)));
    if let Some(nofile) = launch.limits.nofile
        && let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && nofile > hard
    {
        problems.push(format!("limits.nofile is {nofile}, but this user may have {hard}"));
    }
    problems
}

fn problems_of_supervisor(stack: &Stack, status: Option<&StatusDocument>) -> Vec<String> {
    let mut problems = Vec::new();
    if let Listen::At(address) = stack.http.listen
        && status.is_none_or(|status| status.supervisor.http != Some(address))
    {
        problems.extend(not_free(address.ip(), address.port()).map(|why| format!("[http] listen: {why}")));
    }
    for (what, dir) in [("runtime_dir", &stack.runtime_dir), ("state_dir", &stack.state_dir)] {
        problems.extend(not_writable(dir).map(|why| format!("{what} {}: {why}", dir.display())));
    }
    let of_services = stack.services.iter().map(|service| &service.launch.log.dir);
    let logs: BTreeSet<&PathBuf> = of_services.chain([&stack.logs_dir]).collect();
    problems.extend(logs.into_iter().filter_map(|dir| {
        let why = not_writable(dir)?;
        Some(format!("logs {}: {why}; what services print is lost", dir.display()))
    }));
    problems
}

/// By their names.
fn problems_of_alerts<'a>(stack: &'a Stack, dir: &Path) -> BTreeMap<&'a str, Vec<String>> {
    let all = stack.alerts.iter().map(|alert| (alert.name.as_str(), obstacles(alert, dir)));
    all.filter(|(_, problems)| !problems.is_empty()).collect()
}

/// Of a directory that exists or will be made: its nearest ancestor that exists decides.
fn not_writable(dir: &Path) -> Option<String> {
    let nearest = dir.ancestors().find(|dir| dir.exists())?;
    if !nearest.is_dir() {
        return Some(format!("{} is no directory", nearest.display()));
    }
    access(nearest, AccessFlags::W_OK | AccessFlags::X_OK)
        .err()
        .map(|errno| format!("{} cannot be written: {}", nearest.display(), errno.desc()))
}

/// It is taken, as it should be: by the service, which runs on it, or by the supervisor for it.
fn is_its_own(launch: &Launch, port: u16, status: &StatusDocument) -> bool {
    let Some(running) = status.services.iter().find(|one| one.name == launch.name) else { return false };
    let on_it = running.port == Some(port) || running.ports.values().any(|one| *one == port);
    let is_held = launch.handoff == Handoff::Socket && running.wanted && running.state != State::Failed;
    on_it && running.bind == launch.bind.to_string() && (running.pid.is_some() || is_held)
}

/// Why a listener cannot be had now.
fn not_free(ip: IpAddr, port: u16) -> Option<String> {
    let address = SocketAddr::new(ip, port);
    match TcpListener::bind(address) {
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Some(match platform::port_holder(address) {
            Some(holder) => format!("port {port} is held by pid {} ({})", holder.pid, clean(&holder.command)),
            None => format!("port {port} is held by another process"),
        }),
        Err(error) => Some(format!("cannot listen on {address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = not_free(address.ip(), address.port()).unwrap();
        assert!(told.contains(&address.port().to_string()), "{told}");
        if cfg!(target_os = "linux") {
            assert!(told.contains(&std::process::id().to_string()), "{told}");
        }
        drop(listener);
        assert_eq!(not_free(address.ip(), address.port()), None);
    }

    #[test]
    fn a_limit_that_can_never_be_reached_is_doubted() {
        let sound = RestartPolicy {
            policy: Policy::Always,
            delay: 500,
            factor: 2.0,
            max_delay: 30_000,
            jitter: 0.5,
            reset_after: 30_000,
            crash_loop: 5,
            max_restarts: 3,
            success_exit_codes: vec![0],
        };
        assert!(doubts(&sound).is_empty());
        assert_eq!(doubts(&RestartPolicy { policy: Policy::No, ..sound.clone() }).len(), 1);
        assert_eq!(doubts(&RestartPolicy { reset_after: 1, ..sound.clone() }).len(), 1);
        assert_eq!(doubts(&RestartPolicy { delay: 60_000, ..sound }).len(), 1);
    }

    #[test]
    fn a_directory_below_a_file_cannot_be_made() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(not_writable(&dir.path().join("file/logs")).is_some());
        assert_eq!(not_writable(&dir.path().join("new/logs")), None);
    }
}
