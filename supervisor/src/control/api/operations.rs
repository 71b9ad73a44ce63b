//! Operations: what was asked for, and what came of it for each service. The last ones are kept, also by the keeper, so
//! that the one who waits for an operation need not care which control carries it out.
//! Not here: what a service's state means for an operation (`outcomes`), doing it (the core).

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::{ServiceName, Time};

/// So many are kept; the oldest of those that have ended go first.
pub(crate) const KEPT: usize = 100;
const RECORD: &str = "operation/";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OperationKind {
    Start,
    Stop,
    /// As `stop`, but at once.
    Kill,
    Restart,
    Signal,
}

/// Of an operation, or of one service in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Running,
    Succeeded,
    Failed,
    /// Nobody saw how it ended.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: u64,
    pub(crate) kind: OperationKind,
    pub(crate) state: Outcome,
    pub(crate) started: Time,
    pub(crate) ended: Option<Time>,
    pub(crate) parts: Vec<Part>,
    /// A control that took over has asked for it again.
    pub(crate) resumed: bool,
}

/// One service of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) service: ServiceName,
    pub(crate) outcome: Outcome,
    /// Why, in words.
    pub(crate) cause: String,
    /// The newest generation when it was asked for.
    pub(crate) from: u64,
}

impl Part {
    pub(crate) fn new(service: ServiceName, from: u64) -> Self {
        Self { service, outcome: Outcome::Running, cause: String::new(), from }
    }
}

impl Operation {
    pub(crate) fn record_key(&self) -> String {
        format!("{RECORD}{}", self.id)
    }

    /// Ends when the outcome of every part is known.
    pub(crate) fn sum_up(&mut self, now: Time) {
        let any = |outcome: Outcome| self.parts.iter().any(|part| part.outcome == outcome);
        if any(Outcome::Running) {
            return;
        }
        self.state = match (any(Outcome::Failed), any(Outcome::Unknown)) {
            (true, _) => Outcome::Failed,
            (false, true) => Outcome::Unknown,
            (false, false) => Outcome::Succeeded,
        };
        self.ended = Some(now);
    }
}

/// What has become of an operation, for the one who keeps the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Keep(Arc<Operation>),
    Forget(Arc<Operation>),
}

/// The last operations, the oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    all: Arc<Vec<Arc<Operation>>>,
    last: u64,
}

impl Operations {
    /// What an earlier control left. What cannot be read is forgotten.
    pub(crate) fn recovered(records: &BTreeMap<String, Vec<u8>>) -> Self {
        let recorded = records.iter().filter(|(key, _)| key.starts_with(RECORD));
        let mut all: Vec<Arc<Operation>> =
            recorded.filter_map(|(_, value)| serde_json::from_slice(value).ok()).map(Arc::new).collect();
        all.sort_by_key(|operation| operation.id);
        let last = all.last().map_or(0, |operation| operation.id);
        Self { all: Arc::new(all), last }
    }

    /// As the world may see them.
    pub(crate) fn shown(&self) -> Arc<Vec<Arc<Operation>>> {
        Arc::clone(&self.all)
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Arc<Operation>> {
        self.all.iter().filter(|operation| operation.state == Outcome::Running)
    }

    /// One that is under way and still covers what is asked for: the same for the same services, of none of which
    /// the new run has been begun.
    pub(crate) fn joinable(&self, kind: OperationKind, parts: &[Part]) -> Option<Arc<Operation>> {
        let same = |operation: &&Arc<Operation>| {
            let pairs = || operation.parts.iter().zip(parts);
            let current = match kind {
                OperationKind::Restart => pairs().all(|(old, new)| old.from == new.from),
                OperationKind::Start | OperationKind::Stop | OperationKind::Kill => true,
                OperationKind::Signal => false,
            };
            operation.kind == kind
                && operation.parts.len() == parts.len()
                && pairs().all(|(old, new)| old.service == new.service)
                && current
        };
        self.running().find(same).cloned()
    }

    pub(crate) fn add(&mut self, kind: OperationKind, parts: Vec<Part>, now: Time) -> (Arc<Operation>, Vec<Change>) {
        self.last += 1;
        let (state, ended) = (Outcome::Running, None);
        let mut operation = Operation { id: self.last, kind, state, started: now, ended, parts, resumed: false };
        operation.sum_up(now);
        let operation = Arc::new(operation);
        let all = Arc::make_mut(&mut self.all);
        all.push(Arc::clone(&operation));
        let mut changes = vec![Change::Keep(Arc::clone(&operation))];
        if all.len() > KEPT {
            let over = all.iter().position(|operation| operation.state != Outcome::Running).unwrap_or(0);
            changes.push(Change::Forget(all.remove(over)));
        }
        (operation, changes)
    }

    /// Lets `judge` see each that is running. What it changes is shown, and kept once it has ended.
    pub(crate) fn review(&mut self, mut judge: impl FnMut(&mut Operation)) -> Vec<Change> {
        let mut changes = Vec::new();
        let running: Vec<usize> = (0..self.all.len()).filter(|at| self.all[*at].state == Outcome::Running).collect();
        for at in running {
            let mut operation = Operation::clone(&self.all[at]);
            judge(&mut operation);
            if operation == *self.all[at] {
                continue;
            }
            let worth_keeping = operation.state != Outcome::Running || operation.resumed != self.all[at].resumed;
            let operation = Arc::new(operation);
            Arc::make_mut(&mut self.all)[at] = Arc::clone(&operation);
            if worth_keeping {
                changes.push(Change::Keep(operation));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(service: &str, from: u64) -> Part {
        Part::new(ServiceName::new(service).unwrap(), from)
    }

    fn end(operation: &mut Operation, outcome: Outcome) {
        operation.parts.iter_mut().for_each(|part| part.outcome = outcome);
        operation.sum_up(Time(9));
    }

    #[test]
    fn only_so_many_are_kept_and_those_that_run_longest() {
        let mut operations = Operations::default();
        let (first, _) = operations.add(OperationKind::Start, vec![part("a", 0)], Time(0));
        for _ in 0..KEPT {
            operations.add(OperationKind::Signal, vec![], Time(1));
        }
        let shown = operations.shown();
        assert_eq!((shown.len(), shown[0].id, shown[1].id), (KEPT, first.id, 3));
        let mut running = Operations::default();
        let changes: Vec<Change> =
            (0..=KEPT).flat_map(|_| running.add(OperationKind::Stop, vec![part("a", 0)], Time(0)).1).collect();
        let forgotten = changes.iter().filter(|change| matches!(change, Change::Forget(old) if old.id == 1));
        assert_eq!((forgotten.count(), running.shown().len()), (1, KEPT));
    }

    #[test]
    fn the_same_request_joins_what_is_under_way_unless_a_new_run_has_begun() {
        let mut operations = Operations::default();
        let (first, _) = operations.add(OperationKind::Restart, vec![part("a", 3), part("b", 1)], Time(0));
        let join = |operations: &Operations, kind, parts: &[Part]| operations.joinable(kind, parts).map(|one| one.id);
        assert_eq!(join(&operations, OperationKind::Restart, &[part("a", 3), part("b", 1)]), Some(first.id));
        assert_eq!(join(&operations, OperationKind::Restart, &[part("a", 4), part("b", 1)]), None);
        assert_eq!(join(&operations, OperationKind::Restart, &[part("a", 3)]), None);
        assert_eq!(join(&operations, OperationKind::Start, &[part("a", 3), part("b", 1)]), None);
        operations.review(|operation| end(operation, Outcome::Succeeded));
        assert_eq!(join(&operations, OperationKind::Restart, &[part("a", 3), part("b", 1)]), None);
    }

    #[test]
    fn an_operation_is_recorded_at_its_beginning_and_its_end_and_comes_back() {
        let mut operations = Operations::default();
        let (_, begun) = operations.add(OperationKind::Start, vec![part("a", 0)], Time(5));
        assert_eq!(begun.len(), 1);
        assert_eq!(operations.review(|operation| operation.parts[0].cause = "starting".to_owned()), []);
        let ended = operations.review(|operation| end(operation, Outcome::Failed));
        let [Change::Keep(operation)] = ended.as_slice() else { panic!("{ended:?}") };
        let record = (operation.record_key(), serde_json::to_vec(&**operation).unwrap());
        let junk = ("operation/x".to_owned(), b"{}".to_vec());
        let back = Operations::recovered(&BTreeMap::from([record, junk]));
        assert_eq!(*back.shown(), [Arc::clone(operation)]);
        assert_eq!(back.last, 1);
    }

    #[test]
    fn an_operation_is_as_good_as_its_worst_part() {
        use Outcome::{Failed, Running, Succeeded, Unknown};
        for (outcomes, state) in [
            (&[][..], Succeeded),
            (&[Succeeded, Succeeded], Succeeded),
            (&[Succeeded, Running], Running),
            (&[Failed, Running], Running),
            (&[Failed, Unknown, Succeeded], Failed),
            (&[Unknown, Succeeded], Unknown),
        ] {
            let parts = outcomes.iter().map(|outcome| Part { outcome: *outcome, ..part("a", 0) }).collect();
            let (operation, _) = Operations::default().add(OperationKind::Start, parts, Time(0));
            assert_eq!((operation.state, operation.ended.is_some()), (state, state != Running), "{outcomes:?}");
        }
    }
}
