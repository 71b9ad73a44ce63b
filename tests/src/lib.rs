//! The harness of the end-to-end tests: a stack in a directory of its own, seen only from outside.
//! Not here: promises; each file of `tests/` holds some.

mod binaries;
mod canary;
mod cell;
mod certificate;
mod ending;
mod file;
mod group;
mod http;
mod procs;
mod service;
mod setup;
mod signal;
mod stack;
mod tracer;
mod wait;

pub use binaries::{exemplar, program, puppet, supervisor};
pub use canary::{CANARY, Secrets};
pub use cell::{Cell, is_root, skip};
pub use certificate::certificate;
pub use group::Group;
pub use http::{Response, over_tcp, over_unix, raw_over_tcp, raw_over_unix};
pub use nix::sys::signal::Signal;
pub use procs::{Proc, alive, child_pids, cpu_ticks, inner_number, open_files, processes_of, resident, variable};
pub use service::Service;
pub use setup::{Setup, User, address, free_port};
pub use signal::{kill_together, send};
pub use stack::{Done, Stack};
pub use tracer::Tracer;
pub use wait::{DEADLINE, eventually, holds_for, within};
