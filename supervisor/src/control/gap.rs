//! Time in which we did not run: the machine slept, someone stopped us, or the processors were elsewhere.
//! Not here: what is made of it (the core moves its deadlines).

use supervisor_core::Time;

use crate::platform;

/// A wake-up that is later than that is worth a line.
const TOLD_MS: u64 = 2_000;

/// Notices gaps, each once.
#[derive(Debug)]
pub(crate) struct Gaps {
    /// The machine's sleep until the last look.
    slept: u64,
}

impl Gaps {
    pub(crate) fn new() -> Self {
        Self { slept: platform::slept_ms() }
    }

    /// `planned`: when we meant to be awake at the latest. Gives the length of a gap since the last look.
    pub(crate) fn look(&mut self, planned: Option<Time>, now: Time) -> Option<u64> {
        let before = std::mem::replace(&mut self.slept, platform::slept_ms());
        let late = planned.map_or(0, |planned| now.since(planned));
        let gap = late.max(self.slept.saturating_sub(before));
        (gap > TOLD_MS).then_some(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_planned_wake_up_can_be_missed() {
        let mut gaps = Gaps::new();
        assert_eq!(gaps.look(None, Time(1_000_000)), None);
        assert_eq!(gaps.look(Some(Time(1_000)), Time(3_000)), None, "a little late");
        assert_eq!(gaps.look(Some(Time(1_000)), Time(61_000)), Some(60_000));
        assert_eq!(gaps.look(Some(Time(9_000)), Time(1_000)), None, "woken by something else");
    }
}
