//! What differs between systems: waiting for pipes, moving bytes without copying, seeing changes of a directory.
//! Not here: decisions.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{DirectoryWatch, Peeker, Poller, Waker, capacity, splice};

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{DirectoryWatch, Peeker, Poller, Waker, capacity, splice};
