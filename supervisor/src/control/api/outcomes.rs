//! What the state of a service means for an operation that it is part of.
//! Not here: the operations (`operations`).

use std::collections::BTreeMap;
use std::sync::Arc;

use supervisor_core::{RolloutResult, ServiceName, ServiceSnapshot, State, Time};

use crate::control::api::operations::{Operation, OperationKind, Outcome, Part};
use crate::control::run_loop::Control;

/// What services are like now.
pub(crate) struct Scene<'a> {
    pub(crate) snapshots: BTreeMap<&'a ServiceName, &'a ServiceSnapshot>,
}

/// Where a part is.
enum Verdict {
    Pending,
    /// Not while others are pending, but for good when nothing moves any more.
    Stuck,
    Ended(Outcome),
}

impl Control {
    /// Sees what has become of the operations that run.
    pub(crate) fn review_operations(&mut self) {
        if self.operations.running().next().is_none() {
            return;
        }
        let snapshots = self.fleet.snapshot();
        let scene = Scene::of(&snapshots);
        let now = crate::control::now();
        let changes = self.operations.review(|operation| scene.judge(operation, now));
        self.keep_operations(changes);
    }
}

impl<'a> Scene<'a> {
    pub(crate) fn of(snapshots: &'a [Arc<ServiceSnapshot>]) -> Self {
        Self { snapshots: snapshots.iter().map(|snapshot| (&snapshot.name, snapshot.as_ref())).collect() }
    }

    pub(crate) fn judge(&self, operation: &mut Operation, now: Time) {
        let kind = operation.kind;
        let (mut pending, mut stuck) = (false, Vec::new());
        for (at, part) in operation.parts.iter_mut().enumerate() {
            // What has been reached stays so, whatever becomes of the service later.
            if part.outcome != Outcome::Running {
                continue;
            }
            match self.verdict(kind, part) {
                Verdict::Pending => pending = true,
                Verdict::Stuck => stuck.push(at),
                Verdict::Ended(outcome) => part.outcome = outcome,
            }
        }
        if !pending {
            for at in stuck {
                operation.parts[at].outcome = Outcome::Failed;
            }
        }
        operation.sum_up(now);
    }

    /// Where it is; its cause is told along.
    fn verdict(&self, kind: OperationKind, part: &mut Part) -> Verdict {
        let Some(snapshot) = self.snapshots.get(&part.service) else {
            "it is not configured any more".clone_into(&mut part.cause);
            return Verdict::Ended(match kind {
                OperationKind::Stop | OperationKind::Kill => Outcome::Succeeded,
                OperationKind::Start | OperationKind::Restart | OperationKind::Signal => Outcome::Failed,
            });
        };
        if part.cause != snapshot.cause {
            part.cause.clone_from(&snapshot.cause);
        }
        let mut superseded = |how: &str| {
            how.clone_into(&mut part.cause);
            Verdict::Ended(Outcome::Failed)
        };
        match kind {
            OperationKind::Start | OperationKind::Restart if !snapshot.wanted => superseded("it was stopped meanwhile"),
            OperationKind::Stop | OperationKind::Kill if snapshot.wanted => {
                superseded("it was started again meanwhile")
            }
            OperationKind::Start => coming_up(snapshot),
            OperationKind::Restart if rolled_back(snapshot, part.from) => Verdict::Ended(Outcome::Failed),
            OperationKind::Restart if snapshot.generation > part.from => replaced(snapshot, part),
            OperationKind::Restart => not_replaced_yet(snapshot),
            OperationKind::Stop | OperationKind::Kill => going_down(snapshot),
            OperationKind::Signal => Verdict::Ended(Outcome::Unknown),
        }
    }
}

fn coming_up(snapshot: &ServiceSnapshot) -> Verdict {
    match snapshot.state {
        State::Running | State::Completed => Verdict::Ended(Outcome::Succeeded),
        // It may yet come up while others are waited for.
        State::Failed | State::CrashLoop => Verdict::Stuck,
        State::Waiting if snapshot.in_vain => Verdict::Stuck,
        State::Waiting
        | State::Rolling
        | State::Stopped
        | State::Starting
        | State::Unhealthy
        | State::Backoff
        | State::Stopping => Verdict::Pending,
    }
}

/// It has come up when what it replaces is gone, too.
fn replaced(snapshot: &ServiceSnapshot, part: &mut Part) -> Verdict {
    let old = snapshot.generations.iter().find(|one| one.run.generation <= part.from);
    match (coming_up(snapshot), old) {
        (Verdict::Ended(Outcome::Succeeded), Some(old)) => {
            part.cause = format!("generation {} drains: {}", old.run.generation, old.cause);
            Verdict::Pending
        }
        (verdict, _) => verdict,
    }
}

/// The old run does not count, however well it is.
fn not_replaced_yet(snapshot: &ServiceSnapshot) -> Verdict {
    match coming_up(snapshot) {
        Verdict::Ended(Outcome::Succeeded) => Verdict::Pending,
        verdict @ (Verdict::Pending | Verdict::Stuck | Verdict::Ended(_)) => verdict,
    }
}

/// The generation that was to follow has failed, and an older spec serves: well, but not what was asked for.
fn rolled_back(snapshot: &ServiceSnapshot, from: u64) -> bool {
    let after = snapshot.rollout.as_ref().filter(|rollout| rollout.to > from);
    after.is_some_and(|rollout| rollout.result == Some(RolloutResult::RolledBack))
}

fn going_down(snapshot: &ServiceSnapshot) -> Verdict {
    let down = snapshot.state.is_down() && snapshot.generations.is_empty();
    if down { Verdict::Ended(Outcome::Succeeded) } else { Verdict::Pending }
}
