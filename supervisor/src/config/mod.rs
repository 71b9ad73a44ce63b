//! `supervisor.toml`: read, checked, explained.
//! Not here: acting on it.

mod model;

pub(crate) use model::*;
