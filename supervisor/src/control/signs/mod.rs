//! What a run says of itself: by its notify socket, by a newline on a descriptor, by a line of its output.
//! Not here: what follows from it (the core decides).

pub(crate) mod hearing;
pub(crate) mod lines;
pub(crate) mod newline;
pub(crate) mod notify;
