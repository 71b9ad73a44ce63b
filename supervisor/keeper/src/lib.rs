//! The keeper: the parent of every service. It executes and reports; it decides nothing.
//! Not here: policy, paths to resolve, names to look up, tokio, anything that may block on one service.

mod message;

pub use message::{Exited, MAX_FDS, Notice, Reply, Request, Spawn, Step, VERSION};
