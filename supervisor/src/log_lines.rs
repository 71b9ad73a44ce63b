//! A line of a log as JSON, and what can be asked of logs: one form for the command line and the API.
//! Not here: finding lines (`supervisor_logs` does).

use serde_json::json;
use supervisor_logs::{Filter, FilterError, Line};

use crate::untrusted::commands;
use crate::{config, timestamp};

/// The file of the supervisor's own log, beside those of services.
pub(crate) const OWN_FILE: &str = "supervisor.log";

/// What of a service's output a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// All of it.
    Merged,
    Out,
    Err,
}

impl Output {
    /// Of the log at this place among all of its service.
    pub(crate) fn of(place: usize, logs: usize) -> Self {
        match (place, logs) {
            (_, 1) => Self::Merged,
            (0, _) => Self::Out,
            (_, _) => Self::Err,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// `{service, generation, seq, time, stream, line}`, on one line. What is not UTF-8 is replaced.
pub(crate) fn json(service: &str, output: Output, line: &Line) -> String {
    let time = timestamp::format(i64::try_from(line.time).unwrap_or(i64::MAX));
    let mut told = json!({
        "service": service, "generation": line.generation, "seq": line.seq, "time": time,
        "stream": output.as_str(), "line": String::from_utf8_lossy(&line.text),
    });
    if !line.whole {
        told["partial"] = true.into();
    }
    harmless(told.to_string())
}

/// What a terminal would obey and JSON leaves as it is, escaped: DEL, C1 controls and those that turn text. All are
/// within strings.
fn harmless(json: String) -> String {
    if !json.contains(commands) {
        return json;
    }
    let escape = |c: char| if commands(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escape).collect()
}

/// What lines must have.
///
/// # Errors
/// When that cannot be asked for.
pub(crate) fn filter(grep: Option<&str>, level: Option<&str>, fields: &[String]) -> Result<Filter, FilterError> {
    let mut filter = Filter::default();
    if let Some(pattern) = grep {
        filter = filter.grep(pattern)?;
    }
    if let Some(level) = level {
        filter = filter.level(level)?;
    }
    fields.iter().try_fold(filter, |filter, field| filter.field(field))
}

/// A time, or how long ago, in milliseconds since 1970.
pub(crate) fn moment(text: &str) -> Option<u64> {
    let at = timestamp::parse(text).or_else(|| {
        let ago = i64::try_from(config::duration(text).ok()?.as_millis()).unwrap_or(i64::MAX);
        Some(timestamp::now_ms().saturating_sub(ago))
    })?;
    Some(u64::try_from(at).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_while_ago() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Some(1000));
        let ago = moment("10m").expect("a time");
        let now = u64::try_from(timestamp::now_ms()).expect("after 1970");
        assert!(now - ago >= 600_000 && now - ago < 660_000);
        assert_eq!(moment("yesterday"), None);
    }

    #[test]
    fn a_line_is_one_line_of_json_whatever_is_in_it() {
        let line = Line {
            text: "\u{1b}[2J\u{9b}2J\u{7f}\u{202e}x\"\r".into(),
            whole: false,
            seq: None,
            time: 1000,
            generation: Some(3),
            end: supervisor_logs::Mark { file: 1, offset: 2, base: None },
        };
        let told = json("web", Output::of(1, 2), &line);
        let back: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        let wanted = json!({
            "service": "web", "generation": 3, "seq": null, "time": "1970-01-01T00:00:01.000Z", "stream": "err",
            "line": "\u{1b}[2J\u{9b}2J\u{7f}\u{202e}x\"\r", "partial": true,
        });
        assert_eq!(back, wanted);
        assert!(told.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{told}");
    }
}
