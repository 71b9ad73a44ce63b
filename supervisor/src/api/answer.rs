//! What a handler answers with, and how that is told in the API's description.
//! Not here: errors (`problem`), what is in the documents (`document`).

use std::marker::PhantomData;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use schemars::{JsonSchema, Schema};
use serde::Serialize;

use super::openapi::Schemas;
use super::problem::Problem;

pub(super) const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html";

/// One way in which a route answers.
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) about: &'static str,
    /// Header names, and what they say.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// Media types and schemas.
    pub(crate) content: Vec<(&'static str, Schema)>,
}

pub(crate) trait Answer: Send + 'static {
    /// Its media types.
    const KINDS: &'static [&'static str];

    fn told(schemas: &mut Schemas) -> Vec<Told>;

    fn respond(self) -> Response;
}

/// A `T` as JSON, already serialised. Cheap to clone.
pub(crate) struct Document<T> {
    bytes: Bytes,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize> Document<T> {
    /// Serialising our own documents cannot fail: no map has a key that is no text, and nothing is written but memory.
    pub(crate) fn of(document: &T) -> Self {
        Self { bytes: serde_json::to_vec(document).unwrap_or_default().into(), of: PhantomData }
    }

    pub(super) fn with(self, status: StatusCode) -> Response {
        let mut response = (status, self.bytes).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        response
    }
}

impl<T> Clone for Document<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), of: PhantomData }
    }
}

impl<T> std::ops::Deref for Document<T> {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl<T> std::fmt::Debug for Document<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} bytes)", self.bytes.len())
    }
}

impl<T: Serialize + JsonSchema + 'static> Answer for Document<T> {
    const KINDS: &'static [&'static str] = &[JSON];

    fn told(schemas: &mut Schemas) -> Vec<Told> {
        let content = vec![(JSON, schemas.given::<T>())];
        vec![Told { status: StatusCode::OK, about: "as it is now", headers: &[], content }]
    }

    fn respond(self) -> Response {
        self.with(StatusCode::OK)
    }
}

/// Refuses when the client says what it takes, and we have none of that.
pub(super) fn acceptable(headers: &HeaderMap, kinds: &[&str]) -> Result<(), Problem> {
    let mut ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if ranges.peek().is_none() || ranges.any(|value| value.split(',').any(|range| covers(range, kinds))) {
        return Ok(());
    }
    let detail = format!("this is answered as {}; ask for that with Accept", kinds.join(" or "));
    Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail))
}

/// The client asks for this by name, and not only for whatever there is.
pub(super) fn names(headers: &HeaderMap, kind: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| !range.trim_start().starts_with('*') && !range.contains("/*") && covers(range, &[kind]))
}

fn covers(range: &str, kinds: &[&str]) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let refused = parts.any(|part| {
        part.strip_prefix("q=").is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0))
    });
    let covered = |known: &&str| {
        kind == "*/*"
            || kind.eq_ignore_ascii_case(known)
            || kind
                .strip_suffix("/*")
                .is_some_and(|group| known.split('/').next().is_some_and(|of| of.eq_ignore_ascii_case(group)))
    };
    !refused && kinds.iter().any(covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_takes_is_compared_with_what_there_is() {
        for (accept, is) in [
            ("*/*", true),
            ("application/*", true),
            ("text/html, APPLICATION/JSON;q=0.1", true),
            ("application/json; charset=utf-8", true),
            ("text/html", false),
            ("text/*", false),
            ("application/json;q=0", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(acceptable(&headers, &[JSON]).is_ok(), is, "{accept}");
        }
        assert!(acceptable(&HeaderMap::new(), &[JSON]).is_ok());
    }

    #[test]
    fn what_is_asked_for_by_name_is_told_from_what_is_only_taken() {
        for (accept, is) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/json, TEXT/HTML;q=0.1", true),
            ("text/html;q=0", false),
            ("text/*", false),
            ("*/*", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(names(&headers, HTML), is, "{accept}");
        }
        assert!(!names(&HeaderMap::new(), HTML));
    }
}
