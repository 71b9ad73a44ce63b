//! The onenote service.
//! Not here: what it shares with the other MCP services.

use std::process::ExitCode;

use service_kit::mcp::{McpService, run};

fn main() -> ExitCode {
    run(McpService {
        name: "onenote",
        title: "OneNote",
        version: env!("CARGO_PKG_VERSION"),
        port: 8003,
        scopes: &["notes.read", "notes.write"],
    })
}
