//! Control's side of the API: its sockets, what is shown, what is asked for, and what came of it.
//! Not here: HTTP and JSON (`crate::api`).

pub(crate) mod asks;
pub(crate) mod door;
pub(crate) mod operations;
pub(crate) mod outcomes;
pub(crate) mod publish;
pub(crate) mod sockets;
pub(crate) mod view;
