//! The thread that finishes and writes reports. Nobody waits for it.
//! Not here: when a run is over and all of its output is in the files (`control`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use supervisor_core::ServiceName;
use tokio::sync::oneshot;

use super::{Draft, Files, KEPT, Kept};
use crate::platform;

/// Reports that wait; in a storm further ones are dropped.
const QUEUE: usize = 1024;

/// The writing end.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: SyncSender<Item>,
}

#[derive(Debug)]
enum Item {
    Draft(Box<Draft>),
    /// Told once everything before it is written, or given up.
    Written(oneshot::Sender<()>),
}

impl Writer {
    /// Begins the thread. Reports of services that are not `known` any more are removed.
    ///
    /// # Errors
    /// No thread can be made.
    pub(crate) fn start(state_dir: &Path, known: Vec<ServiceName>) -> std::io::Result<Self> {
        let (queue, items) = sync_channel(QUEUE);
        let files = Files::new(state_dir);
        let work = move || Shelf::tidied(files, platform::boot_id(), &known).run(&items);
        std::thread::Builder::new().name("exits".to_owned()).spawn(work)?;
        Ok(Self { queue })
    }

    pub(crate) fn submit(&self, draft: Draft) {
        if self.queue.try_send(Item::Draft(Box::new(draft))).is_err() {
            tracing::warn!("too many services end at once: a report is missing");
        }
    }

    /// Ready once everything submitted so far is written. A dead disk may keep it for ever.
    pub(crate) async fn written(&self) {
        let (told, tell) = oneshot::channel();
        if self.queue.try_send(Item::Written(told)).is_ok() {
            let _ = tell.await;
        }
    }
}

struct Shelf {
    files: Files,
    boot: String,
    numbers: BTreeMap<String, Vec<u64>>,
    /// The directory was there, and ours alone, when one was written last.
    has_dir: bool,
    /// That it could not be written was told already.
    in_trouble: bool,
}

impl Shelf {
    fn tidied(files: Files, boot: String, known: &[ServiceName]) -> Self {
        files.clean();
        let mut numbers = files.numbers();
        numbers.retain(|name, old| {
            let keep = known.iter().any(|known| known.as_str() == name);
            old.iter().filter(|_| !keep).for_each(|number| files.remove(name, *number));
            keep
        });
        Self { files, boot, numbers, has_dir: false, in_trouble: false }
    }

    fn run(mut self, items: &Receiver<Item>) {
        while let Ok(item) = items.recv() {
            match item {
                Item::Draft(draft) => self.take(*draft),
                // Whoever asked may have left.
                Item::Written(told) => drop(told.send(())),
            }
        }
    }

    fn take(&mut self, draft: Draft) {
        let service = draft.facts.service.to_string();
        let numbers = self.numbers.entry(service.clone()).or_default();
        let end = draft.end(&self.boot);
        let mut told = numbers.iter().rev().filter_map(|number| self.files.read(&service, *number));
        if told.any(|kept| kept.end == end) {
            return;
        }
        let report = draft.finish(numbers.last().map_or(1, |last| last + 1));
        let number = report.number;
        let kept = Kept { report, end };
        let anew = || self.files.make_dir().and_then(|()| self.files.write(&kept));
        let written = if self.has_dir { self.files.write(&kept).or_else(|_| anew()) } else { anew() };
        self.has_dir = written.is_ok();
        match written {
            Ok(()) => {
                numbers.push(number);
                let many = numbers.len().saturating_sub(KEPT);
                numbers.drain(..many).for_each(|number| self.files.remove(&service, number));
                self.in_trouble = false;
            }
            // A full disk must not fill the log with that, too.
            Err(_) if self.in_trouble => {}
            Err(error) => {
                self.in_trouble = true;
                tracing::warn!(%service, %error, "the report of an end cannot be written");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exits::{Facts, Output};
    use crate::journal::Ended;

    fn draft(generation: u64) -> Draft {
        let facts = Facts {
            service: ServiceName::new("web").unwrap(),
            generation,
            at: "2026-11-23T00:21:01.000Z".to_owned(),
            cause: "exited with code 1".to_owned(),
            exit: Ended { pid: Some(42), code: Some(1), ..Ended::default() },
            restarts: 0,
        };
        Draft { facts, ended_ms: 1_000 * generation, output: Output::default() }
    }

    fn shelf(dir: &Path, known: &[&str]) -> Shelf {
        let known: Vec<ServiceName> = known.iter().map(|name| ServiceName::new(name).unwrap()).collect();
        Shelf::tidied(Files::new(dir), "one".to_owned(), &known)
    }

    fn numbers(dir: &Path) -> Vec<u64> {
        Files::new(dir).reports(&draft(1).facts.service).iter().map(|report| report.number).collect()
    }

    #[test]
    fn the_newest_are_kept_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = shelf(dir.path(), &["web"]);
        (1..=25).for_each(|generation| first.take(draft(generation)));
        assert_eq!(numbers(dir.path()), (6..=25).rev().collect::<Vec<_>>());
        let mut second = shelf(dir.path(), &["web"]);
        second.take(draft(26));
        assert_eq!(numbers(dir.path()), (7..=26).rev().collect::<Vec<_>>());
        assert_eq!(std::fs::read_dir(dir.path().join("exits")).unwrap().count(), KEPT);
    }

    #[test]
    fn a_directory_that_someone_removed_is_made_again_and_one_that_others_may_write_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let exits = dir.path().join("exits");
        let mut shelf = shelf(dir.path(), &["web"]);
        shelf.take(draft(1));
        std::fs::remove_dir_all(&exits).unwrap();
        shelf.take(draft(2));
        assert_eq!(numbers(dir.path()), [2]);
        std::fs::set_permissions(&exits, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let mut next = Shelf::tidied(Files::new(dir.path()), "one".to_owned(), &[draft(1).facts.service]);
        next.take(draft(3));
        assert_eq!(numbers(dir.path()), [2]);
    }

    #[test]
    fn an_end_that_is_told_twice_is_one_report() {
        let dir = tempfile::tempdir().unwrap();
        shelf(dir.path(), &["web"]).take(draft(1));
        let mut again = draft(1);
        again.facts.at = "2026-11-23T09:00:00.000Z".to_owned();
        shelf(dir.path(), &["web"]).take(again.clone());
        assert_eq!(numbers(dir.path()), [1], "the machine slept in between");
        shelf(dir.path(), &["web"]).take(Draft { ended_ms: 5, ..draft(1) });
        assert_eq!(numbers(dir.path()), [2, 1], "generations begin anew with each supervisor");
        Shelf { boot: "two".to_owned(), ..shelf(dir.path(), &["web"]) }.take(again);
        assert_eq!(numbers(dir.path()), [3, 2, 1], "and clocks with each start of the machine");
    }

    #[test]
    fn a_new_control_that_tells_the_last_ends_of_all_instances_again_adds_none() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let mut shelf = shelf(dir.path(), &["web"]);
            (1..=5).for_each(|generation| shelf.take(draft(generation)));
        }
        assert_eq!(numbers(dir.path()), [5, 4, 3, 2, 1]);
    }

    #[test]
    fn services_that_are_gone_and_what_was_not_finished_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        shelf(dir.path(), &["web"]).take(draft(1));
        std::fs::write(dir.path().join("exits/web.2.new"), "{").unwrap();
        std::fs::write(dir.path().join("exits/web.7.json"), "{").unwrap();
        let mut after = shelf(dir.path(), &["web"]);
        after.take(draft(2));
        assert_eq!(numbers(dir.path()), [8, 1], "damage is left out, and its number is not used again");
        shelf(dir.path(), &[]);
        assert_eq!(std::fs::read_dir(dir.path().join("exits")).unwrap().count(), 0);
    }
}
