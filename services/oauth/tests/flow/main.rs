//! The flow as a whole, in one process: a client, a browser, the service, and a stand-in for Entra.
//! Not here: what needs a process of its own (`tests/process`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod authorizing;
mod documents;
mod entra;
mod key;
mod limits;
mod logins;
mod regressions;
mod services;
mod tokens;
mod whole;
mod world;
