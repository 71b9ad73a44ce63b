//! A request, read to its end.
//! Not here: what is answered.

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName};
use hyper::{Method, Uri};

use crate::graph;
use crate::journal::Entry;
use crate::parameters::Parameters;
use crate::script::Place;

const FORM: &str = "application/x-www-form-urlencoded";

/// Shown in the log as they are.
const HARMLESS: &[&str] = &["accept", "client-request-id", "content-type", "origin", "prefer", "range", "user-agent"];

pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Parameters,
    pub(crate) form: Parameters,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Its number in the log.
    pub(crate) number: u64,
}

impl Call {
    pub(crate) fn new(method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> Self {
        let query = Parameters::parse(uri.query().unwrap_or_default().as_bytes());
        let mut call =
            Self { method, path: uri.path().to_owned(), query, form: Parameters::default(), headers, body, number: 0 };
        if call.is_form() {
            call.form = Parameters::parse(&call.body);
        }
        call
    }

    pub(crate) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into())?.to_str().ok()
    }

    pub(crate) fn is_form(&self) -> bool {
        self.header(CONTENT_TYPE).is_some_and(|kind| kind.split(';').next().unwrap_or("").trim() == FORM)
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.header(COOKIE)?.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The path without its slashes.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.trim_start_matches('/').split('/').collect()
    }

    /// Where scripts can step in.
    pub(crate) fn place(&self) -> Option<Place> {
        match self.segments().as_slice() {
            [graph::VERSION, ..] => Some(Place::Graph),
            [_, "v2.0", ".well-known", "openid-configuration"] => Some(Place::Discovery),
            [_, "discovery", "v2.0", "keys"] => Some(Place::Keys),
            [_, "oauth2", "v2.0", "authorize"] => Some(Place::Authorize),
            [_, "oauth2", "v2.0", "token"] if self.form.value("grant_type") == Some("refresh_token") => {
                Some(Place::Refresh)
            }
            [_, "oauth2", "v2.0", "token"] => Some(Place::Redeem),
            _ => None,
        }
    }

    /// For the log.
    pub(crate) fn entry(&self) -> Entry {
        let shown = |name: &HeaderName| HARMLESS.contains(&name.as_str());
        let mut headers: std::collections::BTreeMap<String, String> = self
            .headers
            .iter()
            .filter(|(name, _)| shown(name))
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        if let Some(value) = self.header(AUTHORIZATION) {
            let scheme = value.split(' ').next().unwrap_or_default();
            headers.insert(AUTHORIZATION.to_string(), format!("{scheme} [{} characters]", value.len()));
        }
        Entry {
            number: 0,
            method: self.method.to_string(),
            path: self.path.clone(),
            query: self.query.redacted(|name| name.starts_with('$')),
            form: self.form.redacted(|_| false),
            headers,
            status: None,
        }
    }
}
