//! `restart`, `stop` and `rollout`.
//! Not here: what is done by them.

use std::time::Duration;

use nix::sys::signal::Signal;
use supervisor_core::{Kind, Policy, RestartPolicy, RolloutPolicy, StopPolicy};

use super::model::{Handoff, Limits, LongLived};
use super::nearest::nearest;
use super::reader::Reader;
use super::section::Section;
use super::tree::Node;

pub(super) fn kind(service: &Section<'_>, reader: &mut Reader<'_>) -> Kind {
    reader.choice(service, "type", &[("service", Kind::Service), ("oneshot", Kind::Oneshot)])
}

pub(super) fn restart(service: &Section<'_>, reader: &mut Reader<'_>) -> RestartPolicy {
    let restart = service.table("restart", reader.problems);
    let policies = [("always", Policy::Always), ("on-failure", Policy::OnFailure), ("no", Policy::No)];
    let millis = Duration::from_millis;
    let policy = RestartPolicy {
        policy: reader.choice(&restart, "policy", &policies),
        delay: reader.millis(&restart, "delay", millis(500), Duration::ZERO),
        factor: reader.number(&restart, "factor", 2.0, 1.0..=1000.0),
        max_delay: reader.millis(&restart, "max_delay", millis(30_000), Duration::ZERO),
        jitter: reader.number(&restart, "jitter", 0.5, 0.0..=1.0),
        reset_after: reader.millis(&restart, "reset_after", millis(30_000), millis(1)),
        crash_loop: reader.count(&restart, "crash_loop", 5, 0..=u32::MAX),
        max_restarts: reader.count(&restart, "max_restarts", 0, 0..=u32::MAX),
        success_exit_codes: success_exit_codes(&restart, reader),
    };
    if policy.delay > policy.max_delay
        && let Some(node) = restart.get("delay").or_else(|| restart.get("max_delay"))
    {
        let message = format!("`delay` ({}ms) is longer than `max_delay` ({}ms)", policy.delay, policy.max_delay);
        reader.problems.add(node.span, message);
    }
    policy
}

fn success_exit_codes(restart: &Section<'_>, reader: &mut Reader<'_>) -> Vec<i32> {
    let Some(node) = restart.get("success_exit_codes") else { return vec![0] };
    let Some(items) = node.value.as_list() else {
        return reader.wrong_type(node, "an array of exit codes").unwrap_or_default();
    };
    items.iter().filter_map(|item| reader.integer(item, 0..=255)).collect()
}

/// How a generation takes over from the one before. Two at once can only share a port that the supervisor holds.
pub(super) fn rollout(service: &Section<'_>, kind: Kind, handoff: Handoff, reader: &mut Reader<'_>) -> RolloutPolicy {
    let rollout = service.table("rollout", reader.problems);
    let shared = match (kind, handoff) {
        (Kind::Service, Handoff::Socket) => true,
        (Kind::Service, Handoff::Own) | (Kind::Oneshot, _) => false,
    };
    let said = rollout.get("drain_signal").filter(|node| node.value.as_text() != Some(""));
    RolloutPolicy {
        overlap: reader.flag(&rollout, "overlap", true) && shared,
        drain_signal: said.and_then(|node| signal(node, reader)).map(|signal| signal as i32),
        bake: reader.millis(&rollout, "bake", Duration::from_secs(2), Duration::ZERO),
        warm: reader.millis(&rollout, "warm", Duration::from_secs(30), Duration::ZERO),
        drain: reader.millis(&rollout, "drain", Duration::from_secs(30), Duration::ZERO),
    }
}

pub(super) fn long_lived(service: &Section<'_>, reader: &mut Reader<'_>) -> LongLived {
    let rollout = service.table("rollout", reader.problems);
    let section = rollout.table("long_lived", reader.problems);
    LongLived {
        close_after: reader.duration(&section, "close_after", Duration::from_secs(5), Duration::ZERO),
        spread: reader.duration(&section, "spread", Duration::from_secs(2), Duration::ZERO),
    }
}

/// Less than this no program can begin with: a unit is missing.
const LEAST_MEMORY: u64 = 1 << 20;

pub(super) fn limits(service: &Section<'_>, reader: &mut Reader<'_>) -> Limits {
    let section = service.table("limits", reader.problems);
    let mut memory = |key: &str| {
        let size = reader.size(&section, key, 0);
        if let Some(node) = section.get(key)
            && (1..LEAST_MEMORY).contains(&size)
        {
            let message = format!("`{key}` is less than `1MiB`");
            reader.problems.add_with_help(node.span, message, "write the unit, like `512MiB`; `0` is no limit");
        }
        (size > 0).then_some(size)
    };
    let (hard, soft) = (memory("memory"), memory("memory_soft"));
    if let (Some(hard), Some(soft), Some(node)) = (hard, soft, section.get("memory_soft"))
        && soft >= hard
    {
        let help = "at `memory_soft` it is replaced, so that it never comes to `memory`, where it is killed";
        reader.problems.add_with_help(node.span, "`memory_soft` is not less than `memory`", help);
    }
    let cores = reader.number(&section, "cpu", 0.0, 0.0..=MOST_CORES);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to a million")]
    let cpu_milli = (cores * 1000.0).round() as u64;
    let pids = reader.count(&section, "pids", 0, 0..=MOST_PIDS);
    Limits {
        memory: hard,
        memory_soft: soft,
        // Less than the kernel's least quota is that.
        cpu_milli: (cores > 0.0).then_some(cpu_milli.max(1)),
        pids: (pids > 0).then_some(pids),
        nofile: section.get("nofile").and_then(|node| reader.integer(node, 1..=1 << 30)),
    }
}

/// More than any machine has.
const MOST_CORES: f64 = 1000.0;
/// `PID_MAX_LIMIT` of Linux.
const MOST_PIDS: u64 = 1 << 22;

pub(super) fn stop(service: &Section<'_>, reader: &mut Reader<'_>) -> StopPolicy {
    let stop = service.table("stop", reader.problems);
    StopPolicy {
        signal: stop.get("signal").and_then(|node| signal(node, reader)).unwrap_or(Signal::SIGTERM) as i32,
        timeout: reader.millis(&stop, "timeout", Duration::from_secs(10), Duration::ZERO),
    }
}

/// A signal by its name without `SIG`.
pub(super) fn signal(node: &Node, reader: &mut Reader<'_>) -> Option<Signal> {
    let name = reader.text(node)?;
    if let Ok(signal) = format!("SIG{name}").parse() {
        return Some(signal);
    }
    let known: Vec<&str> = Signal::iterator().map(|signal| &signal.as_str()[3..]).collect();
    let upper = name.to_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let meant = known.iter().copied().find(|known| *known == bare).or_else(|| nearest(bare, known.iter().copied()));
    let help = match meant {
        Some(meant) => format!("write `{meant}`"),
        None => "write it without `SIG`, like `TERM`".to_owned(),
    };
    let shown =
        if node.value.as_text() == Some(name.as_str()) { format!("`{name}`") } else { "the expanded value".to_owned() };
    reader.problems.add_with_help(node.span, format!("{shown} is no signal"), help);
    None
}
