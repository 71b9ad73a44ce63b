//! What differs between kernels, each with an honest fallback.
//! Not here: decisions; callers say what to do when nothing is known.

mod abandoned;
pub(crate) mod controllers;
mod desktop;
mod environments;
pub(crate) mod groups;
mod hangup;
mod memory;
mod oom;
mod pipes;
mod port_holder;
mod processes;
mod raw;
mod title;
mod usage;
mod watches;

pub(crate) use abandoned::remove_abandoned;
pub(crate) use desktop::{desktop_session, notification};
pub(crate) use environments::Environments;
pub(crate) use hangup::{Hangups, listens};
pub(crate) use memory::tree_memory;
pub(crate) use oom::{KernelLog, OomKills, machine_oom_kills};
pub(crate) use pipes::{output_pipe, pass_credentials, peek, take};
pub(crate) use port_holder::{Holder, is_held_by_our_user, port_holder};
pub(crate) use processes::{boot_id, keep_to_ourselves, process, processes, slept_ms};
pub(crate) use raw::{control_channel, ends_with_us, local_offset, readable, share_heaps, terminal_size};
pub(crate) use title::{can_retitle, name_ourselves, retitle};
pub(crate) use usage::beside;
pub(crate) use watches::{Names, Spots, Watches};
