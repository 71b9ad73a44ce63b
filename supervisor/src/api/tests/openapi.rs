//! The description of the API is whole, and true.
//! Not here: the schema checker (`schema`).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::{Answer, Stand, TOKEN, bearer};
use crate::json_schema::broken;

fn described(stand: &Stand) -> Value {
    stand.ask("GET", "/openapi.json", "").json()
}

/// Path, method, operation.
fn operations(api: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = api["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value} is no object")).keys().map(String::as_str).collect()
}

fn only(value: &Value, required: &[&str], optional: &[&str]) {
    let found = keys(value);
    assert!(required.iter().all(|key| found.contains(key)), "{required:?}: {value}");
    let known: BTreeSet<&str> = required.iter().chain(optional).copied().collect();
    assert!(found.is_subset(&known), "{found:?}");
}

/// Every reference leads somewhere.
fn references(api: &Value, value: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(to) = map.get("$ref") {
                let to = to.as_str().unwrap().strip_prefix('#').unwrap();
                assert!(api.pointer(to).is_some(), "{to} leads nowhere");
            }
            map.values().for_each(|value| references(api, value));
        }
        Value::Array(all) => all.iter().for_each(|value| references(api, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_description_is_a_whole_openapi_document() {
    let stand = Stand::new();
    let api = described(&stand);
    only(&api, &["openapi", "info", "servers", "paths", "components"], &[]);
    assert_eq!(api["openapi"], "3.1.0");
    only(&api["info"], &["title", "version", "description"], &[]);
    only(&api["components"], &["schemas", "securitySchemes", "responses"], &[]);
    references(&api, &api);
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&api) {
        assert!(path.starts_with('/') && matches!(method, "get" | "post"), "{method} {path}");
        only(operation, &["operationId", "summary", "security", "responses"], &["parameters", "requestBody"]);
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{operation}");
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none);
        let in_path: BTreeSet<String> =
            path.split('{').skip(1).map(|part| part[..part.find('}').unwrap()].to_owned()).collect();
        let mut told = BTreeSet::new();
        for parameter in parameters {
            only(parameter, &["name", "in", "required", "schema"], &["description"]);
            if parameter["in"] == "path" {
                assert_eq!(parameter["required"], true);
                told.insert(parameter["name"].as_str().unwrap().to_owned());
            } else {
                assert_eq!(parameter["in"], "query");
                assert!(parameter["schema"].get("type").is_none_or(Value::is_string), "{parameter}");
                assert!(!parameter["schema"].to_string().contains("null"), "no text is null: {parameter}");
            }
        }
        assert_eq!(told, in_path, "{path}");
        assert!(keys(&operation["responses"]).contains("default"), "{path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(status == "default" || status.parse().is_ok_and(|status: u16| (200..600).contains(&status)));
            assert!(response.get("$ref").is_some() || response["description"].is_string(), "{response}");
        }
    }
}

/// What the description says to an answer.
fn check(api: &Value, path: &str, method: &str, answer: &Answer) {
    let what = format!("{method} {path}: {}", answer.status);
    let operation = &api["paths"][path][method.to_ascii_lowercase()];
    let responses = &operation["responses"];
    let response = responses.get(answer.status.to_string()).unwrap_or(&responses["default"]);
    let response = match response.get("$ref") {
        Some(to) => api.pointer(to.as_str().unwrap().trim_start_matches('#')).unwrap(),
        None => response,
    };
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("cache-control", "no-store"), ("x-frame-options", "DENY")]
    {
        assert_eq!(answer.header(name), Some(value), "{what}");
    }
    assert!(answer.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));
    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")), "{what}");
    let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
    let schema = response["content"].get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not described"));
    for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name.to_ascii_lowercase()) {
        assert!(answer.header(&name).is_some(), "{what}: {name} is missing");
    }
    if kind.ends_with("json") {
        let faults = broken(api, &schema["schema"], &answer.json());
        assert!(faults.is_empty(), "{what}: {faults:#?}\n{}", answer.json());
    }
}

#[test]
fn every_answer_of_every_route_is_as_it_is_described() {
    let stand = Stand::new();
    let api = described(&stand);
    std::fs::create_dir(stand.dir.path().join("logs")).unwrap();
    std::fs::write(stand.dir.path().join("logs/alpha.log"), "said\n").unwrap();
    let mut all = operations(&api);
    // First those that read, of which nothing may come.
    all.sort_by_key(|(_, method, _)| *method);
    for (path, method, _) in all {
        let method = method.to_ascii_uppercase();
        let (mut good, mut bad) = (0, 0);
        for name in ["alpha", "beta", "ghost", "late", "-"] {
            for query in ["", "?signal=HUP", "?x=1"] {
                let at = path.replace("{name}", name).replace("{id}", "1") + query;
                // Changes come no faster than they are taken.
                std::thread::sleep(Duration::from_millis(if method == "POST" { 51 } else { 0 }));
                let answer = stand.ask(&method, &at, "");
                check(&api, path, &method, &answer);
                *(if answer.status < 300 { &mut good } else { &mut bad }) += 1;
            }
        }
        assert!(good > 0 && bad > 0, "{method} {path}: {good} good, {bad} bad answers");
        assert!(method == "POST" || stand.asked().is_empty(), "{path} changes something: {:?}", stand.asked());
        for line in ["Origin: null", &bearer("x"), &bearer(TOKEN)] {
            check(&api, path, &method, &stand.tcp(&method, &path.replace("{name}", "-").replace("{id}", "-"), &[line]));
        }
    }
}
