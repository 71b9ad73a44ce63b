//! What the kernel tells of the use of a process beyond what every system tells.
//! Not here: adding it up (`resources`).

/// Beside CPU time and memory of the process itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beside {
    /// CPU time of children that were waited for, in milliseconds.
    pub(crate) waited_ms: u64,
    pub(crate) threads: u64,
    /// Clock ticks after boot: with the number, the identity of a process.
    pub(crate) started: u64,
}

/// Fields 16, 17, 20 and 22 of `/proc/PID/stat` (proc_pid_stat(5)). `None` when the process is gone.
#[cfg(target_os = "linux")]
pub(crate) fn beside(pid: i32) -> Option<Beside> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command stands in parentheses and may hold anything, so fields are counted after the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let ticks = field(16)?.saturating_add(field(17)?);
    let waited_ms = ticks.saturating_mul(1000) / u64::try_from(per_second).ok().filter(|n| *n > 0)?;
    Some(Beside { waited_ms, threads: field(20)?, started: field(22)? })
}

/// Elsewhere nothing is known without further libraries.
#[cfg(not(target_os = "linux"))]
pub(crate) fn beside(_pid: i32) -> Option<Beside> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn our_own_threads_are_counted_and_who_is_gone_tells_nothing() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(0);
        let before = beside(pid).unwrap();
        let another = std::thread::spawn(move || stopped.recv());
        assert!(beside(pid).unwrap().threads > 1);
        assert_eq!(beside(pid).unwrap().started, before.started);
        drop(stop);
        assert!(another.join().unwrap().is_err());
        assert_eq!(beside(i32::MAX), None);
    }
}
