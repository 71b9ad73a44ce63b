//! Who may ask what.
//! Not here: what is answered.

use proptest::prelude::*;

use super::{Stand, TOKEN, bearer};
use crate::api::doors::is_insider;

const READS: [(&str, &str); 13] = [
    ("/", "status"),
    ("/livez", "health"),
    ("/health", "health"),
    ("/healthz", "health"),
    ("/readyz", "health"),
    ("/status", "status"),
    ("/openapi.json", "status"),
    ("/api/v1/operations", "status"),
    ("/api/v1/operations/1", "status"),
    ("/api/v1/status", "status"),
    ("/api/v1/services", "status"),
    ("/api/v1/services/alpha", "status"),
    ("/api/v1/services/alpha/logs", "never"),
];
const CHANGES: [&str; 7] = [
    "/api/v1/start",
    "/api/v1/stop",
    "/api/v1/restart",
    "/api/v1/services/alpha/start",
    "/api/v1/services/alpha/stop",
    "/api/v1/services/alpha/restart",
    "/api/v1/services/alpha/signal?signal=HUP",
];

fn with_host(stand: &Stand, host: &str) -> u16 {
    let request = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stand.raw(request).map_or(400, |answer| answer.status)
}

#[test]
fn only_names_that_are_ours_are_served() {
    let stand = Stand::with_http("allowed_hosts = ['box.example']");
    let port = stand.tcp.port();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "box.example", "Box.Example"] {
        assert_eq!(with_host(&stand, host), 200, "{host}");
        assert_eq!(with_host(&stand, &format!("{host}:{port}")), 200, "{host}");
    }
    assert_eq!(with_host(&stand, "box.example:443"), 200, "a proxy in front has its own port");
    for host in [
        "evil.example",
        "localhost.evil.com",
        "evil.localhost",
        "127.0.0.1.nip.io",
        "localhost.",
        "127.0.0.2",
        "127.1",
        "0.0.0.0",
        "[::]",
        "::1",
        "[::1",
        "user@localhost",
        "localhost:1",
        "localhost:",
        "localhost:+1",
        "localhost:99999",
        "",
    ] {
        assert_eq!(with_host(&stand, host), 421, "{host}");
        assert_eq!(with_host(&stand, &format!("{host}:{port}x")), 421, "{host}");
    }
}

#[test]
fn no_host_two_hosts_and_a_differing_target_are_refused_on_every_route() {
    let stand = Stand::new();
    let own = stand.tcp;
    let paths = READS.iter().map(|(path, _)| ("GET", *path)).chain(CHANGES.iter().map(|path| ("POST", *path)));
    for (method, path) in paths {
        let authorization = bearer(TOKEN);
        for head in [
            format!("{method} {path} HTTP/1.1\r\n"),
            format!("{method} {path} HTTP/1.1\r\nHost: {own}\r\nHost: {own}\r\n"),
            format!("{method} {path} HTTP/1.1\r\nHost: evil.example\r\n"),
            format!("{method} http://evil.example{path} HTTP/1.1\r\nHost: {own}\r\n"),
        ] {
            let answer = stand.raw(format!("{head}{authorization}\r\nConnection: close\r\n\r\n")).unwrap();
            assert_eq!(answer.status, 421, "{head}");
        }
    }
    let same = format!("GET http://{own}/health HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n");
    assert_eq!(stand.raw(same).unwrap().status, 200);
    assert!(stand.asked().is_empty());
}

#[test]
fn requests_of_web_pages_of_others_are_refused_even_with_the_token() {
    let stand = Stand::new();
    let authorization = bearer(TOKEN);
    let null = "Origin: null".to_owned();
    let neighbour = "Origin: http://localhost:3000".to_owned();
    let foreign = "Origin: https://evil.example".to_owned();
    let twice = format!("Origin: http://{}\r\nOrigin: http://evil.example", stand.tcp);
    for line in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: ",
        &null,
        &neighbour,
        &foreign,
        &twice,
    ] {
        for path in CHANGES {
            for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
                let kind = format!("Content-Type: {kind}");
                assert_eq!(stand.tcp("POST", path, &[line, &kind, &authorization]).status, 403, "{line} {path}");
            }
        }
        assert_eq!(stand.tcp("GET", "/health", &[line]).status, 403, "{line}");
    }
    assert!(stand.asked().is_empty());
    let own = format!("Origin: http://{}", stand.tcp);
    assert_eq!(stand.tcp("GET", "/health", &[&own, "Sec-Fetch-Site: same-origin"]).status, 200);
    assert_eq!(stand.tcp("GET", "/health", &["Sec-Fetch-Site: none"]).status, 200);
}

#[test]
fn a_preflight_is_answered_without_permission() {
    let stand = Stand::new();
    for path in ["/health", "/api/v1/stop", "/nothing"] {
        for lines in [&["Origin: https://evil.example", "Access-Control-Request-Method: POST"][..], &[]] {
            let answer = stand.tcp("OPTIONS", path, lines);
            assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")), "{answer:?}");
        }
    }
}

#[test]
fn a_change_over_tcp_needs_exactly_the_token() {
    let [mut longer, mut other] = [TOKEN.to_owned(), TOKEN.to_owned()];
    longer.push('0');
    other.replace_range(63.., "0");
    for path in CHANGES {
        let stand = Stand::new();
        assert_eq!(stand.tcp("POST", path, &[]).status, 401, "{path}");
        for token in ["", "x", &TOKEN[..63], &longer, &other, &TOKEN.to_uppercase()] {
            assert_eq!(stand.tcp("POST", path, &[&bearer(token)]).status, 401, "{token} {path}");
        }
        let basic = format!("Authorization: Basic {TOKEN}");
        assert_eq!(stand.tcp("POST", path, &[&basic]).status, 401);
        assert_eq!(stand.tcp("POST", path, &[&bearer(TOKEN), &bearer(TOKEN)]).status, 401, "twice is not once");
        assert!(stand.asked().is_empty());
        assert_eq!(stand.tcp("POST", path, &[&bearer(TOKEN)]).status, 202, "{path}");
        assert_eq!(stand.asked().len(), 1);
    }
}

#[test]
fn who_guesses_tokens_is_hung_up_on_and_who_has_the_right_one_is_served() {
    let stand = Stand::new();
    let path = CHANGES[0];
    let request = |token: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{}\r\nConnection: close\r\n\r\n", stand.tcp, bearer(token))
    };
    let began = std::time::Instant::now();
    let answered = (0..1000).filter_map(|_| stand.raw(request("wrong"))).map(|answer| assert_eq!(answer.status, 401));
    let answered = answered.count();
    let allowed = 20 + usize::try_from(began.elapsed().as_millis()).unwrap() / 100 + 1;
    assert!((20..=allowed).contains(&answered), "{answered} of 1,000 guesses were answered, {allowed} may be");
    assert_eq!(stand.raw(request(TOKEN)).unwrap().status, 202);
    assert_eq!(stand.tcp("POST", path, &[]).status, 401, "no token is no guess, and is told what it needs");
}

#[test]
fn only_open_groups_are_read_without_the_token() {
    for (open, groups) in
        [("[]", &[][..]), ("['health']", &["health"]), ("['health', 'status']", &["health", "status"])]
    {
        let stand = Stand::with_http(&format!("open = {open}"));
        for (path, group) in READS {
            let expected = if groups.contains(&group) { 200 } else { 401 };
            for method in ["GET", "HEAD"] {
                assert_eq!(stand.tcp(method, path, &[]).status, expected, "{open} {path}");
                assert_eq!(stand.tcp(method, path, &[&bearer(TOKEN)]).status, 200, "{open} {path}");
            }
        }
    }
}

#[test]
fn reading_methods_change_nothing() {
    let stand = Stand::new();
    for path in CHANGES {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH"] {
            let answer = stand.ask(method, path, "");
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("POST"), "{method} {path}");
            assert!(matches!(stand.tcp(method, path, &[&bearer(TOKEN)]).status, 405), "{method} {path}");
        }
    }
    for (path, _) in READS {
        let answer = stand.ask("POST", path, "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")), "{path}");
    }
    assert!(stand.asked().is_empty());
}

#[test]
fn the_unix_socket_is_for_its_owner_and_root() {
    for (peer, us, is) in [(0, 0, true), (0, 1000, true), (1000, 1000, true), (1001, 1000, false), (1000, 0, false)] {
        assert_eq!(is_insider(peer, us), is, "{peer} {us}");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn another_user_is_refused_even_where_the_modes_were_loosened() {
    const ROLE: &str = "API_TEST_STRANGER_SOCKET";
    if let Some(socket) = std::env::var_os(ROLE) {
        // This is the stranger.
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        std::io::Write::write_all(&mut stream, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        assert_eq!(super::answer(stream).unwrap().status, 403);
        return;
    }
    if !nix::unistd::Uid::effective().is_root() {
        println!(
            "skipped: another_user_is_refused_even_where_the_modes_were_loosened: needs root to become another user"
        );
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let stand = Stand::new();
    for path in [stand.dir.path().to_owned(), stand.socket()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    // The stranger may not be allowed where this program lies, so it gets its own.
    let program = stand.dir.path().join("stranger");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let done = std::process::Command::new(&program)
        .args(["--exact", "api::tests::access::another_user_is_refused_even_where_the_modes_were_loosened"])
        .env(ROLE, stand.socket())
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&done.stderr));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_other_host_is_ever_served(host in "[a-z0-9.:\\[\\]@-]{0,24}") {
        let stand = STAND.get_or_init(Stand::new);
        let port = stand.tcp.port();
        let ours = ["localhost", "127.0.0.1", "[::1]"];
        let is_ours = ours.iter().any(|name| host == *name || host == format!("{name}:{port}"));
        let status = with_host(stand, &host);
        prop_assert_eq!(status == 200, is_ours, "{}: {}", host, status);
    }
}

static STAND: std::sync::OnceLock<Stand> = std::sync::OnceLock::new();
