//! `status`: the table of services.
//! Not here: waiting for anything.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use supervisor_core::{HealthStatus, State};

use super::args::{Global, Status};
use super::failure::{Exit, Failure};
use super::locate;
use super::output::clean;
use super::table::{Cell, Tone, fitted};
use super::terminal::Screen;
use super::watch;
use crate::api::{ExecutableDocument, ResourcesDocument, ServiceDocument, StatusDocument};
use crate::certificates::{Certificate, Standing};
use crate::control::{Executable, launch};
use crate::spans::span;
use crate::timestamp;

pub(crate) fn status(global: &Global, screen: Screen, status: &Status) -> Result<Exit, Failure> {
    if status.watch {
        return watch::watch(global, screen, status);
    }
    let place = locate::place(global)?;
    let document = place.client.status_with_resources()?;
    let services = chosen(&document, &status.services)?;
    place.warn_of_rejection(&document, screen);
    if screen.json {
        let mut document = document.clone();
        document.services = services.iter().map(|service| (*service).clone()).collect();
        let json = serde_json::to_string_pretty(&document).map_err(|error| Failure::of_system("write JSON", &error))?;
        screen.data(&format!("{json}\n"));
    } else {
        screen.show(&page(&document, &services, screen));
    }
    let well = if status.services.is_empty() {
        document.supervisor.health == HealthStatus::Healthy
    } else {
        services.iter().all(|service| service.state.is_well())
    };
    Ok(if well { Exit::Done } else { Exit::Failed })
}

/// The services of these names, or all.
pub(crate) fn chosen<'a>(document: &'a StatusDocument, names: &[String]) -> Result<Vec<&'a ServiceDocument>, Failure> {
    if names.is_empty() {
        return Ok(document.services.iter().collect());
    }
    let find = |name: &String| document.services.iter().find(|service| service.name.as_str() == name);
    let all = || document.services.iter().map(|service| service.name.as_str());
    names.iter().map(|name| find(name).ok_or_else(|| locate::unknown(name, all()))).collect()
}

/// Each of these services, and where the supervisor itself answers.
pub(crate) fn page(document: &StatusDocument, services: &[&ServiceDocument], screen: Screen) -> String {
    let table = if document.services.is_empty() {
        format!("there are no services in {} yet\n", clean(&document.supervisor.file.display().to_string()))
    } else {
        table(services, screen)
    };
    let supervisor = &document.supervisor;
    let pid = supervisor.keeper_pid;
    let status = supervisor.http.map(|http| format!(", status at http://{http}/")).unwrap_or_default();
    format!("{table}\nsupervisor pid {pid}{status}\n")
}

fn table(services: &[&ServiceDocument], screen: Screen) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let rows: Vec<_> = services.iter().map(|service| row(service, now_ms)).collect();
    let head = ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "CPU", "MEM", "ADDRESS", "WHY"];
    // PID, ADDRESS, CPU, MEM, UPTIME, RESTARTS: what is wrong matters more.
    fitted(head, &rows, screen.width, screen.colour, &[2, 7, 5, 6, 3, 4])
}

fn row(service: &ServiceDocument, now_ms: i64) -> [Cell; 9] {
    let started = service.started.as_deref().and_then(timestamp::parse);
    let uptime = started.filter(|_| service.pid.is_some()).map(|started| span(now_ms.saturating_sub(started)));
    // Looked at a few seconds ago, perhaps.
    let used = service.resources.as_ref().filter(|_| service.pid.is_some());
    [
        Cell::plain(service.name.as_str()),
        Cell { text: service.state.as_str().to_owned(), tone: tone(service.state) },
        Cell::plain(service.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        Cell::plain(uptime.unwrap_or_default()),
        Cell::plain(if service.restarts == 0 { String::new() } else { service.restarts.to_string() }),
        Cell::plain(used.map(|used| cpu(used.cpu_cores)).unwrap_or_default()),
        Cell::plain(used.map(|used| bytes(used.memory_bytes)).unwrap_or_default()),
        Cell::plain(clean(service.address.as_deref().unwrap_or_default())),
        Cell::plain(why(service)),
    ]
}

/// In one line, the most important first.
pub(crate) fn why(service: &ServiceDocument) -> String {
    let mut parts = Vec::new();
    if let (Some(runs), Some(wanted)) = (service.revision, service.wanted_revision)
        && service.pid.is_some()
        && runs != wanted
    {
        parts.push(format!("runs with revision {runs} of the configuration, not {wanted}"));
    }
    if let Some(executable) = &service.executable
        && has_changed(executable)
    {
        parts.push(format!("binary changed; run `supervisor restart {}`", service.name));
    }
    if service.log_dropped_lines > 0 || service.log_error.is_some() {
        let now = service.log_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
        let what = match service.log_dropped_lines {
            0 => "its log takes nothing".to_owned(),
            dropped => format!("its log dropped {}", lines(dropped)),
        };
        parts.push(format!("{what}{now}"));
    }
    parts.extend(bad_certificate(service).map(|certificate| certificate.in_words(timestamp::now_ms())));
    // What a start waits for is in its cause already.
    let failing = service.failing.first().filter(|failing| !service.cause.contains(&failing.answer));
    parts.extend(failing.map(|failing| format!("{}: {}", failing.check, failing.answer)));
    parts.extend(service.status_text.clone().filter(|_| service.state.is_well()));
    if !service.cause.is_empty() {
        parts.push(service.cause.clone());
    }
    parts.dedup();
    clean(&parts.join("; "))
}

/// One that is to be renewed.
pub(crate) fn bad_certificate(service: &ServiceDocument) -> Option<&Certificate> {
    service.certificate.as_ref().filter(|certificate| certificate.state != Standing::Good)
}

/// The file at the path of the executable is not the one that was started. One that is gone does not count: a build
/// may be on its way.
pub(crate) fn has_changed(executable: &ExecutableDocument) -> bool {
    launch::executable(Path::new(&executable.path)).is_some_and(|now: Executable| {
        now.device != executable.device
            || now.inode != executable.inode
            || now.size != executable.size
            || now.modified_ns != executable.modified_ns
    })
}

pub(crate) fn tone(state: State) -> Tone {
    match state {
        State::Running | State::Completed => Tone::Good,
        State::Waiting | State::Starting | State::Rolling | State::Stopping | State::Backoff => Tone::Busy,
        State::Unhealthy | State::CrashLoop | State::Failed => Tone::Bad,
        State::Stopped => Tone::Faint,
    }
}

/// What a whole tree uses, in one line.
pub(crate) fn uses(used: &ResourcesDocument) -> String {
    let counted = |count: Option<u64>, what: &str| match count {
        None => String::new(),
        Some(1) => format!(", 1 {what}"),
        Some(count) => format!(", {count} {what}s"),
    };
    let mut text = format!("{} of a core, {} of memory", cpu(used.cpu_cores), bytes(used.memory_bytes));
    text.push_str(&counted(used.open_fds, "descriptor"));
    text.push_str(&counted(used.threads, "thread"));
    if used.processes > 1 {
        text.push_str(&format!(", {} processes", used.processes));
    }
    text
}

/// `1 line`, `7 lines`.
pub(crate) fn lines(count: u64) -> String {
    format!("{count} line{}", if count == 1 { "" } else { "s" })
}

/// Of one core, as `top` tells it: `0.2%`, `12%`, `250%`.
pub(crate) fn cpu(cores: f64) -> String {
    let percent = cores * 100.0;
    if percent < 9.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

/// Three digits: `512K`, `9.8M`, `120M`, `1.2G`.
pub(crate) fn bytes(bytes: u64) -> String {
    // A tenth more or less cannot be seen in three digits.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let mut shown = bytes as f64 / 1024.0;
    for unit in ["K", "M", "G"] {
        if shown < 1023.5 {
            let digits = usize::from(shown < 9.95 && unit != "K");
            return format!("{shown:.digits$}{unit}");
        }
        shown /= 1024.0;
    }
    format!("{shown:.1}T")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_and_memory_have_few_digits() {
        for (cores, text) in [(0.0, "0.0%"), (0.002, "0.2%"), (0.0994, "9.9%"), (0.0996, "10%"), (2.5, "250%")] {
            assert_eq!(cpu(cores), text);
        }
        for (of, text) in [
            (0, "0K"),
            (512 << 10, "512K"),
            (1 << 20, "1.0M"),
            ((10 << 20) - 1, "10M"),
            (120 << 20, "120M"),
            ((1 << 30) - 1, "1.0G"),
            (1229 << 20, "1.2G"),
            (3 << 40, "3.0T"),
        ] {
            assert_eq!(bytes(of), text);
        }
    }

    fn document(changes: serde_json::Value) -> ServiceDocument {
        let mut all = serde_json::json!({
            "name": "mail", "kind": "service", "critical": true, "wanted": true, "state": "running",
            "cause": "ready after 12ms", "since": "1970-01-01T00:00:01.000Z", "generation": 1, "revision": 1, "wanted_revision": 1, "pid": 42,
            "started": "1970-01-01T00:00:01.000Z", "ready_since": null, "restarts": 3, "failures": 0,
            "next_attempt": null, "last_exit": null, "port": 8002, "ports": {}, "bind": "127.0.0.1",
            "address": "http://127.0.0.1:8002", "status_text": null, "failing": [], "logs": [], "log_dropped_bytes": 0,
            "log_dropped_lines": 0, "log_error": null, "executable": null, "instances": 1, "generations": [],
            "rollout": null,
        });
        for (key, value) in changes.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn line(changes: serde_json::Value) -> Vec<String> {
        row(&document(changes), 62_000).map(|cell| cell.text).to_vec()
    }

    #[test]
    fn a_row_says_what_is_and_why() {
        let running = line(serde_json::json!({}));
        assert_eq!(
            running,
            ["mail", "running", "42", "1m 01s", "3", "", "", "http://127.0.0.1:8002", "ready after 12ms"]
        );
        let down = line(serde_json::json!({
            "state": "backoff", "pid": null, "started": null, "address": null, "cause": "exited with code 1",
        }));
        assert_eq!(down, ["mail", "backoff", "", "", "3", "", "", "", "exited with code 1"]);
        let full = line(serde_json::json!({ "log_dropped_lines": 7, "log_error": "No space left on device" }));
        assert_eq!(full[8], "its log dropped 7 lines (No space left on device); ready after 12ms");
        let closed = line(serde_json::json!({ "log_error": "Permission denied" }));
        assert_eq!(closed[8], "its log takes nothing (Permission denied); ready after 12ms");
    }

    #[test]
    fn what_it_uses_is_shown_when_it_was_asked_for() {
        let used = line(serde_json::json!({ "resources": {
            "sampled_at": "1970-01-01T00:00:01.000Z", "cpu_cores": 0.25, "cpu_ms": 10, "memory_bytes": 20 << 20,
            "open_fds": 7, "threads": null, "processes": 2,
        }}));
        assert_eq!(used[5..7], ["25%", "20M"]);
    }

    #[test]
    fn a_failing_check_comes_first_and_words_of_others_are_harmless() {
        let failing = line(serde_json::json!({
            "failing": [{ "check": "http /health", "answer": "503" }], "status_text": "busy\u{1b}[2J",
        }));
        assert_eq!(failing[8], "http /health: 503; busy\\x1b[2J; ready after 12ms");
        let starting = line(serde_json::json!({
            "failing": [{ "check": "http /", "answer": "refused" }], "cause": "not ready yet: http /: refused",
        }));
        assert_eq!(starting[8], "not ready yet: http /: refused", "once");
    }

    #[test]
    fn an_executable_that_was_replaced_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "one").unwrap();
        let started = launch::executable(&path).unwrap();
        let document = ExecutableDocument {
            path: path.clone(),
            device: started.device,
            inode: started.inode,
            modified_ns: started.modified_ns,
            size: started.size,
        };
        assert!(!has_changed(&document));
        std::fs::write(&path, "other").unwrap();
        assert!(has_changed(&document));
        std::fs::remove_file(&path).unwrap();
        assert!(!has_changed(&document));
    }
}
