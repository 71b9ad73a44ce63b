//! Moves bytes from pipes to rotated log files without losing or doubling one, and reads them back.
//! Not here: what a service is, when it runs, who may read its log.
//!
//! A full disk must not kill the process: it must ignore `SIGXFSZ` (this crate changes no signal disposition).

mod archives;
mod block;
mod boundary;
mod chain;
mod compress;
mod copying;
mod filter;
mod follow;
mod inbox;
mod index;
mod ledger;
mod line;
mod live;
mod log;
mod logfmt;
mod merge;
mod onlooker;
mod outage;
mod pace;
mod pipe;
mod plain;
mod platform;
mod pump;
mod query;
mod recorder;
mod registry;
mod settings;
mod source;
mod stage;
mod tail;
mod tracker;
mod upkeep;
mod worker;

pub use chain::Mark;
pub use filter::{Filter, FilterError, Level};
pub use follow::{Follower, From};
pub use ledger::Ledger;
pub use line::{Line, Query};
pub use merge::Merge;
pub use onlooker::{Glimpse, Onlooker};
pub use plain::plain;
pub use pump::{Feed, Pump};
pub use query::{Last, Search, Unfinished, last, last_of_generation};
pub use settings::{Budget, Compression, OnFull, Settings, Stats};
pub use stage::stage;
pub use tail::{tail, tail_then_follow, tail_with_trouble};
pub use tracker::{Next, Tracker};
