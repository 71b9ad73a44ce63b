//! Feeds `supervisor::fuzz::configuration`.
//! Not here: what it checks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| supervisor::fuzz::configuration(text));
