//! A table as one service sees it: its own entries over those of `[defaults]`.
//! Not here: reading values.

use std::collections::BTreeMap;

use super::source::Problems;
use super::tree::{Entry, Node, Table, Value};

/// Tables laid over each other, the topmost first: a key's value is that of the topmost table that has it; values that
/// are tables are laid over each other in turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Section<'t> {
    layers: Vec<&'t Table>,
}

impl<'t> Section<'t> {
    pub(super) fn new(layers: impl IntoIterator<Item = &'t Table>) -> Self {
        Self { layers: layers.into_iter().collect() }
    }

    /// With `other` below all that is here.
    pub(super) fn over(mut self, other: &Self) -> Self {
        self.layers.extend(&other.layers);
        self
    }

    /// The topmost first.
    pub(super) fn layers(&self) -> &[&'t Table] {
        &self.layers
    }

    pub(super) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The tables under `key`. What stands there and is no table becomes a problem.
    pub(super) fn table(&self, key: &str, problems: &mut Problems) -> Self {
        if let Some(node) = self.get(key)
            && !matches!(node.value, Value::Table(_))
        {
            problems.add(node.span, format!("expected a table, found {}", node.value.kind()));
        }
        self.table_if_any(key)
    }

    /// The tables under `key`, down to the first layer where something else stands there.
    pub(super) fn table_if_any(&self, key: &str) -> Self {
        let mut layers = Vec::new();
        for layer in &self.layers {
            match layer.get(key).map(|entry| &entry.node.value) {
                Some(Value::Table(table)) => layers.push(table),
                Some(_) => break,
                None => {}
            }
        }
        Self { layers }
    }

    /// Every key with its topmost entry, in the order of the keys.
    pub(super) fn entries(&self) -> BTreeMap<&'t str, &'t Entry> {
        let mut entries = BTreeMap::new();
        for layer in self.layers.iter().rev() {
            entries.extend(layer.0.iter().map(|(key, entry)| (key.as_str(), entry)));
        }
        entries
    }

    fn entry(&self, key: &str) -> Option<&'t Entry> {
        self.layers.iter().find_map(|layer| layer.get(key))
    }
}
