//! A run that uses more than it may: replaced in its own time, or killed.
//! Not here: what it uses, and how much it may (the shell looks).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::Command;
use crate::ending::KILLED_GONE_WITHIN;
use crate::event::Excess;
use crate::fleet::Fleet;
use crate::run::{Again, Ending, Force, Run, Stage};
use crate::service::{Service, Turn};
use crate::snapshot::RolloutResult;
use crate::time::{Millis, Time};

impl Fleet {
    pub(crate) fn overran(&mut self, number: u64, excess: &Excess, turn: &mut Turn) {
        let Some(place) = self.services.place_of_run(number) else { return };
        let service = &mut self.services[place];
        match excess {
            Excess::Soft(reason) => service.recycle(number, reason, turn),
            Excess::Hard(reason) => {
                if let Some(run) = service.run_mut(number) {
                    run.overpower(reason, turn);
                }
                service.touch();
            }
        }
    }
}

impl Service {
    /// Another process, without a gap where two may run at once, and of several instances one after the other. Only one
    /// that serves, and has had the time of a good run, as must whatever failed to replace one: what always uses too much
    /// must not be replaced again and again.
    fn recycle(&mut self, number: u64, reason: &str, turn: &mut Turn) {
        let reset_after = self.spec.restart.reset_after;
        if !self.wanted() || self.rollout.is_some() || self.rolled_back_since(turn.now, reset_after) {
            return;
        }
        let (spec, several) = (Arc::clone(self.start_spec()), self.spec.instances > 1);
        let serves = |run: &Run| run.number == number && run.serves();
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.phase.run().is_some_and(serves)) else {
            return;
        };
        let rolls = several || slot.may_overlap(&spec);
        let Some(run) = slot.phase.run_mut() else { return };
        if run.ready().is_none_or(|ready| turn.now.since(ready) < reset_after) {
            return;
        }
        if rolls {
            let instance = slot.instance;
            self.begin_rollout(reason, BTreeSet::from([instance]), turn);
        } else {
            run.end(Ending::Asked(Again::Restart), reason, turn);
        }
        self.touch();
    }

    /// The last rollout failed less than `span` ago.
    fn rolled_back_since(&self, now: Time, span: Millis) -> bool {
        let failed = self.last_rollout.as_ref().filter(|last| last.result == Some(RolloutResult::RolledBack));
        failed.is_some_and(|last| now.since(last.asked.after(last.took.unwrap_or(0))) < span)
    }
}

impl Run {
    /// Its tree is killed, and that counts as a failure of one that nobody asked to end.
    fn overpower(&mut self, reason: &str, turn: &mut Turn) {
        let (life, ready) = match &self.stage {
            Stage::Starting { life, .. } => (life.clone(), None),
            Stage::Ready { life, ready, .. } => (life.clone(), Some(*ready)),
            Stage::Spawning { .. }
            | Stage::Draining { .. }
            | Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Over { .. } => return self.kill(reason, turn),
        };
        turn.out.push(Command::Kill { run: self.number });
        let force = Force::Killed { gone_by: turn.now.after(KILLED_GONE_WITHIN) };
        let ending = Ending::Unhealthy(format!("{reason}; killed"));
        self.enter(Stage::Stopping { life, ready, ending, force }, reason);
    }
}
