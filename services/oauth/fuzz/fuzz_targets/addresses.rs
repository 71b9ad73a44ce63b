//! Redirect addresses and ids of clients: what is accepted means one thing, to us and to a browser.
//! Not here: whose they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oauth::document;
use oauth::redirect::{self, RedirectPolicy};

fuzz_target!(|texts: (&str, &str)| {
    let (one, other) = texts;
    let policy = RedirectPolicy { schemes: vec!["cursor".to_owned()], hosts: Vec::new() };
    if policy.check(one).is_ok() {
        assert!(one.is_ascii() && !one.contains(['#', ' ', '\\', '\n', '\r', '"', '<']), "{one}");
        let source = redirect::csp_source(one);
        assert!(!source.is_empty() && !source.contains([' ', ';', ',', '\'']), "{one}: {source}");
        let with = redirect::with_parameters(one, &[("code", other)]);
        assert!(with.starts_with(one) && with.is_ascii() && !with.contains(['#', '\n', '\r']), "{with}");
        // Nothing but the port may differ, and that on loopback only.
        if redirect::matches(one, other) && one != other {
            assert!(redirect::is_local(one) && redirect::is_local(other), "{one} {other}");
        }
    }
    if document::check_id(one).is_ok() {
        assert!(one.starts_with("https://"), "{one}");
        let _ = document::parse(other.as_bytes(), one, &policy);
    }
});
