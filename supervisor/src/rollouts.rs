//! A rollout in words: for the journal, the API and the command line.
//! Not here: what is decided about it (`supervisor-core`).

use supervisor_core::{RolloutPhase, RolloutResult, RolloutSnapshot};

use crate::spans::short;

/// One that has not begun.
pub(crate) const WAITS: &str = "to be followed by a new generation";

/// How far it has come, in one line.
pub(crate) fn in_words(rollout: &RolloutSnapshot) -> String {
    let RolloutSnapshot { cause, reason, from, to, .. } = rollout;
    let reason = reason.as_deref().unwrap_or("nobody knows why");
    let span = |millis: Option<u64>| short(millis.unwrap_or(0));
    match (rollout.result, rollout.phase) {
        (None, RolloutPhase::Waiting) => format!("{WAITS}: {cause}"),
        (None, RolloutPhase::Starting) if *to == 0 => format!("generation {from} is stopped first: {cause}"),
        (None, RolloutPhase::Starting) => format!("generation {to} comes up beside {from}: {cause}"),
        (None, RolloutPhase::Baking) => {
            format!("generation {to} is ready after {}, and must stay so before it takes over", span(rollout.starting))
        }
        (None, RolloutPhase::Draining | RolloutPhase::Over) => format!("generation {to} has taken over from {from}"),
        (Some(RolloutResult::Done), _) if *from == 0 => format!("done after {}", span(rollout.took)),
        (Some(RolloutResult::Done), RolloutPhase::Over) if rollout.draining.is_some() => {
            format!("generation {from} is gone after {} of draining{}", span(rollout.draining), seen_off(rollout))
        }
        (Some(RolloutResult::Done), RolloutPhase::Over) => {
            format!("generation {to} serves after {}", span(rollout.took))
        }
        (Some(RolloutResult::Done), _) => {
            format!("generation {to} serves after {}; generation {from} drains", span(rollout.took))
        }
        (Some(RolloutResult::RolledBack), _) => format!("rolled back: {reason}"),
        (Some(RolloutResult::Superseded), _) => "a newer request has taken its place".to_owned(),
        (Some(RolloutResult::Abandoned), _) => format!("given up: {reason}"),
    }
}

fn seen_off(rollout: &RolloutSnapshot) -> String {
    match rollout.seen_off {
        None => String::new(),
        Some(seen_off) => format!(" ({} connections seen off, {} cut)", seen_off.drained, seen_off.cut),
    }
}

#[cfg(test)]
pub(crate) fn example(number: u64, result: Option<RolloutResult>) -> RolloutSnapshot {
    use supervisor_core::{SeenOff, Time};
    RolloutSnapshot {
        number,
        cause: "asked to restart".to_owned(),
        asked: Time(0),
        phase: RolloutPhase::Over,
        result,
        reason: Some("generation 2: exited with code 1 after 50ms".to_owned()),
        instance: 0,
        from: 1,
        to: 2,
        waited: Some(0),
        starting: Some(700),
        baking: Some(2_000),
        draining: Some(1_240),
        seen_off: Some(SeenOff { drained: 40, cut: 2 }),
        leaving: Vec::new(),
        took: Some(2_700),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(phase: RolloutPhase, result: Option<RolloutResult>) -> RolloutSnapshot {
        RolloutSnapshot { phase, ..example(1, result) }
    }

    #[test]
    fn each_phase_is_told_with_its_generations_and_its_time() {
        let told = [
            (RolloutPhase::Starting, None, "generation 2 comes up beside 1: asked to restart"),
            (RolloutPhase::Baking, None, "generation 2 is ready after 700ms, and must stay so before it takes over"),
            (RolloutPhase::Draining, Some(RolloutResult::Done), "generation 2 serves after 2.7s; generation 1 drains"),
            (
                RolloutPhase::Over,
                Some(RolloutResult::Done),
                "generation 1 is gone after 1.2s of draining (40 connections seen off, 2 cut)",
            ),
            (
                RolloutPhase::Over,
                Some(RolloutResult::RolledBack),
                "rolled back: generation 2: exited with code 1 after 50ms",
            ),
        ];
        for (phase, result, words) in told {
            assert_eq!(in_words(&rollout(phase, result)), words);
        }
    }
}
