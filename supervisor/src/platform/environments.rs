//! What environments processes were started with. The kernel lets whoever reads one wait for a process that hangs, so
//! another thread reads, and what hangs is left out.
//! Not here: what is looked for in them.

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// No process that goes on lets anyone wait that long.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many threads of ours may hang; with as many nothing is read any more.
const MOST_HANGING: usize = 16;

/// Processes whose environment somebody still waits for.
static HANGING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

type Read = fn(i32) -> Option<Vec<u8>>;

/// Whoever looks at several keeps one of these: it has one thread, from the first look on.
#[derive(Debug)]
pub(crate) struct Environments {
    read: Read,
    patience: Duration,
    reader: Option<Reader>,
}

#[derive(Debug)]
struct Reader {
    asks: SyncSender<i32>,
    answers: Receiver<Option<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Default for Environments {
    fn default() -> Self {
        Self { read, patience: PATIENCE, reader: None }
    }
}

impl Environments {
    /// Entries separated by NUL; `None` when the process is gone, is not ours to look into, or hangs.
    pub(crate) fn of(&mut self, pid: i32) -> Option<Vec<u8>> {
        let known = hanging();
        if known.contains(&pid) || known.len() >= MOST_HANGING {
            return None;
        }
        drop(known);
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::begin(self.read).ok()?,
        };
        reader.asks.send(pid).ok()?;
        // Twice: the first time may have run out while we were stopped.
        for _ in 0..2 {
            match reader.answers.recv_timeout(self.patience) {
                Ok(told) => {
                    self.reader = Some(reader);
                    return told;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        let mut known = hanging();
        // It answers under the lock, so that it is either heard here or seen to hang.
        if let Ok(late) = reader.answers.try_recv() {
            self.reader = Some(reader);
            return late;
        }
        known.insert(pid);
        tracing::warn!(pid, "left out: reading what a process was started with hangs");
        None
    }
}

impl Drop for Environments {
    /// Nobody who forks after this has a thread besides his own, unless it hangs.
    fn drop(&mut self) {
        if let Some(Reader { asks, answers, thread }) = self.reader.take() {
            drop((asks, answers));
            let _ = thread.join();
        }
    }
}

impl Reader {
    fn begin(read: Read) -> io::Result<Self> {
        let (asks, asked) = sync_channel(1);
        let (answer, answers) = sync_channel(1);
        let work = move || {
            for pid in asked {
                let environment = read(pid);
                let mut known = hanging();
                known.remove(&pid);
                // One that was given up has nobody who listens, and ends.
                if answer.try_send(environment).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("environments".to_owned()).stack_size(64 << 10).spawn(work)?;
        Ok(Self { asks, answers, thread })
    }
}

fn hanging() -> MutexGuard<'static, BTreeSet<i32>> {
    HANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(target_os = "linux")]
fn read(pid: i32) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/environ")).ok()
}

/// Elsewhere nothing is known without further libraries: leftovers are not found there.
#[cfg(not(target_os = "linux"))]
fn read(_pid: i32) -> Option<Vec<u8>> {
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    static THAWED: AtomicBool = AtomicBool::new(false);
    static READS: AtomicUsize = AtomicUsize::new(0);

    /// No process has such numbers: -2 hangs until it is thawed.
    fn standing_in(pid: i32) -> Option<Vec<u8>> {
        READS.fetch_add(1, Ordering::SeqCst);
        while pid == -2 && !THAWED.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Some(vec![u8::try_from(-pid).unwrap()])
    }

    fn eventually(what: &str, is_so: impl Fn() -> bool) {
        let began = std::time::Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    #[test]
    fn one_that_hangs_is_left_out_until_it_goes_on_and_holds_up_nobody() {
        let mut patient = Environments { read: standing_in, patience: Duration::from_secs(20), reader: None };
        let mut hasty = Environments { read: standing_in, patience: Duration::from_millis(5), reader: None };
        assert_eq!(patient.of(-1), Some(vec![1]));
        assert_eq!(hasty.of(-2), None, "it hangs");
        assert_eq!(patient.of(-3), Some(vec![3]), "others are read");
        let reads = READS.load(Ordering::SeqCst);
        assert_eq!((patient.of(-2), hasty.of(-2)), (None, None), "known to hang");
        assert_eq!(READS.load(Ordering::SeqCst), reads, "no further thread waits for it");
        THAWED.store(true, Ordering::SeqCst);
        eventually("it goes on", || !hanging().contains(&-2));
        assert_eq!(patient.of(-2), Some(vec![2]));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn we_see_what_we_were_started_with() {
        let ours = Environments::default().of(std::process::id().cast_signed()).unwrap();
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        assert!(ours.split(|byte| *byte == 0).any(|entry| entry == path.as_bytes()));
    }
}
