//! The OAuth service as a process: what it says of itself, its sockets, its files, and what a kill leaves.
//! Not here: the flow (`tests/flow`); what every service does (`services/kit/tests`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../../../kit/tests/kit/child.rs"]
mod child;
#[path = "../../../kit/tests/kit/client.rs"]
mod client;
#[path = "../flow/entra.rs"]
#[allow(dead_code, reason = "the flow needs more of it")]
mod entra;
mod files;
mod itself;
#[path = "../flow/key.rs"]
mod key;
mod survival;
mod visitor;

use std::net::SocketAddr;

use child::{Child, Launch};

/// A launch on free ports, with data in the directory that it runs in.
fn oauth(data: &std::path::Path) -> Launch {
    Launch::of(env!("CARGO_BIN_EXE_oauth"), &[])
        .env("OAUTH_PORT", 0)
        .env("OAUTH_PRIVATE_PORT", 0)
        .env("OAUTH_DATA_DIR", data.display())
}

fn started(launch: Launch) -> Child {
    let child = launch.start();
    child.ready();
    child
}

/// The private socket.
fn private(child: &Child) -> SocketAddr {
    child.logged("ready")["private"].as_str().unwrap().parse().unwrap()
}
