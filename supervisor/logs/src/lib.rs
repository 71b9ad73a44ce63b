//! Moves bytes from pipes to rotated log files without losing or doubling one, and reads them back.
//! Not here: what a service is, when it runs, who may read its log.
//!
//! A full disk must not kill the process: it must ignore `SIGXFSZ` (this crate changes no signal disposition).

mod archives;
mod boundary;
mod chain;
mod compress;
mod copying;
mod follow;
mod live;
mod log;
mod outage;
mod pace;
mod platform;
mod pump;
mod registry;
mod settings;
mod tail;
mod worker;

pub use chain::Mark;
pub use follow::{Follower, From};
pub use pump::Pump;
pub use settings::{Compression, Settings, Stats};
pub use tail::{tail, tail_then_follow};
