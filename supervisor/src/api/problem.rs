//! Errors as RFC 9457 problem documents.
//! Not here: when they happen.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::document::{ProblemDocument, SCHEMA_VERSION};
use crate::config::Diagnostic;

pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// A longer path is not repeated.
const MAX_INSTANCE: usize = 256;

/// What went wrong, for the one who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    /// In seconds.
    retry_after: Option<u32>,
    /// What is wrong with a configuration.
    pub(crate) errors: Vec<Diagnostic>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, detail: detail.into(), retry_after, errors: Vec::new() }
    }

    /// It was asked too often; a second later it may be asked again.
    pub(crate) fn too_many(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// As it is sent, to one who asked for this path.
    pub(super) fn document(&self, path: &str) -> Vec<u8> {
        let document = ProblemDocument {
            schema_version: SCHEMA_VERSION,
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            instance: (!path.is_empty() && path.len() <= MAX_INSTANCE).then(|| path.to_owned()),
            errors: self.errors.clone(),
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

/// Puts the document into an answer that has none yet, because who made it did not know what was asked for.
pub(super) fn fill_in(response: &mut Response, path: &str) {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = problem.document(path).into();
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
