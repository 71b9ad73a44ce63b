//! Whom the ledger knows.
//! Not here: what they are told.

use super::*;
use crate::alerts::ledger::Audience;

fn keys(story: &mut Story, keys: &[&str]) {
    let like = story.alerts[0].clone();
    story.alerts = keys.iter().map(|key| Alert { key: (*key).to_owned(), ..like.clone() }).collect();
    story.passes(0);
}

fn waiting(story: &Story, keys: &[&str]) -> Vec<usize> {
    keys.iter().map(|key| story.ledger.waiting(key)).collect()
}

#[test]
fn what_is_gone_from_the_configuration_is_forgotten() {
    let mut story = Story::of(&[Occasion::Failed]);
    story.happens(becomes("web", State::Failed));
    story.alerts.clear();
    story.services.clear();
    story.passes(0);
    assert_eq!(story.ledger, Ledger::at(1));
}

#[test]
fn an_alert_without_a_name_keeps_its_letters_wherever_it_stands() {
    let mut story = Story::of(&[Occasion::Failed]);
    keys(&mut story, &["slack#a"]);
    story.happens(becomes("web", State::Failed));
    keys(&mut story, &["slack#b", "slack#a"]);
    assert_eq!(waiting(&story, &["slack#a", "slack#b"]), [1, 0]);
    keys(&mut story, &["slack#b"]);
    assert_eq!(waiting(&story, &["slack#a", "slack#b"]), [0, 0], "what was its own is nobody's");
}

#[test]
fn who_mends_the_address_of_an_alert_without_a_name_gets_what_waits() {
    let mut story = Story::of(&[Occasion::Failed, Occasion::Recovered]);
    keys(&mut story, &["slack#a", "ntfy#a", "named"]);
    story.happens(becomes("web", State::Failed));
    keys(&mut story, &["slack#b", "ntfy#a", "renamed"]);
    assert_eq!(waiting(&story, &["slack#b", "ntfy#a", "renamed", "slack#a", "named"]), [1, 1, 0, 0, 0]);
    story.happens(becomes("web", State::Running));
    story.passes(MINUTE);
    assert_eq!(waiting(&story, &["slack#b"]), [2], "that it is over, too");
    keys(&mut story, &["slack#c", "slack#d"]);
    assert_eq!(waiting(&story, &["slack#c", "slack#d"]), [0, 0], "which of them it would be, nobody knows");
}

#[test]
fn nobody_is_told_of_what_happened_while_nobody_was_to_be_told() {
    let begun = |turned: Option<Audience>, beginning, start| {
        let mut ledger = Ledger::at(40);
        turned.into_iter().for_each(|audience| ledger.turn(40, audience));
        ledger.begin(beginning, 90, start, 0);
        ledger.cursor
    };
    assert_eq!(begun(None, Beginning::Start, Some(70)), Some(40), "what the last desk had not seen");
    assert_eq!(begun(Some(Audience::Somebody), Beginning::Start, Some(70)), Some(40));
    assert_eq!(begun(Some(Audience::Nobody), Beginning::Start, Some(70)), Some(70));
    assert_eq!(begun(Some(Audience::Nobody), Beginning::Start, Some(10)), Some(40));
    assert_eq!(begun(Some(Audience::Nobody), Beginning::Start, None), Some(90));
    assert_eq!(begun(None, Beginning::Now, Some(70)), Some(90));
    let mut elsewhere = Ledger::at(99);
    elsewhere.begin(Beginning::Start, 90, Some(70), 0);
    assert_eq!(elsewhere.cursor, Some(70), "another journal");
}
