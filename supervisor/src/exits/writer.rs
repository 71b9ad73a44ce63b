//! The thread that finishes and writes reports. Nobody waits for it.
//! Not here: when a run is over and all of its output is in the files (`control`).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use supervisor_core::ServiceName;
use tokio::sync::oneshot;

use super::{Draft, End, Files, KEPT, Kept, together};
use crate::platform;

/// Reports that wait; in a storm further ones are dropped.
const QUEUE: usize = 1024;

/// What is to be written together does not wait for longer between two ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// The writing end.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: SyncSender<Item>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filing {
    /// At once.
    Alone,
    /// With others of its kind, when someone waits for it, or a second later: everything stops. Should control be killed
    /// before, the next one files what is missing.
    Together,
}

#[derive(Debug)]
enum Item {
    Draft(Box<Draft>, Filing),
    /// Told once everything before it is written, or given up.
    Written(oneshot::Sender<()>),
}

impl Writer {
    /// Begins the thread. Reports of services that are not `known` any more are removed.
    ///
    /// # Errors
    /// No thread can be made.
    pub(crate) fn start(state_dir: &Path, known: Vec<ServiceName>) -> io::Result<Self> {
        let (queue, items) = sync_channel(QUEUE);
        let files = Files::new(state_dir);
        let work = move || Shelf::tidied(files, platform::boot_id(), &known).run(&items);
        std::thread::Builder::new().name("exits".to_owned()).spawn(work)?;
        Ok(Self { queue })
    }

    pub(crate) fn submit(&self, draft: Draft, filing: Filing) {
        if self.queue.try_send(Item::Draft(Box::new(draft), filing)).is_err() {
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

/// Where a report is.
#[derive(Debug)]
enum Place {
    Alone,
    /// In the file of this number; the end is known, as there are many in it.
    Together(u64, End),
}

struct Shelf {
    files: Files,
    boot: String,
    /// Where each report of each service is.
    places: BTreeMap<String, BTreeMap<u64, Place>>,
    /// How many reports of each file of several are still to be kept.
    shared: BTreeMap<u64, usize>,
    /// To be written together, and how long they are.
    waiting: Vec<Kept>,
    bytes: usize,
    /// The directory was there, and ours alone, when one was written last.
    has_dir: bool,
    /// That it could not be written was told already.
    in_trouble: bool,
}

impl Shelf {
    fn tidied(files: Files, boot: String, known: &[ServiceName]) -> Self {
        files.clean();
        let mut places: BTreeMap<String, BTreeMap<u64, Place>> = BTreeMap::new();
        let is_known = |name: &str| known.iter().any(|known| known.as_str() == name);
        for (name, numbers) in files.numbers() {
            if is_known(&name) {
                places.insert(name, numbers.into_iter().map(|number| (number, Place::Alone)).collect());
            } else {
                numbers.into_iter().for_each(|number| files.remove(&name, number));
            }
        }
        let mut shared = BTreeMap::new();
        for file in together::numbers(&files.dir) {
            let mut reports = together::read(&files.dir, file, None);
            let many = reports.len();
            reports.retain(|kept| is_known(kept.report.facts.service.as_str()));
            if reports.is_empty() || (reports.len() < many && together::write(&files.dir, file, &reports).is_err()) {
                together::remove(&files.dir, file);
                continue;
            }
            shared.insert(file, reports.len());
            for Kept { report, end } in reports {
                let of = places.entry(report.facts.service.to_string()).or_default();
                of.insert(report.number, Place::Together(file, end));
            }
        }
        let (waiting, bytes) = (Vec::new(), 0);
        Self { files, boot, places, shared, waiting, bytes, has_dir: false, in_trouble: false }
    }

    fn run(mut self, items: &Receiver<Item>) {
        loop {
            let patience = if self.waiting.is_empty() { Duration::MAX } else { PATIENCE };
            match items.recv_timeout(patience) {
                Ok(Item::Draft(draft, filing)) => self.take(*draft, filing),
                Ok(Item::Written(told)) => {
                    self.write_together();
                    // Whoever asked may have left.
                    let _ = told.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.write_together(),
                Err(RecvTimeoutError::Disconnected) => return self.write_together(),
            }
        }
    }

    fn take(&mut self, draft: Draft, filing: Filing) {
        let service = draft.facts.service.to_string();
        let end = draft.end(&self.boot);
        let places = self.places.entry(service.clone()).or_default();
        let is_it = |number: u64, place: &Place| match place {
            Place::Alone => self.files.read(&service, number).is_some_and(|kept| kept.end == end),
            Place::Together(_, known) => *known == end,
        };
        let waits = |kept: &Kept| kept.end == end && kept.report.facts.service == draft.facts.service;
        if places.iter().rev().any(|(number, place)| is_it(*number, place)) || self.waiting.iter().any(waits) {
            return;
        }
        let waiting =
            self.waiting.iter().filter(|kept| kept.report.facts.service == draft.facts.service).count() as u64;
        let report = draft.finish(places.last_key_value().map_or(1, |(last, _)| last + 1) + waiting);
        let kept = Kept { report, end };
        match filing {
            Filing::Together => {
                self.bytes += serde_json::to_vec(&kept).map_or(0, |text| text.len() + 1);
                self.waiting.push(kept);
                if self.bytes >= together::MOST {
                    self.write_together();
                }
            }
            Filing::Alone => {
                let written = self.in_dir(|files| files.write(&kept));
                if self.is_well(&service, written) {
                    self.places.entry(service.clone()).or_default().insert(kept.report.number, Place::Alone);
                    self.prune(&service);
                }
            }
        }
    }

    fn write_together(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let Some(first) = waiting.first() else { return };
        let service = first.report.facts.service.to_string();
        let file = together::numbers(&self.files.dir).last().map_or(1, |last| last + 1);
        let written = self.in_dir(|files| together::write(&files.dir, file, &waiting));
        if !self.is_well(&service, written) {
            return;
        }
        self.shared.insert(file, waiting.len());
        for Kept { report, end } in waiting {
            let service = report.facts.service.to_string();
            self.places.entry(service.clone()).or_default().insert(report.number, Place::Together(file, end));
            self.prune(&service);
        }
    }

    /// Writes, in a directory that is ours alone; one that someone removed is made again.
    fn in_dir(&mut self, write: impl Fn(&Files) -> io::Result<()>) -> io::Result<()> {
        let anew = || self.files.make_dir().and_then(|()| write(&self.files));
        let written = if self.has_dir { write(&self.files).or_else(|_| anew()) } else { anew() };
        self.has_dir = written.is_ok();
        written
    }

    /// Tells of trouble, once: a full disk must not fill the log with that, too.
    fn is_well(&mut self, service: &str, written: io::Result<()>) -> bool {
        let was_in_trouble = std::mem::replace(&mut self.in_trouble, written.is_err());
        if let Err(error) = &written
            && !was_in_trouble
        {
            tracing::warn!(%service, %error, "the report of an end cannot be written");
        }
        written.is_ok()
    }

    fn prune(&mut self, service: &str) {
        let Some(places) = self.places.get_mut(service) else { return };
        while places.len() > KEPT {
            match places.pop_first() {
                Some((number, Place::Alone)) => self.files.remove(service, number),
                Some((_, Place::Together(file, _))) => {
                    let left = self.shared.get(&file).map_or(0, |many| many.saturating_sub(1));
                    if left == 0 {
                        self.shared.remove(&file);
                        together::remove(&self.files.dir, file);
                    } else {
                        self.shared.insert(file, left);
                    }
                }
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exits::{BYTES, Facts, Output};
    use crate::journal::Ended;

    fn draft(generation: u64) -> Draft {
        draft_of("web", generation)
    }

    fn draft_of(service: &str, generation: u64) -> Draft {
        let facts = Facts {
            service: ServiceName::new(service).unwrap(),
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
        (1..=25).for_each(|generation| first.take(draft(generation), Filing::Alone));
        assert_eq!(numbers(dir.path()), (6..=25).rev().collect::<Vec<_>>());
        let mut second = shelf(dir.path(), &["web"]);
        second.take(draft(26), Filing::Alone);
        assert_eq!(numbers(dir.path()), (7..=26).rev().collect::<Vec<_>>());
        assert_eq!(std::fs::read_dir(dir.path().join("exits")).unwrap().count(), KEPT);
    }

    fn files(dir: &Path) -> usize {
        std::fs::read_dir(dir.join("exits")).unwrap().count()
    }

    #[test]
    fn what_ends_together_is_in_one_file_until_newer_reports_have_taken_the_place_of_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let known = ["web", "db"];
        let mut first = shelf(dir.path(), &known);
        first.take(draft(1), Filing::Alone);
        for _ in 0..2 {
            first.take(draft(2), Filing::Together);
            first.take(draft_of("db", 1), Filing::Together);
            first.take(draft(3), Filing::Together);
        }
        assert_eq!(numbers(dir.path()), [1], "it waits");
        first.write_together();
        assert_eq!((numbers(dir.path()), files(dir.path())), (vec![3, 2, 1], 2));
        let mut next = shelf(dir.path(), &known);
        for filing in [Filing::Together, Filing::Alone] {
            (1..=3).for_each(|generation| next.take(draft(generation), filing));
        }
        next.write_together();
        assert_eq!(
            (numbers(dir.path()), files(dir.path())),
            (vec![3, 2, 1], 2),
            "an end that is told twice is one report"
        );
        (4..=24).for_each(|generation| next.take(draft(generation), Filing::Alone));
        assert_eq!(numbers(dir.path()), (5..=24).rev().collect::<Vec<_>>());
        assert_eq!(files(dir.path()), KEPT + 1, "one of its reports is among the newest of another service");
        (2..=20).for_each(|generation| next.take(draft_of("db", generation), Filing::Alone));
        assert_eq!(files(dir.path()), 2 * KEPT);
        next.take(draft_of("db", 21), Filing::Alone);
        assert_eq!(files(dir.path()), 2 * KEPT);
        assert!(together::numbers(&dir.path().join("exits")).is_empty());
    }

    #[test]
    fn what_ends_together_is_all_there_however_long_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let known = ["a", "b", "c"];
        let mut shelf = shelf(dir.path(), &known);
        for (service, generation) in known.iter().flat_map(|service| (1..=20).map(move |number| (service, number))) {
            let facts = Facts { cause: "\u{1b}".repeat(BYTES), ..draft_of(service, generation).facts };
            shelf.take(Draft { facts, ..draft(generation) }, Filing::Together);
        }
        shelf.write_together();
        for service in known {
            assert_eq!(Files::new(dir.path()).reports(&ServiceName::new(service).unwrap()).len(), KEPT, "{service}");
        }
    }

    #[test]
    fn nothing_of_a_service_that_is_gone_stays_in_a_file_of_several() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = shelf(dir.path(), &["web", "db"]);
        first.take(draft_of("db", 1), Filing::Together);
        first.take(draft(1), Filing::Together);
        first.write_together();
        shelf(dir.path(), &["web"]);
        let text = std::fs::read_to_string(dir.path().join("exits/together.1.jsonl")).unwrap();
        assert!(text.contains("web") && !text.contains("db"), "{text}");
        assert_eq!(numbers(dir.path()), [1]);
        std::fs::write(dir.path().join("exits/together.1.jsonl"), format!("{{\n{text}")).unwrap();
        assert_eq!(numbers(dir.path()), [1], "damage is left out");
        shelf(dir.path(), &[]);
        assert_eq!(files(dir.path()), 0);
    }

    #[test]
    fn a_directory_that_someone_removed_is_made_again_and_one_that_others_may_write_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let exits = dir.path().join("exits");
        let mut shelf = shelf(dir.path(), &["web"]);
        shelf.take(draft(1), Filing::Alone);
        std::fs::remove_dir_all(&exits).unwrap();
        shelf.take(draft(2), Filing::Alone);
        assert_eq!(numbers(dir.path()), [2]);
        std::fs::set_permissions(&exits, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let mut next = Shelf::tidied(Files::new(dir.path()), "one".to_owned(), &[draft(1).facts.service]);
        next.take(draft(3), Filing::Alone);
        assert_eq!(numbers(dir.path()), [2]);
    }

    #[test]
    fn an_end_that_is_told_twice_is_one_report() {
        let dir = tempfile::tempdir().unwrap();
        shelf(dir.path(), &["web"]).take(draft(1), Filing::Alone);
        let mut again = draft(1);
        again.facts.at = "2026-11-23T09:00:00.000Z".to_owned();
        shelf(dir.path(), &["web"]).take(again.clone(), Filing::Alone);
        assert_eq!(numbers(dir.path()), [1], "the machine slept in between");
        shelf(dir.path(), &["web"]).take(Draft { ended_ms: 5, ..draft(1) }, Filing::Alone);
        assert_eq!(numbers(dir.path()), [2, 1], "generations begin anew with each supervisor");
        Shelf { boot: "two".to_owned(), ..shelf(dir.path(), &["web"]) }.take(again, Filing::Alone);
        assert_eq!(numbers(dir.path()), [3, 2, 1], "and clocks with each start of the machine");
    }

    #[test]
    fn a_new_control_that_tells_the_last_ends_of_all_instances_again_adds_none() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let mut shelf = shelf(dir.path(), &["web"]);
            (1..=5).for_each(|generation| shelf.take(draft(generation), Filing::Alone));
        }
        assert_eq!(numbers(dir.path()), [5, 4, 3, 2, 1]);
    }

    #[test]
    fn services_that_are_gone_and_what_was_not_finished_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        shelf(dir.path(), &["web"]).take(draft(1), Filing::Alone);
        std::fs::write(dir.path().join("exits/web.2.new"), "{").unwrap();
        std::fs::write(dir.path().join("exits/web.7.json"), "{").unwrap();
        let mut after = shelf(dir.path(), &["web"]);
        after.take(draft(2), Filing::Alone);
        assert_eq!(numbers(dir.path()), [8, 1], "damage is left out, and its number is not used again");
        shelf(dir.path(), &[]);
        assert_eq!(std::fs::read_dir(dir.path().join("exits")).unwrap().count(), 0);
    }
}
