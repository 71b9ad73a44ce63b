//! The onedrive service.
//! Not here: what it shares with the other MCP services.

use std::process::ExitCode;

use service_kit::mcp::{McpService, run};

fn main() -> ExitCode {
    run(McpService {
        name: "onedrive",
        title: "OneDrive",
        version: env!("CARGO_PKG_VERSION"),
        port: 8004,
        scopes: &["files.read", "files.write"],
    })
}
