//! What the kernel tells of processes that it killed because memory was short, where no control group tells.
//! Not here: control groups (`controllers`).

/// How many processes this machine has killed because memory was short (`oom_kill` of `/proc/vmstat`, since Linux 4.13).
#[cfg(target_os = "linux")]
pub(crate) fn machine_oom_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

/// Whether the kernel's own log says that it killed this process because memory was short, not before `since_us`
/// (monotonic). `None` where we may not read that log, or processes have other numbers in it.
#[cfg(target_os = "linux")]
pub(crate) fn was_oom_killed(pid: i32, since_us: u64) -> Option<bool> {
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    /// The number of the first process namespace (`linux/proc_ns.h`): the one that the kernel's log speaks of.
    const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
    /// More lines than the kernel's buffer holds.
    const LINES: usize = 100_000;
    if std::fs::metadata("/proc/self/ns/pid").ok()?.ino() != FIRST_PID_NAMESPACE {
        return None;
    }
    let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let mut log = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg").ok()?;
    // One record for each read; none is longer.
    let mut record = [0; 8192];
    for _ in 0..LINES {
        match log.read(&mut record) {
            Ok(length) if tells_of(&String::from_utf8_lossy(&record[..length]), pid, since_us) => return Some(true),
            Ok(_) => {}
            // Overwritten while we read: the next one is there.
            Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    Some(false)
}

/// `LEVEL,NUMBER,MICROSECONDS,FLAGS;… Killed process 42 (name) …` (Documentation/ABI/testing/dev-kmsg).
#[cfg(target_os = "linux")]
fn tells_of(record: &str, pid: i32, since_us: u64) -> bool {
    let Some((head, text)) = record.split_once(';') else { return false };
    let at: Option<u64> = head.split(',').nth(2).and_then(|at| at.parse().ok());
    let killed = text.split_once("Killed process ").and_then(|(_, rest)| rest.split([' ', ',']).next());
    at.is_some_and(|at| at >= since_us) && killed.and_then(|killed| killed.parse().ok()) == Some(pid)
}

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn machine_oom_kills() -> Option<u64> {
    None
}

/// See `machine_oom_kills`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn was_oom_killed(_pid: i32, _since_us: u64) -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_word_about_this_process_in_its_time_counts() {
        let record = "3,1043,5000,-;Memory cgroup out of memory: Killed process 420 (puppet) total-vm:1kB, UID:0\n";
        assert!(tells_of(record, 420, 4000));
        assert!(!tells_of(record, 42, 4000), "another process");
        assert!(!tells_of(record, 420, 6000), "long before");
        assert!(!tells_of("6,1,5000,-;usb 1-1: new device number 420\n", 420, 0));
    }

    #[test]
    fn the_machine_counts_what_it_killed() {
        assert!(machine_oom_kills().is_some());
    }
}
