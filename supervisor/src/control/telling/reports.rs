//! Ends of runs on their way to their reports: drafted when they are known, filed when all of their output is in the log.
//! Not here: keeping them (`exits`).

use std::collections::BTreeMap;

use supervisor_core::{ExitReport, Memory, ServiceName};

use crate::control::keeper::inventory::Inventory;
use crate::control::launch::prepare::{RunRecord, log_paths};
use crate::control::run_loop::Control;
use crate::control::startup::MEMORY;
use crate::control::telling::history;
use crate::exits::{Draft, Facts, Filing, Output, Writer};

/// What waits for its output.
#[derive(Debug)]
pub(crate) struct Reports {
    writer: Writer,
    /// By run.
    drafts: BTreeMap<u64, Draft>,
}

impl Reports {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer, drafts: BTreeMap::new() }
    }

    /// All of its output is in the log.
    pub(crate) fn file(&mut self, run: u64, filing: Filing) {
        if let Some(draft) = self.drafts.remove(&run) {
            self.writer.submit(draft, filing);
        }
    }

    /// Ready once all that was filed is written.
    pub(crate) async fn written(&self) {
        self.writer.written().await;
    }
}

impl Control {
    /// A run has ended. One that never had a process has nothing to report.
    pub(crate) fn draft_report(&mut self, number: u64, service: &ServiceName, exit: &ExitReport, cause: &str) {
        let Some(run) = self.runs.get(&number) else { return };
        if exit.pid != 0 {
            let draft = self.draft(service, exit, cause, output_of(&run.record));
            self.history.reports.drafts.insert(number, draft);
        }
    }

    /// What an earlier control recorded with the keeper, but may not have come to file.
    pub(crate) fn recover_reports(&mut self, inventory: &Inventory) {
        let runs = |service: &ServiceName, generation: u64| {
            inventory.records.iter().find_map(|(key, value)| {
                let run = key.strip_prefix("run/")?.parse::<u64>().ok()?;
                let record: RunRecord = serde_json::from_slice(value).ok()?;
                (record.service == *service && record.generation == generation).then(|| (run, output_of(&record)))
            })
        };
        for (key, value) in &inventory.records {
            let service = key.strip_prefix(MEMORY).and_then(|name| ServiceName::new(name).ok());
            let (Some(service), Ok(memory)) = (service, serde_json::from_slice::<Memory>(value)) else { continue };
            for exit in memory.slots.iter().filter_map(|slot| slot.last_exit.as_ref()).filter(|exit| exit.pid != 0) {
                let cause = exit.in_words();
                if let Some((run, output)) = runs(&service, exit.generation) {
                    let draft = self.draft(&service, exit, &cause, output);
                    self.history.reports.drafts.insert(run, draft);
                } else {
                    let logs = self.catalogue.current(&service).map(|known| log_paths(&known.launch));
                    let draft =
                        self.draft(&service, exit, &cause, Output { logs: logs.unwrap_or_default(), since: None });
                    self.history.reports.writer.submit(draft, Filing::Alone);
                }
            }
        }
    }

    fn draft(&self, service: &ServiceName, exit: &ExitReport, cause: &str, output: Output) -> Draft {
        let view = self.view.load();
        // Where it was, unless a reload came in between.
        let known = self.fleet.place(service).and_then(|place| view.services.get(place));
        let known = known.filter(|one| one.name == *service);
        let known = known.or_else(|| view.services.iter().find(|one| one.name == *service));
        let restarts = known.map_or(0, |one| one.restarts);
        let facts = Facts {
            service: service.clone(),
            generation: exit.generation,
            at: history::wall(exit.at),
            cause: cause.to_owned(),
            exit: history::ended(exit),
            restarts,
        };
        Draft { facts, ended_ms: exit.at.0, output }
    }
}

fn output_of(record: &RunRecord) -> Output {
    Output { logs: record.logs.clone(), since: record.prepared }
}
