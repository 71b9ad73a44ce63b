//! The memory of several processes together, where no control group counts it.
//! Not here: which processes belong together.

/// Resident memory of these processes, in bytes. Looked at more closely only when it seems to be more than `most`: then
/// each page that several of them share is counted once, as far as the kernel tells us (`smaps_rollup`).
#[cfg(target_os = "linux")]
pub(crate) fn tree_memory(pids: &[i32], most: u64) -> u64 {
    let resident: u64 = pids.iter().filter_map(|pid| resident(*pid)).sum();
    if resident <= most {
        return resident;
    }
    pids.iter().filter_map(|pid| proportional(*pid).or_else(|| self::resident(*pid))).sum()
}

/// The second field of `/proc/PID/statm`, in pages (proc_pid_statm(5)).
#[cfg(target_os = "linux")]
fn resident(pid: i32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(pages.saturating_mul(u64::try_from(page).ok()?))
}

/// `Pss` of `/proc/PID/smaps_rollup`, in KiB: a page that n processes share counts for 1/n.
#[cfg(target_os = "linux")]
fn proportional(pid: i32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Elsewhere nothing is known without further libraries.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tree_memory(_pids: &[i32], _most: u64) -> u64 {
    0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_close_to_the_limit_is_looked_at_more_closely() {
        let me = i32::try_from(std::process::id()).unwrap();
        let roughly = tree_memory(&[me], u64::MAX);
        assert!(roughly > 100_000, "{roughly}");
        // Named twice, a process shares all its pages with itself; what is proportional is no more than what is resident.
        let closely = tree_memory(&[me], 1);
        assert!(closely > 100_000 && proportional(me).unwrap() <= resident(me).unwrap() * 2, "{closely}");
        assert_eq!(tree_memory(&[i32::MAX], 0), 0, "who is gone uses nothing");
    }
}
