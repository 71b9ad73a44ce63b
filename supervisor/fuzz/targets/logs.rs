//! Feeds `supervisor::fuzz::logs`.
//! Not here: what it checks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| supervisor::fuzz::logs(bytes));
