//! How a service says by itself that it is ready: `ready.notify`, `ready.log`, `ready.fd`.
//! Not here: checks, which we make (`checks`); hearing what it says.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use regex::bytes::{Regex, RegexBuilder};
use supervisor_core::Sign;

use super::reader::Reader;
use super::section::Section;

/// 0 to 2 are taken; more than 255 is a slip of the pen.
const DESCRIPTORS: RangeInclusive<u32> = 3..=255;
/// What a pattern may need when it is compiled, and again while it is matched; in bytes. The library's own limit is ten
/// times that, for each of all services.
const PATTERN_BYTES: usize = 1 << 20;
/// A longer pattern is shown by its beginning; in characters.
const SHOWN_PATTERN: usize = 80;

/// What is to be heard of a service before it is ready.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// With each, what is missing without it.
    pub(super) wanted: BTreeMap<Sign, String>,
    /// The pattern of `ready.log`.
    pub(super) line: Option<String>,
    /// `ready.fd`.
    pub(super) descriptor: Option<u32>,
}

/// A pattern of `ready.log`: matched in time that is linear in the line, whatever it says.
pub(crate) fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).build()
}

/// The signs that `ready` asks for. `inherited` descriptors, from 3 on, are taken by sockets.
pub(super) fn signs(ready: &Section<'_>, inherited: u32, reader: &mut Reader<'_>) -> Signs {
    let mut signs = Signs::default();
    if reader.flag(ready, "notify", false) {
        signs.wanted.insert(Sign::Notify, "no READY=1".to_owned());
    }
    if let Some((pattern, shown)) = line(ready, reader) {
        signs.wanted.insert(Sign::Line, format!("no line of its output matches {shown}"));
        signs.line = Some(pattern);
    }
    if let Some(number) = descriptor(ready, inherited, reader) {
        signs.wanted.insert(Sign::Newline, format!("no newline on descriptor {number}"));
        signs.descriptor = Some(number);
    }
    signs
}

/// The pattern, and how it is shown.
fn line(ready: &Section<'_>, reader: &mut Reader<'_>) -> Option<(String, String)> {
    let node = ready.get("log")?;
    let Some(text) = node.value.as_text() else { return reader.wrong_type(node, "a regular expression") };
    let line = reader.parse(node.span, text, "a regular expression", |text| {
        pattern(text).map(|_| text.to_owned()).map_err(|error| why(&error))
    })?;
    // What was put in may be secret.
    let shown = if line == text { format!("`{}`", beginning(text)) } else { "`ready.log`".to_owned() };
    Some((line, shown)).filter(|(line, _)| !line.is_empty())
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(SHOWN_PATTERN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Without the drawing that shows the pattern again.
fn why(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn descriptor(ready: &Section<'_>, inherited: u32, reader: &mut Reader<'_>) -> Option<u32> {
    let node = ready.get("fd")?;
    let number = reader.integer(node, DESCRIPTORS)?;
    let free = DESCRIPTORS.start() + inherited;
    if number < free {
        let help = format!("take one from {free} on");
        reader.problems.add_with_help(node.span, format!("descriptor {number} is a socket that it inherits"), help);
    }
    Some(number)
}
