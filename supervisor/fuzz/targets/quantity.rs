//! Feeds `supervisor::fuzz::quantity`.
//! Not here: what it checks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| supervisor::fuzz::quantity(text));
