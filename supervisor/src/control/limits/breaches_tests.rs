//! Findings against limits, in every combination that matters, and what is told of them.
//! Not here: real processes (the tests from outside).

use super::*;

const MIB: u64 = 1 << 20;

fn quiet() -> Finding {
    Finding { run: 1, memory: None, processes: None, refused: None, killed: false, peak: None }
}

fn found(memory_mib: u64) -> Finding {
    Finding { memory: Some(memory_mib * MIB), ..quiet() }
}

fn limits() -> Limits {
    Limits { memory: Some(64 * MIB), memory_soft: Some(32 * MIB), pids: Some(10), ..Limits::default() }
}

/// Some looks, and what of them was told.
#[derive(Default)]
struct Story {
    watch: Watch,
}

impl Story {
    fn look(&mut self, finding: &Finding) -> Vec<String> {
        let service = ServiceName::new("web").unwrap();
        self.watch.begin(&[finding.run].into(), &[service.clone()].into());
        let mut told = Vec::new();
        for breach in self.watch.judge(finding, &limits()) {
            if self.watch.is_news(&service, finding.run, breach) {
                told.push(breach.in_words());
            }
        }
        told.extend(self.watch.calmed(|_| true).iter().map(|service| format!("{service} is calm")));
        told
    }
}

#[test]
fn a_short_peak_above_the_soft_limit_replaces_nothing() {
    let mut watch = Watch::default();
    for used in [33, 33, 20, 33, 33] {
        assert_eq!(watch.judge(&found(used), &limits()), []);
    }
    let soft = Breach::Soft { used: 33 * MIB, most: 32 * MIB };
    for _ in 0..2 {
        assert_eq!(watch.judge(&found(33), &limits()), [soft], "as long as it is so");
    }
    let told = "uses 33MiB of memory, more than `limits.memory_soft` (32MiB)";
    assert_eq!(soft.excess(), Some(Excess::Soft(told.to_owned())));
}

#[test]
fn the_hard_limit_counts_at_once_whoever_noticed_it() {
    let hard = |finding: Finding, told: &str| {
        let breaches = Watch::default().judge(&finding, &limits());
        let excesses: Vec<_> = breaches.into_iter().map(Breach::excess).collect();
        assert_eq!(excesses, [Some(Excess::Hard(told.to_owned()))]);
    };
    hard(found(65), "uses 65MiB of memory, more than `limits.memory` (64MiB)");
    let killed = Finding { killed: true, peak: Some(64 * MIB), ..found(1) };
    hard(killed, "one of its processes was killed at `limits.memory` (64MiB); it had used 64MiB");
    hard(Finding { processes: Some(11), ..found(1) }, "has 11 processes, more than `limits.pids` (10)");
    let fits = Finding { processes: Some(10), ..found(64) };
    assert_eq!(Watch::default().judge(&fits, &Limits { memory_soft: None, ..limits() }), []);
}

#[test]
fn no_limit_is_never_passed() {
    let finding = Finding { processes: Some(u64::MAX), ..found(1 << 20) };
    assert_eq!(Watch::default().judge(&finding, &Limits::default()), []);
}

#[test]
fn refused_forks_are_told_and_kill_nothing() {
    let refused = Breach::Refused { forks: 7, most: Some(10) };
    let mut watch = Watch::default();
    assert_eq!(watch.judge(&Finding { refused: Some(7), ..quiet() }, &limits()), [refused]);
    assert_eq!(watch.judge(&Finding { refused: Some(7), ..quiet() }, &limits()), []);
    assert_eq!(refused.excess(), None);
    assert_eq!(refused.in_words(), "has come up against `limits.pids` (10): 7 forks were refused");
}

#[test]
fn what_goes_on_is_told_once_and_so_is_its_end() {
    let mut story = Story::default();
    let told: Vec<String> =
        (1..=9).flat_map(|refused| story.look(&Finding { refused: Some(refused), ..quiet() })).collect();
    assert_eq!(told, ["has come up against `limits.pids` (10): 1 fork was refused"]);
    let calm = Finding { refused: Some(9), ..quiet() };
    let told: Vec<Vec<String>> = (0..5).map(|_| story.look(&calm)).collect();
    assert_eq!(told, [vec![], vec![], vec!["web is calm".to_owned()], vec![], vec![]]);
    assert_eq!(story.look(&Finding { refused: Some(10), ..quiet() }).len(), 1, "it is news again");
}

#[test]
fn each_run_that_ends_at_a_limit_is_told_once_whoever_noticed() {
    let mut story = Story::default();
    let service = ServiceName::new("web").unwrap();
    for run in 1..=3 {
        assert_eq!(story.look(&Finding { run, ..found(65) }).len(), 1);
        assert_eq!(story.look(&Finding { run, killed: true, ..found(66) }), [""; 0], "while it is being killed");
        let killed = Breach::Killed { used: None, most: Some(64 * MIB) };
        assert!(!story.watch.is_news(&service, run, killed), "its end");
    }
}

#[test]
fn a_limit_that_is_no_more_is_kept() {
    let mut story = Story::default();
    story.look(&found(65));
    assert_eq!(story.watch.calmed(|_| false).len(), 1);
    assert_eq!(story.watch.calmed(|_| false).len(), 0);
}

#[test]
fn sizes_are_told_as_the_file_says_them() {
    assert_eq!([1, 1536 << 10, 64 * MIB, 2 << 30].map(size), ["1KiB", "2MiB", "64MiB", "2GiB"]);
}
