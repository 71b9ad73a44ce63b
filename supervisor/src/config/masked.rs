//! A line of a file without what may be secret in it: diagnostics go to terminals, and from there into logs of others.
//! Not here: which line is shown (`diagnostics`).

use super::keys::keys;

/// Their values, or parts of them, may be secret.
const SECRETIVE: [&str; 10] =
    ["command", "defaults", "env", "headers", "host", "http", "live", "path", "ready", "secrets"];
const MASK: char = '*';

/// The line that begins at `start`, with a mask over each character that stands between quotes, and over numbers.
/// It is left as it is when its key takes nothing secret.
pub(super) fn masked(text: &str, start: usize) -> String {
    let (before, rest) = text.split_at(start);
    let line = rest.lines().next().unwrap_or_default();
    if is_harmless(before, line) {
        return line.to_owned();
    }
    if inside_a_long_string(before) {
        return MASK.to_string().repeat(line.chars().count());
    }
    let mut shown = String::with_capacity(line.len());
    let mut open = None;
    let mut escaped = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let variable = if open.is_some() { variable_len(rest) } else { 0 };
        let (seen, after) = rest.split_at(variable.max(c.len_utf8()));
        rest = after;
        let is_end = open == Some(c) && !escaped;
        escaped = open == Some('"') && c == '\\' && !escaped;
        match open {
            None if c == '"' || c == '\'' => open = Some(c),
            Some(_) if is_end => open = None,
            Some(_) if variable > 0 => {}
            None if !c.is_ascii_digit() => {}
            Some(_) | None => {
                shown.push(MASK);
                continue;
            }
        }
        shown.push_str(seen);
    }
    shown
}

/// The length of `${NAME}` at the beginning; 0 when something else is there. A name is no secret.
fn variable_len(text: &str) -> usize {
    let Some((name, _)) = text.strip_prefix("${").and_then(|rest| rest.split_once('}')) else { return 0 };
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') { "${}".len() + name.len() } else { 0 }
}

fn is_harmless(before: &str, line: &str) -> bool {
    let name = |part: &str| part.trim().trim_matches(['"', '\'']).to_owned();
    let trimmed = line.trim_start();
    if trimmed.is_empty() || trimmed.starts_with('[') && !trimmed.contains(['"', '\'']) {
        return true;
    }
    let header = before.lines().rev().map(str::trim).find(|line| line.starts_with('[')).unwrap_or_default();
    let section = header.trim_matches(['[', ']']).rsplit('.').next().map(name).unwrap_or_default();
    let Some((key, _)) = line.split_once('=') else { return false };
    let mut parts = key.split('.').map(name);
    let secretive = |part: &str| SECRETIVE.contains(&part);
    let known = |part: &str| keys().iter().any(|key| key.path.rsplit('.').next() == Some(part));
    let last = key.rsplit('.').next().map(name).unwrap_or_default();
    let secret = (section != "http" && secretive(&section)) || parts.any(|part| secretive(&part));
    !secret && known(&last)
}

/// An odd number of triple quotes came before.
fn inside_a_long_string(before: &str) -> bool {
    ["\"\"\"", "'''"].iter().any(|quotes| before.matches(quotes).count() % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        masked(text, text.rfind('\n').map_or(0, |newline| newline + 1))
    }

    #[test]
    fn what_may_be_secret_is_masked_and_keeps_its_place() {
        for (text, expected) in [
            ("command = ['x', \"a\\\"b\"]", "command = ['*', \"****\"]"),
            ("env = { KEY = 'x', PIN = 12, B = \"open", "env = { KEY = '*', PIN = **, B = \"****"),
            ("env.K = 'a${B}c${D:-e}'", "env.K = '*${B}********'"),
            ("comand = 'typo'", "comand = '****'"),
            ("env.port = 'x'", "env.port = '*'"),
            ("[services.a.env]\nport = 'x'", "port = '*'"),
            ("[services.a]\nready.http = 'x'", "ready.http = '*'"),
            ("x = [\n  'continued',", "  '*********',"),
            ("env.A = \"\"\"\nlong", "****"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_secret_is_shown() {
        for line in [
            "port = 80",
            "restart.policy = 'sometimes'",
            "depends_on = ['databse']",
            "rollout = { handoff = 'soket' }",
            "[services.web",
            "critcal = true",
        ] {
            assert_eq!(shown(line), line);
        }
        assert_eq!(shown("[http]\nlisten = 'x'"), "listen = 'x'");
    }
}
