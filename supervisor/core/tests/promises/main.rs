//! What the core promises: events in, commands out, and properties over random timelines.
//! Not here: anything with a clock, a process or a file.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks out what it is about")]

mod chance;
mod desk;
mod ending;
mod excess;
mod laws;
mod live;
mod orders;
mod plans;
mod properties;
mod ready;
mod recovery;
mod restarts;
mod rollbacks;
mod rollouts;
mod shutdown;
mod stalls;
mod starts;
mod trees;
mod vain;
mod views;
mod world;
