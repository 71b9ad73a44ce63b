//! The schema as editors use it: the file in the repository, and every example held against it.
//! Not here: that it has every key (`config::schema`).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::schema;

const CHECKED_IN: &str = "docs/supervisor.schema.json";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn the_file_that_editors_read_is_in_step() {
    let text = std::fs::read_to_string(repository().join(CHECKED_IN)).unwrap_or_default();
    let file: Value = serde_json::from_str(&text).unwrap_or_default();
    assert!(file == schema(), "out of step: cargo run -p supervisor -- schema > {CHECKED_IN}");
    let shipped = std::fs::read_to_string(repository().join("supervisor.toml")).unwrap();
    assert_eq!(shipped.lines().next(), Some(format!("#:schema {CHECKED_IN}").as_str()), "the shipped file names it");
}

#[test]
fn every_example_of_the_repository_is_valid() {
    let mut examples = Vec::new();
    collect(&repository(), &mut examples);
    let of = |name: &str| examples.iter().filter(|(place, _)| place.starts_with(name)).count();
    assert!(of("supervisor.toml") == 1 && of("README.md") >= 2, "found {examples:?}");
    for (place, text) in examples {
        let document: toml::Table = text.parse().unwrap_or_else(|error| panic!("{place}: {error}\n{text}"));
        let errors = errors(&json!(document));
        assert!(errors.is_empty(), "{place}: {errors:#?}");
    }
}

/// Every TOML file with services, and every such block in a document.
fn collect(dir: &Path, examples: &mut Vec<(String, String)>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = path.strip_prefix(repository()).unwrap().display().to_string();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            collect(&path, examples);
        } else if name.ends_with(".toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            examples.extend(text.contains("[services").then_some((place, text)));
        } else if name.ends_with(".md") {
            let text = std::fs::read_to_string(&path).unwrap();
            let blocks = text.split("\n```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
            examples
                .extend(blocks.enumerate().map(|(n, block)| (format!("{place}, block {}", n + 1), block.to_owned())));
        }
    }
}

#[test]
fn mistakes_are_found_where_they_are() {
    for (text, place) in [
        ("[supervisor]\nnam = 'x'", "/supervisor: `nam`"),
        ("[services.a]\ncomand = 'x'", "/services/a: `comand`"),
        ("[services.a]\nautostart = 5", "/services/a/autostart"),
        ("[services.a.restart]\npolicy = 'sometimes'", "/services/a/restart/policy"),
        ("[services.a.stop]\ntimeout = '10 seconds'", "/services/a/stop/timeout"),
        ("[services.a.live.http]\nstatus = 'ok'", "/services/a/live/http"),
        ("[defaults]\nport = [1]", "/defaults/port"),
        ("[services.a.secrets.TOKEN]\nfiel = 'x'", "/services/a/secrets/TOKEN: `fiel`"),
        ("[[services]]\nname = 'a'", "/services"),
    ] {
        let document: toml::Table = text.parse().unwrap();
        let errors = errors(&json!(document));
        assert!(errors.iter().any(|error| error.starts_with(place)), "{text}: {errors:?}");
    }
}

fn errors(document: &Value) -> Vec<String> {
    let root = schema();
    let mut errors = Vec::new();
    check(&root, &root, document, "", &mut errors);
    errors
}

/// JSON Schema 2020-12, as far as ours uses it. Any other keyword is a panic, so that none is ignored.
fn check(root: &Value, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else {
        if *schema == json!(false) {
            errors.push(format!("{at}: not allowed"));
        }
        return;
    };
    for (keyword, rule) in rules {
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "properties" => continue,
            "$ref" => {
                let name = rule.as_str().and_then(|name| name.strip_prefix("#/$defs/")).unwrap();
                check(root, &root["$defs"][name], value, at, errors);
                true
            }
            "allOf" => {
                rule.as_array().unwrap().iter().for_each(|one| check(root, one, value, at, errors));
                true
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|one| {
                let mut found = Vec::new();
                check(root, one, value, at, &mut found);
                found.is_empty()
            }),
            "type" => words(rule).any(|word| is(value, word)),
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "pattern" => {
                let pattern = regex_lite::Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items.for_each(|(i, item)| check(root, rule, item, &format!("{at}/{i}"), errors));
                true
            }
            "additionalProperties" => {
                properties(root, rules, rule, value, at, errors);
                true
            }
            other => panic!("unknown keyword `{other}`"),
        };
        if !holds {
            errors.push(format!("{at}: {keyword} {rule}: {value}"));
        }
    }
}

fn properties(
    root: &Value,
    rules: &serde_json::Map<String, Value>,
    others: &Value,
    value: &Value,
    at: &str,
    errors: &mut Vec<String>,
) {
    for (name, value) in value.as_object().into_iter().flatten() {
        match rules.get("properties").and_then(|known| known.get(name)) {
            Some(schema) => check(root, schema, value, &format!("{at}/{name}"), errors),
            None if *others == json!(false) => errors.push(format!("{at}: `{name}` is unknown")),
            None => check(root, others, value, &format!("{at}/{name}"), errors),
        }
    }
}

fn words(rule: &Value) -> impl Iterator<Item = &str> {
    let several = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
    rule.as_str().into_iter().chain(several)
}

fn is(value: &Value, word: &str) -> bool {
    match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("unknown type `{other}`"),
    }
}
