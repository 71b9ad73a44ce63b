//! Are the keys of a file known, and does this version have them?
//! Not here: their values; the table itself (see `keys`).

use std::collections::BTreeMap;

use super::keys::{Key, Status, keys};
use super::nearest::nearest;
use super::source::Problems;
use super::tree::{Entry, Table};

/// The table of keys as a tree.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    key: Option<&'static Key>,
    below: BTreeMap<&'static str, Self>,
}

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Main,
    Included,
}

impl Vocabulary {
    pub(super) fn new() -> Self {
        let mut root = Self::default();
        for key in keys() {
            root.put(key.path, key);
            if let Some(path) = key.path.strip_prefix("services.*.") {
                root.below.entry("defaults").or_default().put(path, key);
            }
        }
        root
    }

    /// Every key that is unknown, not available, or in the wrong file becomes a problem.
    pub(super) fn check(&self, file: &Table, role: Role, problems: &mut Problems) {
        for (name, entry) in &file.0 {
            if role == Role::Included && self.below.contains_key(name.as_str()) && !fits_included(name) {
                let help = "an included file holds `services`, and `defaults` for these services; all else belongs in the main file";
                problems.add_with_help(entry.key, format!("`{name}` in an included file"), help);
            } else {
                self.check_entry(name, entry, &mut Vec::new(), role, problems);
            }
        }
    }

    fn put(&mut self, path: &'static str, key: &'static Key) {
        let mut word = self;
        for segment in path.split('.') {
            word = word.below.entry(segment).or_default();
        }
        word.key = Some(key);
    }

    fn check_entry<'t>(
        &self,
        name: &'t str,
        entry: &'t Entry,
        path: &mut Vec<&'t str>,
        role: Role,
        problems: &mut Problems,
    ) {
        let Some(word) = self.below.get(name).or_else(|| self.below.get("*")) else {
            return self.unknown(name, entry, path, role, problems);
        };
        if let Some(Key { status: Status::NotYet, .. }) = word.key {
            problems.add(entry.key, format!("`{name}` is not available in this version"));
            return;
        }
        let in_list = entry.node.value.as_list().unwrap_or_default().iter().filter_map(|item| item.value.as_table());
        let tables: Vec<&Table> = entry.node.value.as_table().into_iter().chain(in_list).collect();
        if word.below.is_empty() {
            return;
        }
        path.push(name);
        for (name, entry) in tables.into_iter().flat_map(|table| &table.0) {
            word.check_entry(name, entry, path, role, problems);
        }
        path.pop();
    }

    fn unknown(&self, name: &str, entry: &Entry, path: &[&str], role: Role, problems: &mut Problems) {
        let message = match path {
            [] => format!("unknown key `{name}`"),
            path => format!("unknown key `{name}` in `{}`", path.join(".")),
        };
        if problems.has_room() {
            problems.add_with_help(entry.key, message, self.advice(name, entry, path, role));
        } else {
            problems.add(entry.key, message);
        }
    }

    fn advice(&self, name: &str, entry: &Entry, path: &[&str], role: Role) -> String {
        let here =
            || self.below.keys().copied().filter(|key| role == Role::Main || !path.is_empty() || fits_included(key));
        if let Some(meant) = nearest(name, here()) {
            return format!("did you mean `{meant}`?");
        }
        let homes = keys()
            .iter()
            .filter(|key| key.status == Status::Accepted && key.path.rsplit('.').next() == Some(name))
            .filter_map(|key| key.path.rsplit_once('.'));
        // What is a key of a service was meant to be one.
        let of_services = homes.clone().any(|(home, _)| home.starts_with("services"));
        let homes: Vec<String> = homes
            .filter(|(home, _)| !of_services || home.starts_with("services"))
            .map(|(home, _)| format!("`{}`", home.replace('*', "NAME")))
            .collect();
        if !homes.is_empty() {
            return format!("`{name}` is a key of {}", homes.join(", "));
        }
        if path.is_empty() && entry.node.value.as_table().is_some() {
            return format!("services are written as `[services.{name}]`");
        }
        format!("known are {}", here().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "))
    }
}

/// May an included file hold this, at its top?
fn fits_included(name: &str) -> bool {
    name == "services" || name == "defaults"
}
