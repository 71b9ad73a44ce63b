//! What people see in a browser, and what is not changed by it.
//! Not here: who may see it (`access`).

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::Stand;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn text(stand: &Stand, path: &str, lines: &[&str]) -> String {
    let answer = stand.tcp("GET", path, lines);
    assert_eq!(answer.status, 200, "{path}");
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn a_browser_gets_a_page_and_all_others_the_same_as_text() {
    let stand = Stand::new();
    let page = text(&stand, "/", &[BROWSER]);
    for said in [
        "<title>demo: degraded</title>",
        "<p class=\"bad\">the file as it is now is not in force: /f:3:7: this cannot be</p>",
        "<tr><td><a href=\"/api/v1/services/alpha\">alpha</a><td class=\"good\">running<td>4242<td>",
        "<a href=\"http://127.0.0.1:8001\" rel=\"noreferrer\">",
        "<td>http /health: 503; ready after 12ms",
        "beta</a><td class=\"busy\">backoff<td><td><td>1<td><td>exited with code 1",
        "<tr><td>GET<td><a href=\"/status\">/status</a><td>each service in a few words",
        "<tr><td>POST<td>/api/v1/stop<td>",
        "<tr><td>GET<td>/api/v1/services/{name}<td>one service",
        "<tr><td>GET<td>/api/v1/events<td>",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("<script"), "{page}");
    for lines in [&[][..], &["Accept: */*"], &["Accept: text/plain"]] {
        let plain = text(&stand, "/", lines);
        let file = "demo: degraded\n\nthe file as it is now is not in force: /f:3:7: this cannot be\n";
        assert!(
            plain.starts_with(&format!("{file}alpha  running     http /health: 503; ready after 12ms\n")),
            "{plain}"
        );
        assert!(plain.contains("\nbeta   backoff     exited with code 1\n"), "{plain}");
        assert!(plain.contains("\nGET   /status  ") && plain.contains("\nPOST  /api/v1/reload  "), "{plain}");
    }
    assert_eq!(stand.tcp("GET", "/", &["Accept: application/json"]).status, 406, "that is /status");
}

#[test]
fn the_page_may_load_nothing_and_be_styled_as_it_says_only() {
    let stand = Stand::new();
    let answer = stand.tcp("GET", "/", &[BROWSER]);
    let page = String::from_utf8(answer.body.clone()).unwrap();
    let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
    let hash = BASE64_STANDARD.encode(Sha256::digest(style));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(policy.ends_with(&format!("style-src 'sha256-{hash}'")), "{hash}: {policy}");
}

#[test]
fn words_of_others_are_no_markup_and_move_no_cursor() {
    let stand = Stand::new();
    stand.publish(|view| {
        let alpha = Arc::make_mut(&mut Arc::make_mut(&mut view.services)[0]);
        alpha.cause = "</table><img src='x' onerror=\"y\">&amp;\u{1b}[2J\u{202e}".to_owned();
        alpha.failing.clear();
    });
    let page = text(&stand, "/", &[BROWSER]);
    let shown = "<td>&lt;/table&gt;&lt;img src=&#39;x&#39; onerror=&quot;y&quot;&gt;&amp;amp;\u{fffd}[2J\u{fffd}\n";
    assert!(page.contains(shown), "{page}");
    let plain = text(&stand, "/", &[]);
    assert!(plain.contains("onerror=\"y\">&amp;\u{fffd}[2J\u{fffd}\n"), "{plain}");
}

#[test]
fn json_has_lines_for_a_browser_and_is_as_it_was_for_programs() {
    let stand = Stand::new();
    for path in ["/status", "/health", "/api/v1/status", "/openapi.json"] {
        let (browser, curl) = (stand.tcp("GET", path, &[BROWSER]), stand.tcp("GET", path, &["Accept: */*"]));
        assert_eq!(browser.header("content-type"), Some("application/json"));
        assert_eq!(browser.json(), curl.json(), "{path}");
        assert!(!curl.body.contains(&b'\n'), "{path}");
        let lines = String::from_utf8(browser.body).unwrap();
        assert!(lines.starts_with("{\n  \"") && lines.ends_with("\n}\n"), "{lines}");
        let head = stand.tcp("HEAD", path, &[BROWSER]);
        assert_eq!(head.header("content-length"), Some(lines.len().to_string().as_str()), "{path}");
    }
}
