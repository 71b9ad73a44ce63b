//! Feeds `supervisor_keeper::fuzz::frame`.
//! Not here: what it checks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| supervisor_keeper::fuzz::frame(bytes));
