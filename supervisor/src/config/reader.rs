//! Values by type: expanded, parsed, checked, and if not good, explained at their place.
//! Not here: which key has which type.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use supervisor_core::Millis;

use super::expand::{Scope, expand, expand_own_only};
use super::model::Template;
use super::quantity;
use super::section::Section;
use super::source::{Problems, Sources, Span};
use super::tree::Node;
use super::words::{self, OfShell};

/// Reads values in one scope. A value that is not good becomes a problem, and the reading goes on with the default.
pub(super) struct Reader<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) sources: &'a Sources,
    pub(super) problems: &'a mut Problems,
}

/// What a message says was expected.
pub(super) const DURATION: &str = "a duration like `10s`";
const SIZE: &str = "a size like `10MiB`";
const STRING: &str = "a string";
const BOOLEAN: &str = "`true` or `false`";

impl Reader<'_> {
    /// A string with all expanded but the generation.
    pub(super) fn template(&mut self, node: &Node) -> Option<Template> {
        let Some(text) = node.value.as_text() else { return self.wrong_type(node, STRING) };
        self.expanded(node.span, text)
    }

    /// A string that does not depend on the generation.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        let template = self.template(node)?;
        self.plain(node.span, &template)
    }

    /// A string that is not empty.
    pub(super) fn some_text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        section.get(key).and_then(|node| self.text(node)).filter(|text| !text.is_empty())
    }

    /// Nodes of a list; one string is a list of one.
    pub(super) fn items<'t>(&mut self, node: &'t Node, expected: &str) -> &'t [Node] {
        match node.value.as_list() {
            Some(items) => items,
            None if node.value.as_text().is_some() => std::slice::from_ref(node),
            None => self.wrong_type(node, expected).unwrap_or_default(),
        }
    }

    /// Texts with their places.
    pub(super) fn texts(&mut self, section: &Section<'_>, key: &str) -> Option<Vec<(Span, String)>> {
        let items = self.items(section.get(key)?, "an array of strings");
        Some(items.iter().filter_map(|item| Some((item.span, self.text(item)?))).collect())
    }

    /// A command: a list of words, or a string that is split into words. Empty when it is not good.
    pub(super) fn command(&mut self, node: &Node) -> Vec<Template> {
        let words: Vec<Template> = match node.value.as_text() {
            Some(line) => match words::split(line) {
                Ok(words) => {
                    self.refuse_shell(node.span, words::of_a_shell(line, &words));
                    words.iter().filter_map(|word| self.expanded(node.span, word)).collect()
                }
                Err(why) => {
                    self.problems.add(node.span, format!("this cannot be split into words: {why}"));
                    return Vec::new();
                }
            },
            None => {
                let items = self.items(node, "an array of strings, or a string");
                items.iter().filter_map(|item| self.template(item)).collect()
            }
        };
        if words.first().is_some_and(|program| program.as_text() == Some("")) {
            self.problems.add(node.span, "the program's name is empty");
        }
        words
    }

    fn refuse_shell(&mut self, at: Span, found: Option<OfShell<'_>>) {
        let (word, help) = match found {
            None => return,
            Some(OfShell::Operator(word)) => (
                word.to_owned(),
                "`shell = true` gives a service's command to a shell; in a list of words it is taken as it is",
            ),
            // What it is set to may be a secret.
            Some(OfShell::Sets(name)) => (format!("{name}=…"), "a service's variables are set in `env`"),
        };
        self.problems.add_with_help(at, format!("`{word}` means nothing without a shell"), help);
    }

    /// A script for a shell. The shell expands variables, quoted as it knows how; a value put in by us could be a command.
    pub(super) fn shell_script(&mut self, span: Span, text: &str) -> Option<Template> {
        if text.trim().is_empty() || text.contains('\0') {
            self.problems.add(span, "the command is empty, or holds a NUL");
            return None;
        }
        match expand_own_only(text, self.scope.own) {
            Ok(script) => Some(script),
            Err(why) => {
                self.problems.add(span, why.to_string());
                None
            }
        }
    }

    /// A path; a relative one is relative to the file that says it.
    pub(super) fn path(&mut self, node: &Node) -> Option<PathBuf> {
        let text = self.text(node)?;
        self.resolve(node.span, &text)
    }

    pub(super) fn resolve(&mut self, span: Span, text: &str) -> Option<PathBuf> {
        if text.is_empty() {
            self.problems.add(span, "a path is missing");
            return None;
        }
        if text.starts_with("~/") {
            self.problems.add_with_help(span, "`~` is not expanded", "write `${HOME}/…`");
            return None;
        }
        // Collecting components drops each `.`; a `..` must stay, for what it means depends on links.
        Some(self.sources.dir(span.file).join(Path::new(text)).components().collect())
    }

    pub(super) fn flag(&mut self, section: &Section<'_>, key: &str, default: bool) -> bool {
        let Some(node) = section.get(key) else { return default };
        let flag = match (node.value.as_flag(), node.value.as_text()) {
            (Some(flag), _) => Some(flag),
            (None, Some(text)) => self.parse(node.span, text, BOOLEAN, |text| text.parse().map_err(|_| String::new())),
            (None, None) => self.wrong_type(node, BOOLEAN),
        };
        flag.unwrap_or(default)
    }

    pub(super) fn count<T>(&mut self, section: &Section<'_>, key: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        section.get(key).and_then(|node| self.integer(node, range)).unwrap_or(default)
    }

    /// An integer within `range`.
    pub(super) fn integer<T>(&mut self, node: &Node, range: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        let Some(text) = node.value.as_digits() else { return self.wrong_type(node, &expected) };
        self.parse(node.span, &text, &expected, |text| {
            // `parse` alone would take a plus sign.
            let number = if text.starts_with('+') { None } else { text.parse().ok() };
            number.filter(|number| range.contains(number)).ok_or_else(String::new)
        })
    }

    pub(super) fn number(&mut self, section: &Section<'_>, key: &str, default: f64, range: RangeInclusive<f64>) -> f64 {
        let Some(node) = section.get(key) else { return default };
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let text = match node.value.as_scalar() {
            Some(text) if node.value.as_flag().is_none() => text,
            Some(_) | None => return self.wrong_type(node, &expected).unwrap_or(default),
        };
        let number = self.parse(node.span, &text, &expected, |text| {
            text.parse().ok().filter(|number| range.contains(number)).ok_or_else(String::new)
        });
        number.unwrap_or(default)
    }

    /// A duration from `least` up.
    pub(super) fn duration(
        &mut self,
        section: &Section<'_>,
        key: &str,
        default: Duration,
        least: Duration,
    ) -> Duration {
        let Some(node) = section.get(key) else { return default };
        let zero = (node.value.as_integer() == Some(0)).then_some("0");
        let Some(text) = node.value.as_text().or(zero) else {
            return self.wrong_type(node, DURATION).unwrap_or(default);
        };
        let duration = self.parse(node.span, text, DURATION, |text| {
            let duration = quantity::duration(text)?;
            if duration < least { Err(format!("it must be at least `{}ms`", least.as_millis())) } else { Ok(duration) }
        });
        duration.unwrap_or(default)
    }

    pub(super) fn millis(&mut self, section: &Section<'_>, key: &str, default: Duration, least: Duration) -> Millis {
        let duration = self.duration(section, key, default, least);
        // A duration is at most a year.
        Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
    }

    pub(super) fn size(&mut self, section: &Section<'_>, key: &str, default: u64) -> u64 {
        let Some(node) = section.get(key) else { return default };
        let Some(text) = node.value.as_digits() else { return self.wrong_type(node, SIZE).unwrap_or(default) };
        self.parse(node.span, &text, SIZE, quantity::size).unwrap_or(default)
    }

    /// One of `words`; the first is the default.
    pub(super) fn choice<T: Copy>(&mut self, section: &Section<'_>, key: &str, words: &[(&str, T)]) -> T {
        let node = section.get(key);
        node.and_then(|node| self.choice_of(node, words)).unwrap_or(words[0].1)
    }

    pub(super) fn choice_of<T: Copy>(&mut self, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let listed: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let expected = match listed.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => listed.join(""),
        };
        let Some(text) = node.value.as_text() else { return self.wrong_type(node, &expected) };
        self.parse(node.span, text, &expected, |text| {
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(String::new)
        })
    }

    /// Expands and parses. The message shows the text only if it stands so in the file: what was put in may be secret.
    pub(super) fn parse<T>(
        &mut self,
        span: Span,
        text: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let template = self.expanded(span, text)?;
        let value = self.plain(span, &template)?;
        let why = match parse(&value) {
            Ok(parsed) => return Some(parsed),
            Err(why) => why,
        };
        let shown = if value == text { format!("`{text}`") } else { "the expanded value".to_owned() };
        let why = if why.is_empty() { why } else { format!(": {why}") };
        self.problems.add(span, format!("{shown} is not {expected}{why}"));
        None
    }

    pub(super) fn wrong_type<T>(&mut self, node: &Node, expected: &str) -> Option<T> {
        self.problems.add(node.span, format!("expected {expected}, found {}", node.value.kind()));
        None
    }

    /// Any text with all expanded but the generation.
    pub(super) fn expanded(&mut self, span: Span, text: &str) -> Option<Template> {
        match expand(text, &self.scope) {
            Ok(template) if template.render(0).contains('\0') => {
                self.problems.add(span, "a NUL in a string");
                None
            }
            Ok(template) => Some(template),
            Err(why) => {
                match why.help() {
                    Some(help) => self.problems.add_with_help(span, why.to_string(), help),
                    None => self.problems.add(span, why.to_string()),
                }
                None
            }
        }
    }

    /// The text, if it does not depend on the generation.
    pub(super) fn plain(&mut self, span: Span, template: &Template) -> Option<String> {
        match template.as_text() {
            Some(text) => Some(text.to_owned()),
            None => {
                let message = "`${generation}` can stand only in `env` and in commands";
                self.problems.add(span, message);
                None
            }
        }
    }
}
