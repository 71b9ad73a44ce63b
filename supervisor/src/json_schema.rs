//! A JSON Schema checker as strict as our own schemas are plain: it refuses keywords that it does not know, and
//! properties that no schema names.
//! Not here: schemas, documents; tests hold the one against the other.

use serde_json::{Map, Value};

/// What `value` breaks of `schema`; references lead into `root`.
pub(crate) fn broken(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Check { root, found: &mut found }.check(schema, value, "$");
    found
}

struct Check<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    fn fault(&mut self, at: &str, what: impl std::fmt::Display) {
        self.found.push(format!("{at}: {what}"));
    }

    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        let Some(schema) = schema.as_object() else {
            if schema != &Value::Bool(true) {
                self.fault(at, "nothing is allowed here");
            }
            return;
        };
        for (keyword, wanted) in schema {
            self.keyword(schema, keyword, wanted, value, at);
        }
    }

    fn keyword(&mut self, schema: &Map<String, Value>, keyword: &str, wanted: &Value, value: &Value, at: &str) {
        match keyword {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" | "additionalProperties" => {}
            "$ref" => match self.root.pointer(wanted.as_str().unwrap().trim_start_matches('#')) {
                Some(schema) => self.check(schema, value, at),
                None => self.fault(at, format!("{wanted} leads nowhere")),
            },
            "type" => {
                let kinds = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                if !kinds.iter().any(|kind| is(kind.as_str().unwrap(), value)) {
                    self.fault(at, format!("{value} is no {wanted}"));
                }
            }
            "enum" if wanted.as_array().unwrap().contains(value) => {}
            "const" if wanted == value => {}
            "enum" | "const" => self.fault(at, format!("{value} is none of {wanted}")),
            "anyOf" | "oneOf" => {
                let fits = |schema: &&Value| broken(self.root, schema, value).is_empty();
                let count = wanted.as_array().unwrap().iter().filter(fits).count();
                if count == 0 || (keyword == "oneOf" && count > 1) {
                    self.fault(at, format!("{value} fits {count} of {wanted}"));
                }
            }
            "allOf" => wanted.as_array().unwrap().iter().for_each(|schema| self.check(schema, value, at)),
            "minimum" if value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()) => {}
            "maximum" if value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()) => {}
            "minimum" | "maximum" => self.fault(at, format!("{value} is beyond the {keyword} {wanted}")),
            "required" => {
                for name in wanted.as_array().unwrap().iter().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        self.fault(at, format!("`{name}` is missing"));
                    }
                }
            }
            "properties" => self.properties(schema, wanted, value, at),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(wanted, item, &format!("{at}[{index}]"));
                }
            }
            "pattern" => {
                let pattern = regex_lite::Regex::new(wanted.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    self.fault(at, format!("{value} does not match {wanted}"));
                }
            }
            other => self.fault(at, format!("this checker does not know `{other}`")),
        }
    }

    fn properties(&mut self, schema: &Map<String, Value>, named: &Value, value: &Value, at: &str) {
        for (name, value) in value.as_object().into_iter().flatten() {
            match named.get(name).or(schema.get("additionalProperties")) {
                Some(schema) if schema != &Value::Bool(false) => self.check(schema, value, &format!("{at}.{name}")),
                Some(_) | None => self.fault(at, format!("`{name}` is described nowhere")),
            }
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let root: Value = serde_json::json!({ "defs": { "name": { "type": "string", "enum": ["a"] } } });
    let schema = serde_json::json!({
        "type": "object", "required": ["name", "count"],
        "properties": {
            "name": { "$ref": "#/defs/name" },
            "count": { "type": ["integer", "null"], "minimum": 0 },
            "all": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "type": "null" }] } },
        },
    });
    let count = |value| broken(&root, &schema, &value).len();
    assert_eq!(count(serde_json::json!({ "name": "a", "count": null, "all": ["x", null] })), 0);
    assert_eq!(count(serde_json::json!({ "name": "b", "count": -1 })), 2);
    assert_eq!(count(serde_json::json!({ "name": 1 })), 3);
    assert_eq!(count(serde_json::json!({ "name": "a", "count": 1, "more": 1, "all": [1] })), 2);
    assert_eq!(count(serde_json::json!([])), 1);
    assert_eq!(broken(&root, &serde_json::json!({ "not": {} }), &Value::Null).len(), 1);
}
