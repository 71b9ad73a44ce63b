//! Which lines are wanted: by pattern, level and field. JSON and logfmt are recognised line by line.
//! Not here: where lines come from.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memrchr};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use crate::plain::plain;
use crate::{block, logfmt};

/// The longest pattern, in bytes.
const MOST_PATTERN: usize = 1024;
/// What a compiled pattern may take, in bytes.
const MOST_COMPILED: usize = 1 << 20;
/// The most fields that are asked for at once.
const MOST_FIELDS: usize = 16;

/// What a line must have. By default every line has it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pattern: Option<Pattern>,
    level: Option<Level>,
    fields: Vec<(String, String)>,
}

/// How bad it is, as most systems count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For who writes the program.
    Debug,
    /// It does what it should.
    Info,
    /// Someone should look.
    Warn,
    /// Something failed.
    Error,
    /// It cannot go on.
    Fatal,
}

/// Why something cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A pattern that is no regular expression.
    #[error("`{0}` is no regular expression: {1}")]
    Pattern(String, String),
    /// A pattern that would need too much memory.
    #[error("the pattern is too large: at most {MOST_PATTERN} characters, and repetitions that stay small")]
    TooLarge,
    /// A level of another name.
    #[error("`{0}` is no level: trace, debug, info, warn, error or fatal")]
    Level(String),
    /// A field without a value.
    #[error("`{0}` is no field: give its name and value, as in `user=42`")]
    Field(String),
    /// More than anyone needs.
    #[error("at most {MOST_FIELDS} fields")]
    TooMany,
}

#[derive(Debug, Clone)]
struct Pattern {
    line: Regex,
    /// Finds places in many lines at once; a line is then looked at by itself.
    block: Option<Regex>,
}

impl Filter {
    /// Lines that hold a match of this regular expression. Its time is linear in the length of the line.
    ///
    /// # Errors
    /// When it is none, or too large.
    pub fn grep(mut self, pattern: &str) -> Result<Self, FilterError> {
        if pattern.len() > MOST_PATTERN {
            return Err(FilterError::TooLarge);
        }
        let build =
            |pattern: &str| RegexBuilder::new(pattern).size_limit(MOST_COMPILED).dfa_size_limit(MOST_COMPILED).build();
        let line = match build(pattern) {
            Err(regex::Error::CompiledTooBig(_)) => return Err(FilterError::TooLarge),
            Err(error) => {
                let why = error.to_string();
                let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                return Err(FilterError::Pattern(pattern.to_owned(), last));
            }
            Ok(line) => line,
        };
        let block = block::pattern(pattern).and_then(|pattern| build(&pattern).ok());
        self.pattern = Some(Pattern { line, block });
        Ok(self)
    }

    /// Lines of this level, and of worse ones; none that tell no level.
    ///
    /// # Errors
    /// When there is no such level.
    pub fn level(mut self, name: &str) -> Result<Self, FilterError> {
        self.level = Some(Level::named(name).ok_or_else(|| FilterError::Level(name.to_owned()))?);
        Ok(self)
    }

    /// Lines with a field, given as `name=value`. In JSON `a.b` is also the `b` within `a`.
    ///
    /// # Errors
    /// When it has no `=`, or there are too many.
    pub fn field(mut self, field: &str) -> Result<Self, FilterError> {
        let (name, value) = field
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| FilterError::Field(field.to_owned()))?;
        self.fields.push((name.to_owned(), value.to_owned()));
        if self.fields.len() > MOST_FIELDS { Err(FilterError::TooMany) } else { Ok(self) }
    }

    /// Whether every line passes.
    #[must_use]
    pub fn passes_all(&self) -> bool {
        self.pattern.is_none() && self.level.is_none() && self.fields.is_empty()
    }

    /// Whether a line, without its end, passes.
    #[must_use]
    pub fn passes(&self, line: &[u8]) -> bool {
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.line.is_match(line)) {
            return false;
        }
        if self.level.is_none() && self.fields.is_empty() {
            return true;
        }
        let line = &plain(line);
        let told = Told::of(line);
        self.level.is_none_or(|least| told.level(line).is_some_and(|level| level >= least))
            && self.fields.iter().all(|(name, value)| told.field(name).is_some_and(|found| found == value.as_str()))
    }

    /// Where the lines of `block` are that pass, each with its end.
    pub(crate) fn pick(&self, block: &[u8], mut found: impl FnMut(Range<usize>)) {
        let scan = self.pattern.as_ref().and_then(|pattern| pattern.block.as_ref());
        let mut at = 0;
        while at < block.len() {
            let near = match scan.map(|scan| scan.find_at(block, at)) {
                Some(None) => return,
                Some(Some(hit)) => hit.start().min(block.len() - 1),
                None => at,
            };
            let begin = memrchr(b'\n', &block[at..near]).map_or(at, |end| at + end + 1);
            let end = memchr(b'\n', &block[near..]).map_or(block.len(), |end| near + end + 1);
            let line = &block[begin..end];
            if self.passes_all() || self.passes(line.strip_suffix(b"\n").unwrap_or(line)) {
                found(begin..end);
            }
            at = end;
        }
    }
}

impl Level {
    /// Of each level the name, the mildest first; some have others, too.
    pub const NAMES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

    /// By any of its usual names.
    fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Some(match name.as_str() {
            "trace" | "verbose" => Self::Trace,
            "debug" => Self::Debug,
            "info" | "information" | "notice" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" | "err" => Self::Error,
            "fatal" | "critical" | "crit" | "panic" | "alert" | "emergency" | "emerg" => Self::Fatal,
            _ => return None,
        })
    }

    /// By the numbers of bunyan and pino.
    fn numbered(number: u64) -> Option<Self> {
        Some(match number {
            10..20 => Self::Trace,
            20..30 => Self::Debug,
            30..40 => Self::Info,
            40..50 => Self::Warn,
            50..60 => Self::Error,
            60..70 => Self::Fatal,
            _ => return None,
        })
    }
}

/// What a line says of itself.
enum Told {
    Json(Value),
    Logfmt(Vec<(String, String)>),
    Nothing,
}

/// The fields that mean a level, the first that is there counts.
const LEVELS: [&str; 6] = ["level", "severity", "lvl", "log.level", "levelname", "loglevel"];
/// Words at the beginning of a plain line among which its level may be.
const WORDS: usize = 6;

impl Told {
    fn of(line: &[u8]) -> Self {
        let text = line.trim_ascii();
        if text.first() == Some(&b'{')
            && let Ok(value @ Value::Object(_)) = serde_json::from_slice(text)
        {
            return Self::Json(value);
        }
        let pairs = logfmt::pairs(&String::from_utf8_lossy(text));
        if pairs.is_empty() { Self::Nothing } else { Self::Logfmt(pairs) }
    }

    fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Json(value) => {
                let found =
                    value.get(name).or_else(|| name.split('.').try_fold(value, |within, key| within.get(key)))?;
                Some(found.as_str().map_or_else(|| Cow::Owned(found.to_string()), Cow::Borrowed))
            }
            Self::Logfmt(pairs) => {
                pairs.iter().find(|(key, _)| key == name).map(|(_, value)| Cow::Borrowed(value.as_str()))
            }
            Self::Nothing => None,
        }
    }

    fn level(&self, line: &[u8]) -> Option<Level> {
        if let Some(told) = LEVELS.iter().find_map(|name| self.field(name)) {
            return told.parse().map_or_else(|_| Level::named(&told), Level::numbered);
        }
        match self {
            Self::Json(_) => None,
            Self::Logfmt(_) | Self::Nothing => plain_level(line),
        }
    }
}

/// `2026-11-23 ERROR it broke`, `[warn] …`, `INFO: …`: a level in capitals, in brackets, or before a colon.
fn plain_level(line: &[u8]) -> Option<Level> {
    let text = String::from_utf8_lossy(&line[..line.len().min(200)]);
    text.split_ascii_whitespace().take(WORDS).find_map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let marked =
            !bare.is_empty() && (bare.bytes().all(|byte| byte.is_ascii_uppercase()) || bare.len() < word.len());
        if marked { Level::named(bare) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(filter: &Filter, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        filter.pick(text.as_bytes(), |range| lines.push(text[range].trim_end_matches('\n').to_owned()));
        lines
    }

    fn grep(pattern: &str) -> Filter {
        Filter::default().grep(pattern).unwrap()
    }

    #[test]
    fn a_pattern_sees_one_line_at_a_time_however_many_are_searched_at_once() {
        let text = "alpha\nbeta 1\n\n  beta 2\ngamma\nbet\na\nlast beta";
        for (pattern, wanted) in [
            ("beta", vec!["beta 1", "  beta 2", "last beta"]),
            ("^beta", vec!["beta 1"]),
            (r"beta \d$", vec!["beta 1", "  beta 2"]),
            (r"\s*beta", vec!["beta 1", "  beta 2", "last beta"]),
            (r"bet\s+a", vec![]),
            ("(?s)bet.a", vec![]),
            ("[^a-z0-9 ]", vec![]),
            ("^$", vec![""]),
            ("(?-m)^beta", vec!["beta 1"]),
            ("(?-m:beta)$", vec!["last beta"]),
            ("(?m)^beta 1$", vec!["beta 1"]),
            ("(?s)b.*2", vec!["  beta 2"]),
            ("bet[^x]*1", vec!["beta 1"]),
            (r"bet\na|gamma", vec!["gamma"]),
            (r"\Alast", vec!["last beta"]),
            (r"beta\z", vec!["last beta"]),
            ("", vec!["alpha", "beta 1", "", "  beta 2", "gamma", "bet", "a", "last beta"]),
        ] {
            assert_eq!(picked(&grep(pattern), text), wanted, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_may_match_a_line_end_costs_no_more_than_others() {
        // With a scan to the end of the block from each line this would take hours.
        let text = "error without an end\n".repeat(1 << 17);
        for pattern in ["error[^;]*;", "(?s)error.*;", r"error\W*;"] {
            assert!(picked(&grep(pattern), &text).is_empty(), "{pattern}");
        }
        assert_eq!(picked(&grep("(?s)error.*d"), &text).len(), 1 << 17);
    }

    #[test]
    fn a_level_is_found_in_json_logfmt_and_plain_lines() {
        let warn = Filter::default().level("warn").unwrap();
        for line in [
            r#"{"level":"warning","msg":"x"}"#,
            r#"{"level":50}"#,
            r#"{"severity":"CRITICAL"}"#,
            r#"{"log":{"level":"error"}}"#,
            "ts=1 level=error msg=\"a b\"",
            "lvl=warn",
            "2026-11-23T03:25:18Z  WARN something",
            "[error] it broke",
            "error: no such file",
            "\u{1b}[2m2026-11-23T03:25:18Z\u{1b}[0m \u{1b}[33mWARN\u{1b}[0m something",
            "\u{1b}[3mlevel\u{1b}[0m\u{1b}[2m=\u{1b}[0merror a=b",
        ] {
            assert!(warn.passes(line.as_bytes()), "{line}");
        }
        for line in [
            r#"{"level":"info"}"#,
            r#"{"level":"nonsense","msg":"ERROR"}"#,
            "level=debug msg=\"ERROR inside\"",
            "no error was found",
            "INFO then ERROR",
            "",
            "{not json} level",
        ] {
            assert!(!warn.passes(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_field_is_compared_by_what_it_says() {
        let with = |field: &str| Filter::default().field(field).unwrap();
        let json = br#"{"user":42,"ok":true,"http":{"status":"500"},"a.b":"c"}"#;
        for field in ["user=42", "ok=true", "http.status=500", "a.b=c"] {
            assert!(with(field).passes(json), "{field}");
        }
        assert!(!with("user=4").passes(json) && !with("http=500").passes(json));
        assert!(with("path=/a b").passes(br#"at=1 path="/a b" x=y"#));
        assert!(!with("path=/a").passes(br#"at=1 path="/a b" x=y"#) && !with("x=y").passes(b"x is y"));
    }

    #[test]
    fn what_cannot_be_asked_for_is_said() {
        let message = |result: Result<Filter, FilterError>| result.unwrap_err().to_string();
        assert!(message(Filter::default().grep("a(b")).contains("unclosed group"));
        assert!(message(Filter::default().grep(&"x{1000}".repeat(100))).contains("too large"));
        assert!(message(Filter::default().grep(&"x".repeat(1025))).contains("too large"));
        assert!(message(Filter::default().level("loud")).contains("`loud` is no level"));
        assert!(message(Filter::default().field("=1")).contains("`=1` is no field"));
    }
}
