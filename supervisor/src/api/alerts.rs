//! `POST /api/v1/alerts/test`: whether alerts arrive.
//! Not here: sending them (`crate::alerts`).

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::answer::Document;
use super::change::{AlertTestDocument, AlertTestEntry, AlertTestRequest};
use super::document::SCHEMA_VERSION;
use super::input::{Fixed, Input, Json, Query};
use super::problem::Problem;
use super::site::Actor;
use crate::alerts::{TEST_LIMIT, TestAsk, Tested};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestQuery {}

impl Query for TestQuery {
    fn patience(&self) -> Duration {
        TEST_LIMIT
    }
}

pub(super) async fn test(
    actor: Arc<Actor>,
    input: Input<Fixed, TestQuery, Json<AlertTestRequest>>,
) -> Result<Document<AlertTestDocument>, Problem> {
    let AlertTestRequest { alerts } = input.body.0;
    let known: Vec<String> = {
        let documents = actor.reader.cache.latest();
        documents.view.stack.alerts.iter().map(|alert| alert.name.clone()).collect()
    };
    if known.is_empty() {
        return Err(Problem::new(StatusCode::CONFLICT, "no `[[alerts]]` are configured"));
    }
    if alerts.iter().any(|name| !known.contains(name)) {
        let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no such alert; there are {known}")));
    }
    let unavailable =
        |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "alerts do not answer; see the supervisor's log");
    let (answer, answered) = oneshot::channel();
    actor.alert_tests.try_send(TestAsk { alerts, answer }).map_err(|error| unavailable(error.to_string()))?;
    let tested = answered.await.map_err(|error| unavailable(error.to_string()))?;
    let entry = |Tested { alert, error }| AlertTestEntry { name: alert, arrived: error.is_none(), error };
    let alerts = tested.into_iter().map(entry).collect();
    Ok(Document::of(&AlertTestDocument { schema_version: SCHEMA_VERSION, alerts }))
}
