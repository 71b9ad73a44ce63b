//! What must stay between a client, a browser and the service: it is in no log, and in no file as it is.
//! Not here: answers; the tests of the service look at those.

use std::fs;
use std::path::{Path, PathBuf};

use crate::flow::{Flow, value};
use crate::stand::Stand;

/// Graph's tokens begin so at this tenant.
const GRAPH: &str = "fake-graph.";

#[test]
fn nothing_that_was_issued_is_in_a_log_or_a_file_as_it_is() {
    let mut stand = Stand::prepare("auto", |file| file);
    stand.stack.cli(&["start", "oauth"]).succeeded();
    let mut flow = Flow::register(&stand);
    let question = flow.ask();
    let login = flow.agree(&question);
    let back = flow.log_in(&login);
    let came = flow.come_back(&back);
    let first = flow.redeem(value(&came, "code"));
    let second = flow.refresh(first["refresh_token"].as_str().expect("there is one"));
    flow.refresh("mcp_rt_wrong");
    stand.stack.stop();

    let mut secrets = vec![question, flow.cookie.clone(), value(&came, "code").to_owned(), GRAPH.to_owned()];
    for tokens in [&first, &second] {
        let text = |name: &str| tokens[name].as_str().expect("it was issued").to_owned();
        secrets.extend([text("access_token"), text("refresh_token")]);
    }
    // Of Entra's: the state that went there, the code that came back.
    for address in [&login, &back] {
        let (_, query) = address.split_once('?').expect("it has parameters");
        let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        secrets.push(value(&parameters, "state").to_owned());
        secrets.extend(parameters.iter().filter(|(name, _)| name == "code").map(|(_, code)| code.clone()));
    }
    let files: Vec<_> = ["logs", "state", ".local"].iter().flat_map(|name| files(&stand.stack.path(name))).collect();
    assert!(files.iter().any(|file| file.ends_with("logs/oauth.log")), "{files:?}");
    let mut stored = false;
    for file in files {
        let bytes = fs::read(&file).expect("ours");
        let text = String::from_utf8_lossy(&bytes);
        stored |= text.contains(&flow.client);
        for secret in &secrets {
            // Also without the prefix that says what it is.
            let random = &secret[secret.len().saturating_sub(40)..];
            assert!(!text.contains(random), "{} holds {secret}", file.display());
        }
    }
    assert!(stored, "the client is in the database, so a secret would be found there, too");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
