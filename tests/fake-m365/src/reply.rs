//! An answer before it is on the wire.
//! Not here: what is answered.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::script::Canned;

#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: String,
}

impl Reply {
    fn new(status: StatusCode, kind: &str, body: String) -> Self {
        Self { status, headers: vec![(CONTENT_TYPE, kind.to_owned())], body }
    }

    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    pub(crate) fn text(status: StatusCode, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{body}\n"))
    }

    pub(crate) fn page(status: StatusCode, body: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", body).with(CACHE_CONTROL, "no-store, no-cache")
    }

    /// Entra redirects with 302.
    pub(crate) fn redirect(to: String) -> Self {
        Self { status: StatusCode::FOUND, headers: vec![(hyper::header::LOCATION, to)], body: String::new() }
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

impl From<Canned> for Reply {
    fn from(canned: Canned) -> Self {
        let status = StatusCode::from_u16(canned.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = canned.headers.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value)));
        Self { status, headers: headers.collect(), body: canned.body }
    }
}

/// Text that stands in a page as text.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
