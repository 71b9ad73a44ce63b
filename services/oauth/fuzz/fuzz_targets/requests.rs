//! Bodies, queries and tokens: whatever comes, the answer is a value or a refusal.
//! Not here: addresses (`addresses`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use oauth::catalog::{Scopes, Service};
use oauth::form::Form;
use oauth::grants::RefreshToken;
use oauth::redirect::RedirectPolicy;
use oauth::register;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(form) = Form::parse(bytes, &["scope"]) {
        assert!(form.get("client_id").is_none_or(|value| !value.is_empty()));
        assert!(form.all("scope").len() <= 50);
    }
    if let Ok(checked) = register::check(bytes, &RedirectPolicy::default()) {
        assert!((1..=10).contains(&checked.redirect_uris.len()));
        assert!(checked.name.chars().count() <= 80 && !checked.name.chars().any(char::is_control), "{}", checked.name);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = RefreshToken::parse(text);
    for service in Service::ALL {
        if let Ok(scopes) = Scopes::parse(service, text) {
            assert_eq!(Scopes::parse(service, &scopes.to_string()).ok().as_ref(), Some(&scopes));
        }
    }
});
