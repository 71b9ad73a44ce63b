//! A file without what may be secret in it: diagnostics go to terminals, and from there into logs of others.
//! Not here: which line is shown (`diagnostics`).

use std::collections::BTreeSet;

use super::keys::keys;

/// Their values, or parts of them, may be secret.
const SECRETIVE: [&str; 16] = [
    "command", "defaults", "discord", "email", "env", "headers", "host", "http", "live", "ntfy", "password", "path",
    "ready", "secrets", "slack", "webhook",
];
/// Of these, what says how a service is checked: secret are its headers, a command's arguments, and a path's query.
const CHECKS: [&str; 4] = ["http", "live", "path", "ready"];
const SECRET_IN_CHECKS: [&str; 5] = ["?", "\\", "command", "headers", "host"];
const MASK: u8 = b'*';

/// The same text, of the same length in bytes, with a mask over what stands between quotes, and over numbers. Lines are
/// left as they are when their key takes nothing secret.
pub(super) fn masked(text: &str) -> String {
    let known: BTreeSet<&str> = keys().iter().filter_map(|key| key.path.rsplit('.').next()).collect();
    let mut shown = String::with_capacity(text.len());
    let mut section = String::new();
    let mut long = None;
    for line in text.split_inclusive('\n') {
        if long.is_none() && line.trim_start().starts_with('[') {
            section = last_name(line.trim().trim_matches(['[', ']']));
        }
        let plain = long.is_none() && !LONG.iter().any(|quotes| line.contains(quotes));
        if plain && is_harmless(&section, line, &known) {
            shown.push_str(line);
        } else {
            mask(line, &mut long, &mut shown);
        }
    }
    shown
}

const LONG: [&str; 2] = ["\"\"\"", "'''"];

/// `long` is the mark that ends a string of several lines that is open.
fn mask(line: &str, long: &mut Option<&'static str>, shown: &mut String) {
    let mut rest = line;
    let mut open: Option<&str> = *long;
    while let Some(c) = rest.chars().next() {
        let mark = LONG.iter().chain(&["\"", "'"]).find(|mark| rest.starts_with(**mark)).copied();
        let escaped = c == '\\' && open.is_some_and(|mark| mark.starts_with('"'));
        let (len, visible) = match (open, mark) {
            (Some(end), _) if rest.starts_with(end) => {
                open = None;
                (end.len(), true)
            }
            (Some(_), _) if escaped => (1 + rest[1..].chars().next().map_or(0, char::len_utf8), false),
            (Some(_), _) => match variable_len(rest) {
                0 => (c.len_utf8(), c == '\n'),
                len => (len, true),
            },
            (None, Some(mark)) => {
                open = Some(mark);
                (mark.len(), true)
            }
            (None, None) => (c.len_utf8(), !c.is_ascii_digit()),
        };
        let (seen, after) = rest.split_at(len);
        if visible {
            shown.push_str(seen);
        } else {
            shown.extend(seen.bytes().map(|byte| char::from(if byte == b'\n' { byte } else { MASK })));
        }
        rest = after;
    }
    *long = LONG.into_iter().find(|mark| open == Some(*mark));
}

/// The length of `${NAME}` at the beginning; 0 when something else is there. A name is no secret.
fn variable_len(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("${") else { return 0 };
    let name = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    if rest.as_bytes().get(name) == Some(&b'}') { "${}".len() + name } else { 0 }
}

fn is_harmless(section: &str, line: &str, known: &BTreeSet<&str>) -> bool {
    let trimmed = line.trim_start();
    if trimmed.is_empty() || trimmed.starts_with('[') && !trimmed.contains(['"', '\'']) {
        return true;
    }
    let Some((key, _)) = line.split_once('=') else { return false };
    let plain_check = is_plain_check(line, known);
    let secret = |name: &str| SECRETIVE.contains(&name) && !(plain_check && CHECKS.contains(&name));
    let below_secret = section != "http" && secret(section);
    !below_secret && !key.split('.').any(|part| secret(&last_name(part))) && known.contains(last_name(key).as_str())
}

/// Whose keys are all known: a typo may be one in `headers`.
fn is_plain_check(line: &str, known: &BTreeSet<&str>) -> bool {
    let Some((keys, _)) = line.rsplit_once('=') else { return false };
    let mut keys = keys.split('=').filter_map(|part| part.trim_end().rsplit(['{', ',', ' ', '\t']).next());
    !SECRET_IN_CHECKS.iter().any(|sign| line.contains(sign)) && keys.all(|key| known.contains(last_name(key).as_str()))
}

fn last_name(path: &str) -> String {
    path.rsplit('.').next().unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let whole = masked(text);
        assert_eq!(whole.len(), text.len());
        whole.rsplit('\n').next().unwrap().to_owned()
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
            ("[services.a]\nready.http = '/x?k=y'", "ready.http = '******'"),
            (
                "[services.a]\nready = { http = { path = '/x', heders = { A = 'b' } } }",
                "ready = { http = { path = '**', heders = { A = '*' } } }",
            ),
            ("[services.a.live.http]\nheaders = { A = 'b' }", "headers = { A = '*' }"),
            ("live = { command = ['x'], interval = '1s' }", "live = { command = ['*'], interval = '**' }"),
            ("x = [\n  'continued',", "  '*********',"),
            ("env.A = \"\"\"\nport = 1", "********"),
            ("env.A = '''\na''' # 'b", "*''' # '*"),
            ("env.A = \"ä\\", "env.A = \"***"),
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
            "ready = { http = '/health', deadline = '5' }",
            "live.http = { path = 'health', status = [200], tls = true }",
        ] {
            assert_eq!(shown(line), line);
        }
        assert_eq!(shown("[http]\nlisten = 'x'"), "listen = 'x'");
    }
}
