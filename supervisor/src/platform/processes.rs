//! What the kernel tells of processes.
//! Not here: which of them are ours.

/// A process, as far as we need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// Clock ticks after boot (`/proc/PID/stat`, field 22): with the number, the identity of a process.
    pub(crate) started: u64,
}

/// One process; `None` when it is gone, or only waits to be reaped.
#[cfg(target_os = "linux")]
pub(crate) fn process(pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command stands in parentheses and may hold anything, so fields are counted after the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    let field = |place: usize| fields.get(place)?.parse().ok();
    Some(Process { pid, parent: field(1)?, session: field(3)?, started: fields.get(19)?.parse().ok()? })
}

/// Every process that we may see.
#[cfg(target_os = "linux")]
pub(crate) fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| process(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// Others of our user can neither trace us nor read our memory. The keeper has seen to it that no core is written.
#[cfg(target_os = "linux")]
pub(crate) fn keep_to_ourselves() {
    // It cannot fail for this value.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Elsewhere that is the default, or is not to be had.
#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_to_ourselves() {}

/// Changes with each start of the machine; empty where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// How long the machine has slept since it was started, in milliseconds: the monotonic clock does not count that.
#[cfg(target_os = "linux")]
pub(crate) fn slept_ms() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let at = |clock| clock_gettime(clock).map_or(std::time::Duration::ZERO, Into::into);
    let slept = at(ClockId::CLOCK_BOOTTIME).saturating_sub(at(ClockId::CLOCK_MONOTONIC));
    u64::try_from(slept.as_millis()).unwrap_or(u64::MAX)
}

/// Elsewhere the monotonic clock counts it, or nobody tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn slept_ms() -> u64 {
    0
}

/// Elsewhere nothing is known without further libraries: leftovers are not found there.
#[cfg(not(target_os = "linux"))]
pub(crate) fn process(_pid: i32) -> Option<Process> {
    None
}

/// See `process`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn processes() -> Vec<Process> {
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn we_find_ourselves() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let me = process(pid).unwrap();
        assert!(processes().contains(&me));
        assert_eq!(me.session, nix::unistd::getsid(None).unwrap().as_raw());
    }
}
