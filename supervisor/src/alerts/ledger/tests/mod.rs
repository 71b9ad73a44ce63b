//! What the ledger promises: what is told, what is held back, what ends.
//! Not here: files, sending.

mod addressees;
mod certificates;
mod clocks;

use std::time::Duration;

use supervisor_core::{RolloutResult, ServiceName, State};

use super::{Ledger, ToKeep};
use crate::alerts::Beginning;
use crate::alerts::scene::Scene;
use crate::config::{self, Alert, Disk, Hidden, Occasion, Service, Surroundings, Way};
use crate::journal::{Ended, Entry, Kind, Note};
use crate::timestamp;

const MINUTE: i64 = 60_000;
/// When each of these stories begins.
const NOON: i64 = 1_800_000_000_000;

/// A stack of services, one alert, and a time that only moves when told.
struct Story {
    services: Vec<Service>,
    alerts: Vec<Alert>,
    ledger: Ledger,
    seq: u64,
    now: i64,
}

impl Story {
    fn of(on: &[Occasion]) -> Self {
        let names: Vec<String> = (0..60).map(|number| format!("s{number}")).collect();
        let text: String = ["web", "db"].into_iter().chain(names.iter().map(String::as_str)).map(service).collect();
        let alert = Alert {
            name: "ops".to_owned(),
            key: "ops".to_owned(),
            on: on.to_vec(),
            services: vec!["*".to_owned()],
            way: Way::Slack(Hidden::Text("https://h/".to_owned())),
            min_interval: Duration::from_secs(300),
            log_lines: 5,
        };
        Self { services: services(&text), alerts: vec![alert], ledger: Ledger::default(), seq: 0, now: NOON }
    }

    fn happens(&mut self, note: Note) -> ToKeep {
        self.seq += 1;
        self.retell(note)
    }

    /// The same event once more: an earlier control did not come to keep that it had seen it.
    fn retell(&mut self, note: Note) -> ToKeep {
        let entry = Entry { seq: self.seq, note: Note { at: timestamp::format(self.now), ..note } };
        let scene = Scene { alerts: &self.alerts, services: &self.services };
        self.ledger.take(&entry, &scene, self.now)
    }

    fn passes(&mut self, ms: i64) {
        self.now += ms;
        let scene = Scene { alerts: &self.alerts, services: &self.services };
        self.ledger.look(&scene, self.now);
    }

    fn deadline(&self) -> Option<i64> {
        self.ledger.deadline(&Scene { alerts: &self.alerts, services: &self.services })
    }

    /// What is told by now, each as `service occasion`; it arrives.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(letter) = self.ledger.next("ops").cloned() {
            let service = letter.message.service.as_ref().map(ToString::to_string).unwrap_or_default();
            let repeated =
                if letter.message.repeated > 0 { format!(" +{}", letter.message.repeated) } else { String::new() };
            told.push(format!("{service} {}{repeated}", letter.message.occasion.as_str()));
            self.ledger.done("ops", &letter.message.id, None);
        }
        told
    }
}

fn services(text: &str) -> Vec<Service> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("supervisor.toml");
    std::fs::write(&file, text).unwrap();
    let environment = [("HOME".to_owned(), "/h".to_owned())].into();
    config::load(&file, &Surroundings::new(environment, 7, 2), &mut Disk).unwrap().services
}

fn service(name: &str) -> String {
    format!("[services.{name}]\ncommand = \"x\"\nrestart.reset_after = \"30s\"\n")
}

fn note(kind: Kind, service: &str) -> Note {
    Note::new(String::new(), kind, "because").of(&ServiceName::new(service).unwrap(), 1)
}

fn becomes(service: &str, state: State) -> Note {
    note(Kind::State, service).change(State::Starting, state)
}

fn ends(code: i32, asked: bool) -> Note {
    note(Kind::Exit, "web").ended(Ended { pid: Some(1), code: Some(code), asked, ..Ended::default() })
}

#[test]
fn each_occasion_is_told_and_nothing_else_is() {
    let mut story = Story::of(&Occasion::TOLD);
    let rollout = |result| Note { result, ..note(Kind::Rollout, "web") };
    for (note, told) in [
        (ends(1, false), Some("web crash")),
        (ends(0, false), None),
        (ends(1, true), None),
        (becomes("web", State::CrashLoop), Some("web crash-loop")),
        (becomes("web", State::Failed), Some("web failed")),
        (becomes("web", State::Unhealthy), Some("web unhealthy")),
        (becomes("web", State::Backoff), None),
        (becomes("web", State::Stopped), None),
        (rollout(Some(RolloutResult::RolledBack)), Some("web rolled-back")),
        (rollout(Some(RolloutResult::Done)), None),
        (rollout(None), None),
        (note(Kind::Limit, "web").passed(false), Some("web limit")),
        (note(Kind::Limit, "web").passed(true), None),
        (note(Kind::Disk, "web").passed(false), Some("web disk")),
        (note(Kind::Certificate, "web").passed(false), Some("web certificate")),
        (note(Kind::Probe, "web").probed("http /", false), None),
    ] {
        story.happens(note.clone());
        assert_eq!(story.told().first().map(String::as_str), told, "{note:?}");
    }
}

#[test]
fn an_alert_hears_only_of_its_services_and_occasions() {
    let mut story = Story::of(&[Occasion::CrashLoop]);
    story.alerts[0].services = vec!["d*".to_owned()];
    story.happens(becomes("web", State::CrashLoop));
    story.happens(becomes("db", State::Failed));
    assert_eq!(story.told(), [""; 0]);
    story.happens(becomes("db", State::CrashLoop));
    assert_eq!(story.told(), ["db crash-loop"]);
}

#[test]
fn what_goes_on_is_told_again_after_twice_as_long_each_time_with_how_often_it_was() {
    let mut story = Story::of(&[Occasion::CrashLoop]);
    let mut minutes = Vec::new();
    for minute in 0..80 {
        story.happens(becomes("web", State::CrashLoop));
        story.passes(MINUTE);
        minutes.extend(story.told().into_iter().map(|told| (minute, told)));
    }
    let said: Vec<(i32, &str)> = minutes.iter().map(|(minute, told)| (*minute, told.as_str())).collect();
    assert_eq!(
        said,
        [
            (0, "web crash-loop"),
            (4, "web crash-loop +4"),
            (14, "web crash-loop +10"),
            (34, "web crash-loop +20"),
            (74, "web crash-loop +40")
        ]
    );
}

#[test]
fn what_was_held_back_is_told_later_although_nothing_more_happens() {
    let mut story = Story::of(&[Occasion::Failed, Occasion::Recovered]);
    story.happens(becomes("web", State::Failed));
    story.happens(becomes("web", State::Running));
    story.passes(MINUTE);
    assert_eq!(story.told(), ["web failed", "web recovered"]);
    story.happens(becomes("web", State::Failed));
    story.passes(3 * MINUTE);
    assert_eq!(story.told(), [""; 0], "too soon");
    story.passes(MINUTE);
    assert_eq!(story.told(), ["web failed +1"]);
    story.happens(becomes("web", State::Running));
    story.passes(MINUTE);
    assert_eq!(story.told(), ["web recovered"]);
}

#[test]
fn what_is_over_before_it_may_be_told_is_not_told() {
    let mut story = Story::of(&[Occasion::Failed, Occasion::Recovered]);
    for _ in 0..2 {
        story.happens(becomes("web", State::Failed));
        story.happens(becomes("web", State::Running));
        story.passes(MINUTE);
    }
    story.passes(60 * MINUTE);
    assert_eq!(story.told(), ["web failed", "web recovered"]);
}

#[test]
fn it_has_recovered_only_once_it_is_well_for_as_long_as_a_good_run() {
    let mut story = Story::of(&[Occasion::Unhealthy, Occasion::Recovered]);
    story.happens(becomes("web", State::Unhealthy));
    for _ in 0..10 {
        story.happens(becomes("web", State::Running));
        story.passes(29_000);
        story.happens(becomes("web", State::Unhealthy));
    }
    assert_eq!(story.told(), ["web unhealthy"], "it flaps");
    story.happens(becomes("web", State::Running));
    story.passes(29_999);
    assert_eq!(story.told(), [""; 0]);
    story.passes(1);
    assert_eq!(story.told(), ["web recovered"]);
    story.passes(MINUTE);
    assert_eq!(story.told(), [""; 0], "once");
}

#[test]
fn a_service_whose_checks_fail_time_and_again_has_not_recovered_in_between() {
    for live in ["live = { command = 'x', interval = '10s', timeout = '2s', failures = 3 }", "live.watchdog = '36s'"] {
        let mut story = Story::of(&[Occasion::Unhealthy, Occasion::Recovered]);
        story.services = services(&format!("{}{live}\n", service("web")));
        for _ in 0..5 {
            story.happens(becomes("web", State::Unhealthy));
            story.happens(becomes("web", State::Running));
            story.passes(36_000);
        }
        assert_eq!(story.told(), ["web unhealthy"], "{live}");
        story.passes(12_000);
        assert_eq!(story.told(), ["web recovered"], "{live}");
    }
}

#[test]
fn nobody_hears_of_the_end_of_what_he_was_not_told() {
    let mut story = Story::of(&[Occasion::Failed, Occasion::Recovered]);
    story.happens(becomes("web", State::CrashLoop));
    story.happens(becomes("web", State::Running));
    story.passes(MINUTE);
    assert_eq!(story.told(), [""; 0]);
}

#[test]
fn a_log_that_is_written_again_has_recovered_whatever_the_service_does() {
    let mut story = Story::of(&[Occasion::Disk, Occasion::Recovered]);
    story.happens(note(Kind::Disk, "web").passed(false));
    story.happens(becomes("web", State::Running));
    story.passes(MINUTE);
    assert_eq!(story.told(), ["web disk"]);
    story.happens(note(Kind::Disk, "web").passed(true));
    story.passes(9_999);
    assert_eq!(story.told(), [""; 0]);
    story.passes(1);
    assert_eq!(story.told(), ["web recovered"]);
}

#[test]
fn a_limit_that_is_kept_again_has_recovered_once_that_lasts_and_the_service_is_well() {
    let mut story = Story::of(&[Occasion::Limit, Occasion::Recovered]);
    story.happens(note(Kind::Limit, "web").passed(false));
    story.happens(becomes("web", State::Running));
    story.passes(MINUTE);
    assert_eq!(story.told(), ["web limit"], "its state says nothing of that");
    story.happens(note(Kind::Limit, "web").passed(true));
    story.happens(ends(1, false));
    story.passes(MINUTE);
    assert_eq!(story.told(), [""; 0], "it is down");
    assert!(story.deadline().is_none(), "and nobody looks again until it is up");
    story.happens(becomes("web", State::Running));
    story.passes(30_000);
    story.passes(0);
    assert_eq!(story.told(), ["web recovered"]);
}

#[test]
fn what_another_control_does_not_tell_again_is_over() {
    for (trouble, begins) in [(Kind::Limit, "web limit"), (Kind::Disk, "web disk")] {
        for (kind, cause, told) in [
            (Kind::Control, "took over, pid 7", vec!["web recovered"]),
            (Kind::Control, "started, pid 7", vec!["web recovered"]),
            (Kind::Control, "resumed after 7s", vec![]),
            (Kind::Supervisor, "started version 1", vec![]),
        ] {
            let mut story = Story::of(&[Occasion::Limit, Occasion::Disk, Occasion::Recovered]);
            story.happens(note(trouble, "web").passed(false));
            assert_eq!(story.told(), [begins]);
            story.happens(Note::new(String::new(), kind, cause));
            story.passes(5_000);
            assert_eq!(story.told(), [""; 0], "there is time to tell it again");
            story.passes(MINUTE);
            assert_eq!(story.told(), told, "{begins}, {cause}");
        }
    }
    let mut story = Story::of(&[Occasion::Disk, Occasion::Recovered]);
    story.happens(note(Kind::Disk, "web").passed(false));
    story.happens(Note::new(String::new(), Kind::Control, "took over, pid 7"));
    story.happens(note(Kind::Disk, "web").passed(false));
    story.passes(MINUTE);
    assert_eq!(story.told(), ["web disk"], "it is so still");
}

#[test]
fn a_flood_is_told_in_part_and_the_rest_as_time_goes_by() {
    let mut story = Story::of(&[Occasion::Failed]);
    for number in 0..60 {
        story.happens(becomes(&format!("s{number}"), State::Failed));
    }
    assert_eq!(story.told().len(), 20);
    story.passes(4 * MINUTE);
    assert_eq!(story.told().len(), 0);
    story.passes(MINUTE);
    assert_eq!(story.told().len(), 20);
    story.passes(5 * MINUTE);
    assert_eq!(story.told().len(), 20);
    story.passes(5 * MINUTE);
    assert_eq!(story.told(), [""; 0], "each was told");
}

#[test]
fn that_a_flood_is_over_is_told_in_part_too_and_the_rest_as_time_goes_by() {
    let mut story = Story::of(&[Occasion::Failed, Occasion::Recovered]);
    for number in 0..60 {
        story.happens(becomes(&format!("s{number}"), State::Failed));
    }
    let mut told = story.told().len();
    for _ in 0..3 {
        story.passes(5 * MINUTE);
        told += story.told().len();
    }
    assert_eq!(told, 60);
    for number in 0..60 {
        story.happens(becomes(&format!("s{number}"), State::Running));
    }
    story.passes(MINUTE);
    let mut over = story.told();
    assert_eq!(over.len(), 20);
    assert_eq!(story.deadline(), Some(story.now + 5 * MINUTE), "nobody looks again before there is room");
    for _ in 0..2 {
        story.passes(5 * MINUTE);
        over.extend(story.told());
    }
    over.sort_unstable();
    over.dedup();
    assert!(over.len() == 60 && over.iter().all(|told| told.ends_with(" recovered")), "{over:?}");
    story.passes(60 * MINUTE);
    assert_eq!((story.told(), story.deadline()), (vec![], None));
}

#[test]
fn what_is_stopped_on_purpose_is_told_no_more_but_that_it_is_well_again_is() {
    let mut story = Story::of(&[Occasion::CrashLoop, Occasion::Recovered]);
    story.happens(becomes("web", State::CrashLoop));
    story.happens(becomes("web", State::CrashLoop));
    assert_eq!(story.told(), ["web crash-loop"]);
    story.happens(becomes("web", State::Stopped));
    story.passes(60 * MINUTE);
    assert_eq!(story.told(), [""; 0]);
    story.happens(becomes("web", State::Running));
    story.passes(MINUTE);
    assert_eq!(story.told(), ["web recovered"]);
}

#[test]
fn of_letters_that_cannot_be_delivered_the_newest_wait_and_the_others_are_counted() {
    let mut story = Story::of(&[Occasion::Failed]);
    story.happens(becomes("web", State::Failed));
    let first = story.ledger.next("ops").cloned();
    for round in 0..3 {
        for number in 0..20 {
            story.happens(becomes(&format!("s{}", round * 20 + number), State::Failed));
        }
        story.passes(6 * MINUTE);
    }
    assert_eq!(story.ledger.waiting("ops"), 32);
    let lost = story.ledger.account("ops").lost;
    assert!(lost >= 28, "{lost}");
    assert_eq!(story.ledger.next("ops").cloned(), first, "it may be on its way");
}

#[test]
fn an_event_that_is_taken_in_twice_leads_to_the_same_letter_and_an_old_one_to_none() {
    let mut story = Story::of(&[Occasion::Failed]);
    story.happens(becomes("web", State::Failed));
    let first = story.ledger.next("ops").cloned();
    let mut again = Story::of(&[Occasion::Failed]);
    again.happens(becomes("web", State::Failed));
    assert_eq!(again.ledger.next("ops").cloned(), first);
    story.retell(becomes("web", State::Failed));
    assert_eq!(story.ledger.waiting("ops"), 1, "held back like any other");
    let scene = Scene { alerts: &again.alerts, services: &again.services };
    let old = Entry { seq: 99, note: Note { at: timestamp::format(again.now), ..becomes("db", State::Failed) } };
    assert_eq!(again.ledger.take(&old, &scene, again.now + 25 * 60 * MINUTE), ToKeep::Nothing);
}
