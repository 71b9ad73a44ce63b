//! A JSON Schema of `supervisor.toml`, made of the table of keys, so that editors complete and check the file.
//! Not here: rules that no schema can say; `load` knows them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::keys::{Key, Shape, Status, keys};

/// The schema of the main file, with what this version accepts.
pub(crate) fn schema() -> Value {
    let mut root = Level::default();
    for key in keys().iter().filter(|key| key.status == Status::Accepted) {
        root.put(key.path, key);
    }
    let service = root.below.get_mut("services").and_then(|services| services.below.remove("*")).unwrap_or_default();
    let service_ref = json!({ "$ref": "#/$defs/service" });
    let mut properties = root.properties();
    properties["services"]["additionalProperties"] = service_ref.clone();
    let doc = properties["defaults"]["description"].take();
    properties["defaults"] = json!({ "allOf": [service_ref], "description": doc });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "supervisor.toml",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "$defs": { "service": object(&service) },
    })
}

/// The table of keys as a tree.
#[derive(Debug, Default)]
struct Level {
    key: Option<&'static Key>,
    below: BTreeMap<&'static str, Self>,
}

impl Level {
    fn put(&mut self, path: &'static str, key: &'static Key) {
        let mut level = self;
        for segment in path.split('.') {
            level = level.below.entry(segment).or_default();
        }
        level.key = Some(key);
    }

    fn properties(&self) -> Map<String, Value> {
        let named = self.below.iter().filter(|(name, _)| **name != "*");
        named.map(|(name, level)| ((*name).to_owned(), level.described())).collect()
    }

    fn described(&self) -> Value {
        let Some(key) = self.key else { return object(self) };
        let mut value = form(key.shape, self);
        if let Value::Object(value) = &mut value {
            value.insert("description".to_owned(), json!(key.doc));
            if let Some(default) = default(key) {
                value.insert("default".to_owned(), default);
            }
        }
        value
    }
}

fn object(level: &Level) -> Value {
    let others = level.below.get("*").map_or(json!(false), Level::described);
    json!({ "type": "object", "properties": level.properties(), "additionalProperties": others })
}

fn form(shape: Shape, level: &Level) -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let text = json!({ "type": "string" });
    // Whatever it is, it may come from a variable.
    let interpolated = json!({ "type": "string", "pattern": "\\$\\{" });
    match shape {
        Shape::Table => object(level),
        Shape::Text => text,
        Shape::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Texts => texts,
        Shape::Tables => json!({ "type": "array", "items": object(level) }),
        Shape::TextOrTexts => json!({ "anyOf": [text, texts] }),
        Shape::TextOrTable => json!({ "anyOf": [text, object(level)] }),
        Shape::TextsOrTable => json!({ "anyOf": [texts, object(level)] }),
        Shape::Choice(words) => json!({ "anyOf": [{ "enum": words }, interpolated] }),
        Shape::Choices(words) => {
            json!({ "type": "array", "items": { "anyOf": [{ "enum": words }, interpolated] } })
        }
        Shape::Flag => json!({ "type": ["boolean", "string"] }),
        Shape::Count | Shape::Size => json!({ "type": ["integer", "string"] }),
        Shape::Counts => json!({ "type": "array", "items": { "type": ["integer", "string"] } }),
        Shape::Number => json!({ "type": ["number", "string"] }),
        Shape::Duration => json!({ "anyOf": [
            { "type": "string", "pattern": "^(0|([0-9]+(ms|s|m|h|d))+)$" }, { "const": 0 }, interpolated,
        ] }),
    }
}

/// The default of the table is TOML, and so a value of this document.
fn default(key: &Key) -> Option<Value> {
    let document: BTreeMap<String, Value> = toml::from_str(&format!("value = {}", key.default)).ok()?;
    document.into_values().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_key_is_in_the_schema_with_its_words_and_default() {
        let schema = schema();
        for key in keys().iter().filter(|key| key.status == Status::Accepted && key.path != "services.*") {
            let (mut at, path) = match key.path.strip_prefix("services.*.") {
                Some(path) => (&schema["$defs"]["service"], path),
                None => (&schema, key.path),
            };
            for segment in path.split('.') {
                let table = at["anyOf"].as_array().map_or(at, |forms| &forms[forms.len() - 1]);
                let table = if table["items"]["properties"].is_object() { &table["items"] } else { table };
                at = if segment == "*" { &table["additionalProperties"] } else { &table["properties"][segment] };
            }
            assert_eq!(at["description"], json!(key.doc), "{}", key.path);
            assert_eq!(at.get("default").is_some(), !key.default.is_empty(), "{}", key.path);
        }
        assert_eq!(schema["properties"]["services"]["additionalProperties"]["$ref"], json!("#/$defs/service"));
        assert_eq!(schema["properties"]["defaults"]["allOf"][0]["$ref"], json!("#/$defs/service"));
        assert_eq!(schema["$defs"]["service"]["properties"]["umask"]["default"], json!("022"));
        assert!(!schema.to_string().contains("gateway"));
    }
}
