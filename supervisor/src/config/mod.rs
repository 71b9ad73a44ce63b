//! `supervisor.toml`: read, checked, explained.
//! Not here: acting on it.

mod across;
mod alert;
mod alerts;
mod changes;
mod checks;
mod diagnostics;
mod env_file;
mod environment;
mod expand;
mod exposed;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod glob;
mod keys;
mod load;
mod masked;
mod model;
mod nearest;
mod ownership;
mod policy;
mod quantity;
mod reader;
mod recorded;
mod schema;
mod section;
mod service;
mod signs;
mod source;
mod stack;
mod surroundings;
#[cfg(test)]
mod tests;
mod tree;
mod vocabulary;
mod withheld;
mod words;

pub(crate) use across::overlap;
pub(crate) use alert::{Alert, Hidden, Mail, Occasion, Way, Wire};
pub(crate) use alerts::is_loopback;
pub(crate) use changes::{Changed, Effect, service_changes, supervisor_changes};
pub(crate) use diagnostics::{Diagnostic, Diagnostics};
pub(crate) use exposed::exposed;
pub(crate) use files::Disk;
#[cfg(test)]
pub(crate) use files::Mark;
pub(crate) use glob::{matching, reach};
pub(crate) use load::{find, load, located};
pub(crate) use model::*;
pub(crate) use ownership::{MAX_LINKS, check_ownership, steps};
pub(crate) use quantity::duration;
pub(crate) use recorded::{Recorded, Recorder};
pub(crate) use schema::schema;
pub(crate) use signs::pattern;
pub(crate) use surroundings::Surroundings;
