//! Where configuration comes from: the environment and, when run by hand, `.env` in the current directory.
//! Not here: what any variable means.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

/// The variables. There is no `Debug`: some of them are secrets.
pub struct Env {
    variables: BTreeMap<String, Variable>,
}

struct Variable {
    value: String,
    origin: Origin,
}

#[derive(Clone, Copy)]
enum Origin {
    Environment,
    File { line: usize },
}

/// A variable, or a line of `.env`, that cannot be used: what, where, why and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// What the configuration leads to cannot be used: a directory, a file.
    #[must_use]
    pub fn of(complaint: String) -> Self {
        Self(complaint)
    }
}

impl Env {
    /// The environment of this process; without a supervisor also `.env`, over which the environment wins.
    ///
    /// # Errors
    /// When `.env` is there but cannot be read or understood.
    pub fn load() -> Result<Self, ConfigError> {
        let from_outside = Self::of(std::env::vars_os().filter_map(|(name, value)| {
            // A name or value that is not UTF-8 is none of ours.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }));
        let supervised =
            ["SUPERVISOR_SERVICE", "NOTIFY_SOCKET", "LISTEN_FDS"].iter().any(|name| from_outside.text(name).is_some());
        if supervised { Ok(from_outside) } else { from_outside.or_file(Path::new(".env")) }
    }

    /// Exactly these.
    pub fn of<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), Variable { value: value.into(), origin: Origin::Environment }));
        Self { variables: variables.collect() }
    }

    fn or_file(mut self, path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self),
            Err(error) => {
                return Err(ConfigError(format!(
                    "cannot read `.env` in the current directory: {error}; mend or remove it"
                )));
            }
        };
        for (index, line) in text.lines().enumerate() {
            let origin = Origin::File { line: index + 1 };
            let assignment = assignment(line)
                .map_err(|why| ConfigError(format!("{origin}: {why}; write it as NAME=value", origin = origin)))?;
            if let Some((name, value)) = assignment
                && !self.variables.get(&name).is_some_and(|v| matches!(v.origin, Origin::Environment))
            {
                self.variables.insert(name, Variable { value, origin });
            }
        }
        Ok(self)
    }

    /// The value of a variable. An empty one counts as not set.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|variable| variable.value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value of a variable as a number.
    ///
    /// # Errors
    /// When it is set and is not `wanted`.
    pub fn number<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, ConfigError> {
        self.text(name)
            .map(|value| value.trim().parse().map_err(|_| self.error(name, &format!("is not {wanted}"))))
            .transpose()
    }

    /// A complaint about a variable, with its value and where that comes from. Not for secrets.
    #[must_use]
    pub fn error(&self, name: &str, complaint: &str) -> ConfigError {
        let variable = self.variables.get(name);
        let value = variable.map_or("", |variable| variable.value.as_str());
        let origin = variable.map_or(Origin::Environment, |variable| variable.origin);
        ConfigError(format!("{name} (from {origin}): `{value}` {complaint}"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the environment"),
            Self::File { line } => write!(f, "`.env` line {line}"),
        }
    }
}

/// One line of an env file: nothing, or a name and its value.
fn assignment(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("there is no `=`")?;
    let name = name.trim();
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !is_name {
        return Err("a name has letters, digits and underscores only");
    }
    Ok(Some((name.to_owned(), unquoted(value.trim())?)))
}

fn unquoted(text: &str) -> Result<String, &'static str> {
    let (value, rest) = match text.as_bytes().first() {
        Some(b'\'') => {
            text[1..].split_once('\'').map(|(v, rest)| (v.to_owned(), rest)).ok_or("a quote is not closed")?
        }
        Some(b'"') => double_quoted(&text[1..])?,
        Some(_) | None => {
            let end = text.find(" #").unwrap_or(text.len());
            return Ok(if text.starts_with('#') { String::new() } else { text[..end].trim_end().to_owned() });
        }
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(value) } else { Err("there is text after the closing quote") }
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('"' | '\\' | '$'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            _ => value.push(c),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, outside: &[(&str, &str)]) -> Result<Env, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(&path, text).unwrap();
        Env::of(outside.iter().copied()).or_file(&path)
    }

    #[test]
    fn the_environment_wins_over_the_file_and_a_later_line_over_an_earlier_one() {
        let env = read("A=file\nB=first\nB=second\n", &[("A", "outside")]).unwrap();
        assert_eq!((env.text("A"), env.text("B"), env.text("C")), (Some("outside"), Some("second"), None));
    }

    #[test]
    fn quotes_comments_and_export_are_understood() {
        let env = read(
            "# head\n\nexport A = one # tail\nB='t#o \\n' # tail\nC=\"th\\\"r\\nee\"\nD=a#b\nE=\nF= # none\nG=\"a\\qb\"\n",
            &[],
        )
        .unwrap();
        assert_eq!(env.text("A"), Some("one"));
        assert_eq!(env.text("B"), Some("t#o \\n"));
        assert_eq!(env.text("C"), Some("th\"r\nee"));
        assert_eq!(env.text("D"), Some("a#b"));
        assert_eq!((env.text("E"), env.text("F")), (None, None));
        assert_eq!(env.text("G"), Some("a\\qb"));
    }

    #[test]
    fn a_line_that_is_no_assignment_is_refused_with_its_number_and_without_its_value() {
        for (text, why) in [
            ("A=1\nsecret", "there is no `=`"),
            ("A=1\n2B=secret", "a name has letters"),
            ("A=1\nB=\"secret", "a quote is not closed"),
            ("A=1\nB='secret' secret", "there is text after the closing quote"),
        ] {
            let error = read(text, &[]).err().unwrap().to_string();
            assert!(error.starts_with("`.env` line 2: ") && error.contains(why), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_refused_with_its_name_place_and_value() {
        let env = read("\nX_PORT=80a\n", &[("Y_PORT", "70000"), ("Z_PORT", " 80 ")]).unwrap();
        assert_eq!(
            env.number::<u16>("X_PORT", "a port").unwrap_err().to_string(),
            "X_PORT (from `.env` line 2): `80a` is not a port",
        );
        assert_eq!(
            env.number::<u16>("Y_PORT", "a port").unwrap_err().to_string(),
            "Y_PORT (from the environment): `70000` is not a port",
        );
        assert_eq!(env.number::<u16>("Z_PORT", "a port").unwrap(), Some(80));
    }
}
