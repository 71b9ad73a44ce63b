//! What the keeper promises, with a real keeper, real children, and the test as control.
//! Not here: the wire (unit tests), and what control makes of it all.

mod control;
mod exits;
mod holding;
mod rig;
mod roles;
mod shutdown;
mod spawn;
