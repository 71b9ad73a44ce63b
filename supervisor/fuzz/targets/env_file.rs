//! Feeds `supervisor::fuzz::env_file`.
//! Not here: what it checks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| supervisor::fuzz::env_file(text));
