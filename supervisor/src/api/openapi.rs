//! The description of the API (OpenAPI 3.1), made from the table that the router is made from.
//! Not here: the table (`routes`).

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::access::Needs;
use super::answer::{JSON, Told};
use super::document::ProblemDocument;
use super::problem::PROBLEM_JSON;
use super::route::{Route, Shape};

/// Collects the schemas of all types that appear.
pub(crate) struct Schemas {
    given: SchemaGenerator,
    taken: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            given: settings().for_serialize().into_generator(),
            taken: settings().for_deserialize().into_generator(),
        }
    }

    /// Of what we send.
    pub(crate) fn given<T: JsonSchema>(&mut self) -> Schema {
        self.given.subschema_for::<T>()
    }

    /// Of what we are sent.
    pub(crate) fn taken<T: JsonSchema>(&mut self) -> Schema {
        self.taken.subschema_for::<T>()
    }

    /// Of what we are sent, in one piece.
    pub(crate) fn alone<T: JsonSchema>(&mut self) -> Schema {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        settings.for_deserialize().into_generator().into_root_schema_for::<T>()
    }

    fn all(mut self) -> Map<String, Value> {
        let mut all = self.taken.take_definitions(true);
        all.append(&mut self.given.take_definitions(true));
        all
    }
}

/// The description itself, as an answer.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Description(pub(crate) Value);

impl JsonSchema for Description {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OpenApi".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "required": ["openapi", "info", "paths"] })
    }
}

pub(crate) fn describe(routes: &[Route]) -> Description {
    let mut schemas = Schemas::new();
    let problem = schemas.given::<ProblemDocument>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation(route, &mut schemas));
    }
    Description(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "supervisor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Over the unix socket nothing else is needed. Over TCP, changes and logs need the token \
                            that lies in the runtime directory, and so does what `[http] open` does not name.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas.all(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": { "Problem": {
                "description": "what was wrong, and why (RFC 9457)",
                "content": { PROBLEM_JSON: { "schema": problem } },
            } },
        },
    }))
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let Shape { path, query, body, answers } = (route.shape)(schemas);
    let mut parameters: Vec<Value> = path
        .map(|(name, schema)| json!({ "name": name, "in": "path", "required": true, "schema": schema }))
        .into_iter()
        .collect();
    parameters.extend(in_query(&query));
    let security = match route.needs {
        Needs::Group(_) => json!([{}, { "token": [] }]),
        Needs::Token => json!([{ "token": [] }]),
    };
    let mut responses: Map<String, Value> = answers.into_iter().map(response).collect();
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    let mut operation = json!({
        "operationId": route.name, "summary": route.about, "security": security, "responses": responses,
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = body {
        operation["requestBody"] = json!({ "required": false, "content": { JSON: { "schema": schema } } });
    }
    operation
}

fn in_query(schema: &Schema) -> Vec<Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &String| required.is_some_and(|all| all.iter().any(|one| one == name));
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        without_null(&mut schema);
        let mut parameter = json!({ "name": name, "in": "query", "required": is_required(name), "schema": schema });
        if let Some(about) = about {
            parameter["description"] = about;
        }
        parameter
    };
    properties.into_iter().flatten().map(parameter).collect()
}

/// A parameter is there or not; it cannot be null. A number is one that our types can hold.
fn without_null(schema: &mut Value) {
    if schema["format"] == "uint" && schema.get("maximum").is_none() {
        schema["maximum"] = u64::MAX.into();
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.retain(|word| !word.is_null());
    }
    if schema["default"].is_null() {
        schema.as_object_mut().and_then(|schema| schema.remove("default"));
    }
    if let Some([kind, Value::String(_)]) = schema["type"].as_array().map(Vec::as_slice) {
        schema["type"] = kind.clone();
    }
    if let Some([of, _null]) = schema["anyOf"].as_array().map(Vec::as_slice) {
        *schema = of.clone();
    }
}

fn response(told: Told) -> (String, Value) {
    let Told { status, about, headers, content } = told;
    let content: Map<String, Value> =
        content.into_iter().map(|(kind, schema)| (kind.to_owned(), json!({ "schema": schema }))).collect();
    let mut response = json!({ "description": about, "content": content });
    for (name, about) in headers {
        response["headers"][*name] = json!({ "description": about, "schema": { "type": "string" } });
    }
    (status.as_u16().to_string(), response)
}
