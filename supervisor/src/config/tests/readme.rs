//! The README's table of the configuration, held against the one table of keys.
//! Not here: that its examples are valid (`schema`), commands.

use std::path::Path;

use crate::config::keys::{Key, Status, keys};

/// The block of the README that shows every key.
fn shown() -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, rest) = readme.split_once("\n## Configuration\n").unwrap();
    let (_, rest) = rest.split_once("\n```toml\n").unwrap();
    rest.split_once("\n```\n").unwrap().0.to_owned()
}

/// As the README writes it: what is said of all logs, and of one check, is not said again for those of one service and for
/// the other check.
fn place(key: &Key) -> String {
    const AS: [(&str, &str); 2] = [("services.*.log.", "logs."), ("services.*.live.http.", "services.*.ready.http.")];
    let said = |(one, as_other)| Some(format!("{as_other}{}", key.path.strip_prefix(one)?));
    AS.into_iter().find_map(said).unwrap_or_else(|| key.path.to_owned()).replace('*', "NAME")
}

/// Each table with its lines, by its name; what comes before the first has none.
fn sections(block: &str) -> Vec<(String, Vec<&str>)> {
    let mut sections = vec![(String::new(), Vec::new())];
    for line in block.lines() {
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            sections.push((title.trim_start_matches('[').to_owned(), Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line);
        }
    }
    sections
}

fn accepted() -> impl Iterator<Item = &'static Key> {
    keys().iter().filter(|key| key.status == Status::Accepted)
}

/// Given in the table that it belongs to: as `key = …`, or, when it belongs to a value there, by its name.
fn is_shown(key: &Key, block: &str) -> bool {
    let place = place(key);
    let sections = sections(block);
    let is_table = |title: &String| title == &place || title.starts_with(&format!("{place}."));
    if sections.iter().any(|(title, _)| is_table(title)) || block.contains(&format!("[{place}]")) {
        return true;
    }
    let home = |title: &str| title.is_empty() || place.starts_with(&format!("{title}."));
    let (title, lines) = sections.iter().filter(|(title, _)| home(title)).max_by_key(|(title, _)| title.len()).unwrap();
    let below = place.strip_prefix(title.as_str()).unwrap().trim_start_matches('.');
    let word = |line: &str, name: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
    match below.rsplit_once('.') {
        None => lines.iter().any(|line| {
            let told = line.trim_start_matches("# ").split(" · ");
            told.into_iter().any(|one| one.strip_prefix(below).is_some_and(|rest| rest.starts_with(" =")))
        }),
        Some((_, "NAME")) => true,
        Some((_, name)) => lines.iter().any(|line| word(line, name)),
    }
}

#[test]
fn the_readme_shows_every_key_where_it_belongs() {
    let block = shown();
    let missing: Vec<&str> = accepted().filter(|key| !is_shown(key, &block)).map(|key| key.path).collect();
    assert!(missing.is_empty(), "not shown: {missing:#?}");
    let invented = Key { path: "http.name", ..keys()[0] };
    assert!(!is_shown(&invented, &block), "a name elsewhere is no such key");
}

#[test]
fn the_readme_shows_defaults_as_they_are() {
    let block = shown();
    let all: toml::Table = block.parse().unwrap();
    let all = toml::Value::Table(all);
    let mut compared = 0;
    for key in accepted().filter(|key| !["", "\"\"", "[]", "{}"].contains(&key.default)) {
        // Of `[[…]]` the first.
        let step = |value: &toml::Value, name: &str| value.get(0).unwrap_or(value).get(name).cloned();
        let Some(told) = place(key).split('.').try_fold(all.clone(), |value, name| step(&value, name)) else {
            continue;
        };
        let default: toml::Table = format!("x = {}", key.default).parse().unwrap();
        let zero = |value: &toml::Value| value.to_string().replace("\"0s\"", "\"0\"");
        assert_eq!(zero(&told), zero(&default["x"]), "{}", key.path);
        compared += 1;
    }
    assert!(compared > 50, "only {compared} were compared");
}
