//! A TOML text as a tree in which every key and value knows its place.
//! Not here: what the keys mean.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::{FileId, Problems, Sources, Span};

/// So many syntax errors of one file are told: those after the first few are mostly echoes.
const MAX_SYNTAX_ERRORS: usize = 10;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    Datetime,
    List(Vec<Node>),
    Table(Table),
}

#[derive(Debug, Default)]
pub(super) struct Table(pub(super) BTreeMap<String, Entry>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Span,
    pub(super) node: Node,
}

/// The tree of a text that was added to `sources`; `None` when it is no TOML, and then the problems say why.
pub(super) fn parse(file: FileId, sources: &Sources, problems: &mut Problems) -> Option<Table> {
    let (table, errors) = DeTable::parse_recoverable(&sources.of(file).text);
    let before = errors.len();
    for error in errors.into_iter().take(MAX_SYNTAX_ERRORS) {
        let span = Span::new(file, error.span().unwrap_or(0..0));
        problems.add(span, error.message());
    }
    if before > 0 {
        return None;
    }
    let mut out_of_range = Vec::new();
    let table = convert_table(file, table.into_inner(), &mut out_of_range);
    for span in &out_of_range {
        problems.add(*span, "this number is out of range");
    }
    out_of_range.is_empty().then_some(table)
}

impl Value {
    /// What it is called in a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Integer(_) => "integer",
            Self::Float(_) => "float",
            Self::Flag(_) => "boolean",
            Self::Datetime => "datetime",
            Self::List(_) => "array",
            Self::Table(_) => "table",
        }
    }
}

/// What it is, if it is that.
impl Value {
    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    pub(super) fn as_flag(&self) -> Option<bool> {
        if let Self::Flag(flag) = self { Some(*flag) } else { None }
    }

    pub(super) fn as_list(&self) -> Option<&[Node]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    pub(super) fn as_table(&self) -> Option<&Table> {
        if let Self::Table(table) = self { Some(table) } else { None }
    }

    /// Text, or an integer as text.
    pub(super) fn as_digits(&self) -> Option<Cow<'_, str>> {
        self.as_text().map(Cow::from).or_else(|| self.as_integer().map(|number| number.to_string().into()))
    }

    /// Text, or a number or boolean as text.
    pub(super) fn as_scalar(&self) -> Option<Cow<'_, str>> {
        let float = || if let Self::Float(number) = self { Some(number.to_string().into()) } else { None };
        let flag = || self.as_flag().map(|flag| flag.to_string().into());
        self.as_digits().or_else(float).or_else(flag)
    }
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    /// In the order of the file.
    pub(super) fn in_order(&self) -> Vec<(&String, &Entry)> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.key);
        entries
    }
}

fn convert_table(file: FileId, table: DeTable<'_>, out_of_range: &mut Vec<Span>) -> Table {
    let entries = table.into_iter().map(|(key, value)| {
        let at = Span::new(file, key.span());
        let node = convert(file, value, out_of_range);
        (key.into_inner().into_owned(), Entry { key: at, node })
    });
    Table(entries.collect())
}

/// Recursion ends: the parser refuses more than 80 levels.
fn convert(file: FileId, value: Spanned<DeValue<'_>>, out_of_range: &mut Vec<Span>) -> Node {
    let span = Span::new(file, value.span());
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                out_of_range.push(span);
                Value::Integer(0)
            }
        },
        // The parser has checked the form; a number too great becomes infinite, which no key takes.
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::INFINITY)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::List(items.into_iter().map(|item| convert(file, item, out_of_range)).collect()),
        DeValue::Table(table) => Value::Table(convert_table(file, table, out_of_range)),
    };
    Node { span, value }
}
