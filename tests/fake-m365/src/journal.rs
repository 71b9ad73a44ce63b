//! What was asked, without its secrets, and which rules were broken.
//! Not here: the rules themselves; each is looked at where it applies.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// The oldest requests are forgotten beyond this.
const MOST: usize = 10_000;

/// A rule that a client must keep with Entra or Graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The application is registered.
    KnownClient,
    /// The redirect URI is exactly a registered one; with the code, exactly that of the login.
    ExactRedirectUri,
    /// `response_type=code`, answered in the query.
    CodeInQuery,
    /// A challenge goes with the login and its verifier with the code (RFC 7636).
    Pkce,
    /// The challenge is hashed.
    PkceS256,
    /// The login carries a state.
    State,
    /// The login carries a nonce when an ID token is asked for.
    Nonce,
    /// Scopes are given, and exist.
    Scope,
    /// `resource` belongs to version 1; with `scope` it fails (AADSTS9010010).
    NoResource,
    /// No parameter is given twice (AADSTS9000411).
    NoRepetition,
    /// Every parameter is one that Entra or Graph knows.
    KnownParameter,
    /// `prompt` is one of those that exist.
    Prompt,
    /// Forms are sent as forms, and by POST.
    Form,
    /// Secrets are in no query.
    NothingInQuery,
    /// The client proves who it is, once and rightly.
    ClientSecret,
    /// A code is used once.
    CodeOnce,
    /// Codes, refresh tokens and access tokens are such that were issued here, to this client.
    IssuedHere,
    /// The path exists.
    KnownPath,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How. Secrets do not appear.
    pub detail: String,
    /// The number of the request in the log.
    pub request: u64,
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Counted from 1.
    pub number: u64,
    /// `GET`, `POST` …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Query parameters; of those that may be secret only the length.
    pub query: BTreeMap<String, String>,
    /// Form parameters, in the same way.
    pub form: BTreeMap<String, String>,
    /// A few harmless headers; of `authorization` the scheme.
    pub headers: BTreeMap<String, String>,
    /// The status of the answer; none when the connection was ended instead.
    pub status: Option<u16>,
}

#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    violations: Vec<Violation>,
    last: u64,
}

impl Journal {
    pub(crate) fn begin(&mut self, entry: Entry) -> u64 {
        self.last += 1;
        self.entries.push_back(Entry { number: self.last, ..entry });
        if self.entries.len() > MOST {
            self.entries.pop_front();
        }
        self.last
    }

    pub(crate) fn end(&mut self, number: u64, status: u16) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.number == number) {
            entry.status = Some(status);
        }
    }

    pub(crate) fn violated(&mut self, rule: Rule, detail: impl Into<String>, request: u64) {
        if self.violations.len() < MOST {
            self.violations.push(Violation { rule, detail: detail.into(), request });
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().cloned().collect()
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }
}
