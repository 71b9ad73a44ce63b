//! A clock that is set makes nothing old and nothing new.
//! Not here: looking at clocks.

use super::*;

const YEARS: i64 = 30 * 365 * 24 * 60 * MINUTE;

impl Story {
    /// The clock is set, and the desk has seen it.
    fn is_set(&mut self, by_ms: i64) {
        self.now += by_ms;
        self.ledger.shift(by_ms);
        self.passes(0);
    }
}

#[test]
fn a_clock_that_is_set_back_silences_nothing() {
    let mut story = Story::of(&[Occasion::Failed, Occasion::Recovered]);
    story.happens(becomes("web", State::Failed));
    story.happens(becomes("web", State::Running));
    assert_eq!(story.told(), ["web failed"]);
    story.now -= 365 * 24 * 60 * MINUTE;
    story.passes(0);
    story.passes(30_000);
    assert_eq!(story.told(), ["web recovered"]);
    story.happens(becomes("web", State::Failed));
    story.passes(5 * MINUTE);
    assert_eq!(story.told(), ["web failed +1"]);
}

#[test]
fn a_clock_that_is_set_forward_makes_nothing_old() {
    let mut story = Story::of(&[Occasion::Failed, Occasion::Recovered]);
    story.ledger.begin(Beginning::Start, 0, None, story.now);
    story.happens(becomes("web", State::Failed));
    let written = story.ledger.next("ops").map(|letter| story.now - letter.written_ms);
    let before = story.now;
    story.is_set(YEARS);
    assert_eq!(story.ledger.next("ops").map(|letter| story.now - letter.written_ms), written, "it waits on");
    // The kernel's clock was right only after that event.
    story.seq += 1;
    let note = Note { at: timestamp::format(before), ..becomes("db", State::Failed) };
    let scene = Scene { alerts: &story.alerts, services: &story.services };
    let to_keep = story.ledger.take(&Entry { seq: story.seq, note }, &scene, story.now);
    assert_eq!((to_keep, story.told()), (ToKeep::Something, vec!["web failed".to_owned(), "db failed".to_owned()]));
}

#[test]
fn a_clock_that_is_set_to_and_fro_lets_no_flood_pass() {
    let mut story = Story::of(&[Occasion::Failed]);
    let mut told = 0;
    for round in 0..6 {
        for number in 0..10 {
            story.happens(becomes(&format!("s{}", round * 10 + number), State::Failed));
        }
        told += story.told().len();
        story.is_set(if round % 2 == 0 { YEARS } else { -YEARS });
        told += story.told().len();
    }
    assert_eq!(told, 20);
    story.passes(5 * MINUTE);
    assert_eq!(story.told().len(), 20, "and none is forgotten");
}

#[test]
fn what_is_well_has_recovered_no_sooner_by_a_clock_that_is_set() {
    let mut story = Story::of(&[Occasion::Failed, Occasion::Recovered]);
    story.happens(becomes("web", State::Failed));
    story.happens(becomes("web", State::Running));
    story.is_set(YEARS);
    assert_eq!(story.told(), ["web failed"]);
    story.is_set(-YEARS);
    story.passes(30_000);
    assert_eq!(story.told(), ["web recovered"]);
}
