//! What the fake promises to those who test against it: it answers as Entra and Graph do, and it notices.
//! Not here: its arithmetic, which is tested beside it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod app;
mod control;
mod graph;
mod http;
mod login;
mod page;
mod scripts;
mod strict;
mod tokens;
