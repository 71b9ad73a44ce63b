//! What a request brings: a part of its path, its query, its body; each refused with what is wrong about it.
//! Not here: heads of requests (`access`), what is done with it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Query as Urlencoded;
use axum::http::uri::InvalidUri;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use supervisor_core::ServiceName;

use super::openapi::Schemas;
use super::problem::Problem;
use super::read::unknown_service;
use super::route::RawPath;
use super::words::Name;

const MAX_BODY: usize = 1024 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a handler gets.
#[derive(Debug)]
pub(crate) struct Input<P, Q = NoQuery, B = NoBody> {
    pub(crate) path: P,
    pub(crate) query: Q,
    pub(crate) body: B,
    pub(crate) headers: HeaderMap,
}

/// The part of a path that varies.
pub(crate) trait PathPart: Sized + Send + 'static {
    fn of(params: RawPath) -> Result<Self, Problem>;

    /// Its name and its schema.
    fn told(schemas: &mut Schemas) -> Option<(&'static str, Schema)>;
}

/// Nothing of the path varies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed;

impl PathPart for Fixed {
    fn of(_: RawPath) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn told(_: &mut Schemas) -> Option<(&'static str, Schema)> {
        None
    }
}

impl PathPart for ServiceName {
    fn of(params: RawPath) -> Result<Self, Problem> {
        let name = only(params)?;
        Self::new(&name).map_err(|_| unknown_service(&name))
    }

    fn told(schemas: &mut Schemas) -> Option<(&'static str, Schema)> {
        Some(("name", schemas.taken::<Name>()))
    }
}

/// The one part that varies, decoded.
pub(super) fn only(params: RawPath) -> Result<String, Problem> {
    let params = params.map_err(|_| Problem::new(StatusCode::NOT_FOUND, "this path is no text"))?;
    Ok(params.iter().next().map(|(_, value)| value.to_owned()).unwrap_or_default())
}

/// Parameters of a query. What is not among them is refused.
pub(crate) trait Query: DeserializeOwned + JsonSchema + Send + 'static {
    /// The one parameter that may be given several times.
    const SEVERAL: Option<&'static str> = None;

    /// What was given for that one, in its order.
    fn take_several(&mut self, _: Vec<String>) {}

    /// How much longer than others the request may take.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

impl Query for NoQuery {}

pub(super) fn query<Q: Query>(uri: &Uri) -> Result<Q, Problem> {
    let wrong = |detail: String| Problem::new(StatusCode::BAD_REQUEST, format!("the query: {detail}"));
    let (mut several, mut others) = (Vec::new(), form_urlencoded::Serializer::for_suffix("/?".to_owned(), 2));
    for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if Q::SEVERAL == Some(&*key) {
            several.push(value.into_owned());
        } else {
            others.append_pair(&key, &value);
        }
    }
    let others = others.finish().parse().map_err(|error: InvalidUri| wrong(error.to_string()))?;
    let Urlencoded(mut query) = Urlencoded::<Q>::try_from_uri(&others).map_err(|error| wrong(error.body_text()))?;
    query.take_several(several);
    Ok(query)
}

/// The body of a request.
pub(crate) trait RequestBody: Sized + Send + 'static {
    fn of(head: &HeaderMap, body: &Bytes) -> Result<Self, Problem>;

    fn told(schemas: &mut Schemas) -> Option<Schema>;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct NoBody;

impl RequestBody for NoBody {
    fn of(_: &HeaderMap, body: &Bytes) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self);
        }
        Err(Problem::new(StatusCode::BAD_REQUEST, "this takes no body; its options are in the query"))
    }

    fn told(_: &mut Schemas) -> Option<Schema> {
        None
    }
}

/// JSON. No body at all means all defaults.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + JsonSchema + Default + Send + 'static> RequestBody for Json<T> {
    fn of(headers: &HeaderMap, body: &Bytes) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if headers.get_all(header::CONTENT_TYPE).iter().any(|kind| !is_json(kind.as_bytes())) {
            let detail = "a body is JSON: send `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        // Serde would take the fields in their order, too.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the body: it is a list, not an object"));
        }
        serde_json::from_slice(body).map(Self).map_err(|error| {
            let status = match error.classify() {
                Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
                Category::Syntax | Category::Eof | Category::Io => StatusCode::BAD_REQUEST,
            };
            Problem::new(status, format!("the body: {error}"))
        })
    }

    fn told(schemas: &mut Schemas) -> Option<Schema> {
        Some(schemas.taken::<T>())
    }
}

fn is_json(kind: &[u8]) -> bool {
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

pub(super) async fn body<B: RequestBody>(headers: &HeaderMap, sent: Body) -> Result<B, Problem> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(sent, MAX_BODY).collect()).await;
    match collected {
        Ok(Ok(collected)) => B::of(headers, &collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a body is at most 1 MiB"))
        }
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s")),
    }
}
