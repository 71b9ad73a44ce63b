//! What differs between kernels.
//! Not here: anything that all of them do alike.

use nix::unistd::{ForkResult, Pid};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(crate) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::*;

/// Where `fork_to_exec` has led.
pub(crate) enum Forked {
    Parent { child: Pid },
    Child(Handlers),
}

/// What signals lead to in a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handlers {
    /// What they lead to in the parent.
    Inherited,
    /// The default, unless they are ignored.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux clears them"))]
    Cleared,
}

impl From<ForkResult> for Forked {
    fn from(forked: ForkResult) -> Self {
        match forked {
            ForkResult::Parent { child } => Self::Parent { child },
            ForkResult::Child => Self::Child(Handlers::Inherited),
        }
    }
}
