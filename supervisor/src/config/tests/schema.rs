//! The schema as editors use it: the file in the repository, and every example held against it.
//! Not here: that it has every key (`config::schema`).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::schema;
use crate::json_schema::broken;

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
        ("[supervisor]\nnam = 'x'", "$.supervisor: `nam`"),
        ("[services.a]\ncomand = 'x'", "$.services.a: `comand`"),
        ("[services.a]\nautostart = 5", "$.services.a.autostart"),
        ("[services.a.restart]\npolicy = 'sometimes'", "$.services.a.restart.policy"),
        ("[services.a.stop]\ntimeout = '10 seconds'", "$.services.a.stop.timeout"),
        ("[services.a.live.http]\nstatus = 'ok'", "$.services.a.live.http"),
        ("[defaults]\nport = [1]", "$.defaults.port"),
        ("[services.a.secrets.TOKEN]\nfiel = 'x'", "$.services.a.secrets.TOKEN: `fiel`"),
        ("[[services]]\nname = 'a'", "$.services"),
    ] {
        let document: toml::Table = text.parse().unwrap();
        let errors = errors(&json!(document));
        assert!(errors.iter().any(|error| error.starts_with(place)), "{text}: {errors:?}");
    }
}

fn errors(document: &Value) -> Vec<String> {
    let schema = schema();
    broken(&schema, &schema, document)
}
