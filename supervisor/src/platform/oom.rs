//! What the kernel tells of processes that it killed because memory was short, where no control group tells.
//! Not here: control groups (`controllers`).

use std::collections::VecDeque;

/// How many processes this machine has killed because memory was short (`oom_kill` of `/proc/vmstat`, since Linux 4.13).
#[cfg(target_os = "linux")]
pub(crate) fn machine_oom_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

/// The same, as it was a moment ago at most: many starts at once ask once.
#[derive(Debug, Default)]
pub(crate) struct OomKills(std::sync::Mutex<Option<(std::time::Instant, Option<u64>)>>);

impl OomKills {
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(20);

    pub(crate) fn of_late(&self) -> Option<u64> {
        // Nothing panics while it is held.
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.is_none_or(|(at, _)| at.elapsed() >= Self::MOMENT) {
            *known = Some((std::time::Instant::now(), machine_oom_kills()));
        }
        known.and_then(|(_, kills)| kills)
    }
}

/// The kernel's own log, as far as it tells of processes that were killed because memory was short. It is long, so it is
/// read once, and then only what is new.
#[derive(Debug, Default)]
pub(crate) struct KernelLog {
    /// Where it has been read to.
    file: Option<std::fs::File>,
    /// Processes, and when they were killed (monotonic, in microseconds), the oldest first.
    killed: VecDeque<(i32, u64)>,
}

#[cfg(target_os = "linux")]
impl KernelLog {
    /// Whether it says that the kernel has killed this process, not before `since_us` (monotonic). `None` where we may not
    /// read it, or processes have other numbers in it.
    pub(crate) fn tells_of(&mut self, pid: i32, since_us: u64) -> Option<bool> {
        if self.file.is_none() {
            self.file = Some(Self::open()?);
        }
        self.read_on();
        Some(self.killed.iter().any(|(killed, at)| *killed == pid && *at >= since_us))
    }

    fn open() -> Option<std::fs::File> {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        /// The number of the first process namespace (`linux/proc_ns.h`): the one that the kernel's log speaks of.
        const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
        if std::fs::metadata("/proc/self/ns/pid").ok()?.ino() != FIRST_PID_NAMESPACE {
            return None;
        }
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg").ok()
    }

    fn read_on(&mut self) {
        use std::io::Read;
        /// More lines than the kernel's buffer holds.
        const LINES: usize = 100_000;
        // One record for each read; none is longer.
        let mut record = [0; 8192];
        for _ in 0..LINES {
            let Some(read) = self.file.as_mut().map(|file| file.read(&mut record)) else { return };
            match read {
                Ok(0) => return,
                Ok(length) => self.take_in(&String::from_utf8_lossy(&record[..length])),
                // Overwritten while we read: the next one is there.
                Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
                Err(_) => return,
            }
        }
    }

    fn take_in(&mut self, record: &str) {
        /// A kernel that kills more at once has other troubles.
        const MOST: usize = 1000;
        if let Some(killed) = killed(record) {
            self.killed.push_back(killed);
            let many = self.killed.len().saturating_sub(MOST);
            self.killed.drain(..many);
        }
    }
}

/// `LEVEL,NUMBER,MICROSECONDS,FLAGS;… Killed process 42 (name) …` (Documentation/ABI/testing/dev-kmsg).
#[cfg(target_os = "linux")]
fn killed(record: &str) -> Option<(i32, u64)> {
    let (head, text) = record.split_once(';')?;
    let pid = text.split_once("Killed process ")?.1.split([' ', ',']).next()?;
    Some((pid.parse().ok()?, head.split(',').nth(2)?.parse().ok()?))
}

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn machine_oom_kills() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
impl KernelLog {
    /// See `machine_oom_kills`.
    pub(crate) fn tells_of(&mut self, _pid: i32, _since_us: u64) -> Option<bool> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_word_about_a_killed_process_counts() {
        let record = "3,1043,5000,-;Memory cgroup out of memory: Killed process 420 (puppet) total-vm:1kB, UID:0\n";
        assert_eq!(killed(record), Some((420, 5000)));
        assert_eq!(killed("6,1,5000,-;usb 1-1: new device number 420\n"), None);
        assert_eq!(killed("Killed process 420 (puppet)"), None);
    }

    #[test]
    fn what_was_read_once_is_known_from_then_on_and_means_no_other_process_of_that_number() {
        let mut log = KernelLog { file: Some(std::fs::File::open("/dev/null").unwrap()), ..KernelLog::default() };
        log.take_in("3,1043,5000,-;Out of memory: Killed process 420 (puppet) total-vm:1kB\n");
        for _ in 0..2 {
            assert_eq!(log.tells_of(420, 4000), Some(true));
        }
        assert_eq!(log.tells_of(42, 4000), Some(false));
        assert_eq!(log.tells_of(420, 6000), Some(false), "long before");
        (0..2000).for_each(|pid| log.take_in(&format!("3,1,7000,-;Out of memory: Killed process {pid} (x)")));
        assert_eq!(log.killed.len(), 1000);
    }

    #[test]
    fn the_machine_counts_what_it_killed() {
        assert!(machine_oom_kills().is_some());
    }
}
