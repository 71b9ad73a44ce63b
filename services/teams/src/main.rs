//! The teams service.
//! Not here: what it shares with the other MCP services.

use std::process::ExitCode;

use service_kit::mcp::{McpService, run};

fn main() -> ExitCode {
    run(McpService {
        name: "teams",
        title: "Teams",
        version: env!("CARGO_PKG_VERSION"),
        port: 8005,
        scopes: &["chats.read", "chats.send", "channels.read", "channels.send"],
    })
}
