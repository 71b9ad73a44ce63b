//! The onedrive service from outside.
//! Not here: what it shares with others; `services/kit/tests` says that.

#[path = "../../kit/tests/kit/child.rs"]
mod child;
#[path = "../../kit/tests/kit/client.rs"]
mod client;
#[path = "../../kit/tests/kit/mcp_service.rs"]
mod mcp_service;

#[test]
fn its_documents_are_served_and_what_is_not_built_says_so() {
    mcp_service::keeps_its_promises(
        env!("CARGO_BIN_EXE_onedrive"),
        "onedrive",
        "OneDrive",
        &["files.read", "files.write"],
    );
}
