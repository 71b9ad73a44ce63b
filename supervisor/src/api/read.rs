//! Handlers that read. They have the latest documents and nothing else, so none of them can change anything.
//! Not here: logs.

use std::sync::{Arc, OnceLock};

use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use supervisor_core::{HealthStatus, ServiceName};

use super::answer::{Answer, Document, JSON, Told};
use super::document::{
    AliveDocument, HealthDocument, OneServiceDocument, SCHEMA_VERSION, ServiceDocument, ServicesDocument,
    ShortDocument, StatusDocument,
};
use super::input::{Fixed, Input, Query};
use super::openapi::{Description, Schemas, describe};
use super::problem::Problem;
use super::site::Reader;
use super::{render, routes};
use crate::control::View;
use crate::resources::Sample;

pub(super) async fn livez(_: Reader, _: Input<Fixed>) -> Result<Document<AliveDocument>, Problem> {
    Ok(Document::of(&AliveDocument { schema_version: SCHEMA_VERSION, status: super::document::Alive::Alive }))
}

/// The health, with the status code that a load balancer goes by.
pub(super) struct HealthAnswer {
    status: StatusCode,
    document: Document<HealthDocument>,
}

impl Answer for HealthAnswer {
    const KINDS: &'static [&'static str] = &[JSON];

    fn told(schemas: &mut Schemas) -> Vec<Told> {
        let mut told = |status, about| Told {
            status,
            about,
            headers: &[],
            content: vec![(JSON, schemas.given::<HealthDocument>())],
        };
        vec![
            told(StatusCode::OK, "every critical service is ready"),
            told(StatusCode::SERVICE_UNAVAILABLE, "a critical service is not ready, or all are about to end"),
        ]
    }

    fn respond(self) -> Response {
        self.document.with(self.status)
    }
}

pub(super) async fn health(reader: Reader, _: Input<Fixed>) -> Result<HealthAnswer, Problem> {
    let documents = reader.cache.latest();
    let status = match render::health_status(&documents.view) {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok(HealthAnswer { status, document: documents.health() })
}

pub(super) async fn short(reader: Reader, _: Input<Fixed>) -> Result<Document<ShortDocument>, Problem> {
    Ok(reader.cache.latest().short())
}

pub(super) async fn status(reader: Reader, input: Input<Fixed, Wanted>) -> Result<Document<StatusDocument>, Problem> {
    let documents = reader.cache.latest();
    let Some(sample) = sample(&reader, &documents.view, &input.query).await else { return Ok(documents.status()) };
    let mut document = render::status(&documents.view);
    add(&documents.view, &sample, &mut document.services);
    Ok(Document::of(&document))
}

pub(super) async fn services(
    reader: Reader,
    input: Input<Fixed, Wanted>,
) -> Result<Document<ServicesDocument>, Problem> {
    let documents = reader.cache.latest();
    let Some(sample) = sample(&reader, &documents.view, &input.query).await else { return Ok(documents.services()) };
    let mut document = render::services(&documents.view);
    add(&documents.view, &sample, &mut document.services);
    Ok(Document::of(&document))
}

pub(super) async fn service(
    reader: Reader,
    input: Input<ServiceName, Wanted>,
) -> Result<Document<OneServiceDocument>, Problem> {
    let documents = reader.cache.latest();
    let snapshot = documents.view.services.iter().find(|snapshot| snapshot.name == input.path);
    let snapshot = snapshot.ok_or_else(|| unknown_service(input.path.as_str()))?;
    let mut service = render::service(&documents.view, snapshot);
    if let Some(sample) = sample(&reader, &documents.view, &input.query).await {
        add(&documents.view, &sample, std::slice::from_mut(&mut service));
    }
    Ok(Document::of(&OneServiceDocument { schema_version: SCHEMA_VERSION, service }))
}

/// How much is to be told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    /// With what each service uses. Not by default: it costs a look at every process of the machine.
    resources: bool,
}

impl Query for Wanted {}

async fn sample(reader: &Reader, view: &Arc<View>, wanted: &Wanted) -> Option<Arc<Sample>> {
    if wanted.resources { reader.cache.instruments.sampler.latest(view).await } else { None }
}

fn add(view: &View, sample: &Sample, services: &mut [ServiceDocument]) {
    for service in services {
        service.resources = render::resources(view, sample, &service.name);
    }
}

pub(super) async fn openapi(_: Reader, _: Input<Fixed>) -> Result<Document<Description>, Problem> {
    static DESCRIPTION: OnceLock<Document<Description>> = OnceLock::new();
    Ok(DESCRIPTION.get_or_init(|| Document::of(&describe(&routes::all()))).clone())
}

/// A name that cannot be one is not repeated: who knows what reads our answers.
pub(super) fn unknown_service(name: &str) -> Problem {
    let detail = match ServiceName::new(name) {
        Ok(name) => format!("there is no service `{name}`; see /api/v1/services"),
        Err(error) => format!("this names no service: {error}"),
    };
    Problem::new(StatusCode::NOT_FOUND, detail)
}
