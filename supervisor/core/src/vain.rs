//! Who waits in vain.
//! Not here: starting what waits (see `order`).

use crate::fleet::Fleet;
use crate::roster::Trait;
use crate::snapshot::State;
use crate::spec::{Condition, Kind};

impl Fleet {
    /// Whether what waits does so in vain, after everything that may be started was.
    pub(crate) fn judge_waiting(&mut self) {
        let waits = |place: &usize| self.services[*place].state() == State::Waiting;
        let mut waiting: Vec<usize> = self.services.with(Trait::ToStart).filter(waits).collect();
        // What they depend on comes first.
        waiting.sort_by_key(|&place| self.graph.rank(place));
        for place in waiting {
            let in_vain = self.graph.dependencies(place).iter().any(|&(on, condition)| self.is_hopeless(on, condition));
            if self.services[place].in_vain != in_vain {
                let service = &mut self.services[place];
                service.in_vain = in_vain;
                service.touch();
            }
        }
    }

    /// It is down and not about to come up, or waits for such a one, at whatever distance.
    fn is_hopeless(&self, on: usize, condition: Condition) -> bool {
        let service = &self.services[on];
        match service.state() {
            State::Failed | State::CrashLoop => true,
            State::Stopped => !service.wanted(),
            State::Waiting => service.in_vain,
            // One that runs for ever, but has ended with success and is not started again, is not there for anybody.
            State::Completed => match condition {
                Condition::Ready | Condition::Started => service.spec.kind == Kind::Service,
                Condition::Completed => false,
            },
            State::Starting | State::Running | State::Unhealthy | State::Rolling | State::Backoff | State::Stopping => {
                false
            }
        }
    }
}
