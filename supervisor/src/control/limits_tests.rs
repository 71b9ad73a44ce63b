//! Findings against limits, in every combination that matters.
//! Not here: real processes (the tests from outside).

use super::*;

const MIB: u64 = 1 << 20;

fn found(memory_mib: u64) -> Finding {
    Finding { run: 1, memory: Some(memory_mib * MIB), processes: None, killed: false }
}

fn limits() -> Limits {
    Limits { memory: Some(64 * MIB), memory_soft: Some(32 * MIB), pids: Some(10), ..Limits::default() }
}

#[test]
fn a_short_peak_above_the_soft_limit_replaces_nothing() {
    let mut watch = Watch::default();
    for used in [33, 33, 20, 33, 33] {
        assert_eq!(watch.judge(&found(used), &limits()), None);
    }
    let told = "uses 33MiB of memory, more than `limits.memory_soft` (32MiB)";
    for _ in 0..2 {
        assert_eq!(watch.judge(&found(33), &limits()), Some(Excess::Soft(told.to_owned())), "as long as it is so");
    }
}

#[test]
fn the_hard_limit_counts_at_once_whoever_noticed_it() {
    let mut watch = Watch::default();
    let hard = |text: &str| Some(Excess::Hard(text.to_owned()));
    let told = hard("uses 65MiB of memory, more than `limits.memory` (64MiB)");
    assert_eq!(watch.judge(&found(65), &limits()), told);
    let killed = Finding { killed: true, ..found(1) };
    assert_eq!(watch.judge(&killed, &limits()), hard("one of its processes was killed at `limits.memory` (64MiB)"));
    let many = Finding { processes: Some(11), ..found(1) };
    assert_eq!(watch.judge(&many, &limits()), hard("has 11 processes, more than `limits.pids` (10)"));
    assert_eq!(
        watch.judge(&Finding { processes: Some(10), ..found(64) }, &Limits { memory_soft: None, ..limits() }),
        None
    );
}

#[test]
fn no_limit_is_never_passed() {
    let finding = Finding { processes: Some(u64::MAX), ..found(1 << 20) };
    assert_eq!(Watch::default().judge(&finding, &Limits::default()), None);
}

#[test]
fn sizes_are_told_as_the_file_says_them() {
    assert_eq!([1, 1536 << 10, 64 * MIB, 2 << 30].map(size), ["1KiB", "2MiB", "64MiB", "2GiB"]);
}
