//! The mail service.
//! Not here: what it shares with the other MCP services.

use std::process::ExitCode;

use service_kit::mcp::{McpService, run};

fn main() -> ExitCode {
    run(McpService {
        name: "mail",
        title: "Mail Query",
        version: env!("CARGO_PKG_VERSION"),
        port: 8002,
        scopes: &["mail.read", "mail.write", "mail.send"],
    })
}
