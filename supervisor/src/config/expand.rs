//! `${VAR}` in a string. The grammar, whole:
//!
//! ```text
//! $$                a dollar
//! ${NAME}           the value of NAME; it must be set
//! ${NAME:-default}  the same, or `default` when NAME is not set or empty; a default may hold further references
//! ${port} ${instance} ${generation}   in keys of a service
//! ```
//!
//! Any other `$` is itself, as is everything else: `%`, quotes, backslashes. What is put in is not read again.
//! Not here: reading env files, splitting commands.

use std::collections::BTreeMap;

use super::model::{Part, Template};

/// Defaults within defaults go no deeper.
const MAX_DEPTH: usize = 16;

/// Not variables, in keys of a service.
const OWN_NAMES: [&str; 3] = ["port", "instance", "generation"];

/// Where values come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The service's env files, asked first.
    pub(super) env_files: &'a BTreeMap<String, String>,
    /// The supervisor's environment.
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) own: Own,
}

/// What `${port}` and its like are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// Not in a key of a service: ordinary names.
    Outside,
    /// In a key that is read before the port is known.
    NotYet,
    Service {
        port: Option<u16>,
    },
}

/// Why a string cannot be expanded. Holds names, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpandError {
    #[error("`${{` is never closed")]
    Unclosed,
    #[error("`{0}` is no name of a variable")]
    BadName(String),
    #[error("`${{{0}}}` is not set")]
    Undefined(String),
    #[error("`${{port}}` is used, but the service has no `port`")]
    NoPort,
    #[error("`${{{0}}}` is not known here")]
    NotKnownHere(String),
    #[error("references are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl ExpandError {
    /// What to do about it.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::Undefined(name) => {
                Some(format!("set it in the environment or in an env file, or give a default: `${{{name}:-…}}`"))
            }
            Self::BadName(_) => Some("`${NAME}` and `${NAME:-default}` are known; a dollar is `$$`".to_owned()),
            Self::Unclosed => Some("a dollar is `$$`".to_owned()),
            Self::NoPort | Self::NotKnownHere(_) | Self::TooDeep => None,
        }
    }
}

/// One step through a string.
pub(super) enum Token<'t> {
    Text(&'t str),
    Dollar,
    /// What stands between `${` and its `}`.
    Reference(&'t str),
}

/// The text with everything expanded but `${generation}`.
pub(super) fn expand(text: &str, scope: &Scope<'_>) -> Result<Template, ExpandError> {
    let mut parts = Vec::new();
    expand_into(&mut parts, text, scope, 0)?;
    Ok(Template(parts))
}

/// The text with `${port}`, `${instance}` and `${generation}`, which are numbers, put in, and all else as it stands.
pub(super) fn expand_own_only(text: &str, own: Own) -> Result<Template, ExpandError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let inside = &rest[at + 2..];
        let name =
            OWN_NAMES.into_iter().find(|name| inside.starts_with(*name) && inside[name.len()..].starts_with('}'));
        match name {
            Some(name) => {
                push(&mut parts, &rest[..at]);
                expand_own(&mut parts, name, own)?;
                rest = &inside[name.len() + 1..];
            }
            None => {
                push(&mut parts, &rest[..at + 2]);
                rest = inside;
            }
        }
    }
    push(&mut parts, rest);
    Ok(Template(parts))
}

/// The value of one reference, given what stands between its braces.
pub(super) fn reference(inner: &str, scope: &Scope<'_>) -> Result<Template, ExpandError> {
    let mut parts = Vec::new();
    expand_reference(&mut parts, inner, scope, 0)?;
    Ok(Template(parts))
}

/// Takes the next token off `text`; `None` at its end.
pub(super) fn next_token<'t>(text: &mut &'t str) -> Option<Result<Token<'t>, ExpandError>> {
    let whole = *text;
    if whole.is_empty() {
        return None;
    }
    if let Some(rest) = whole.strip_prefix("$$") {
        *text = rest;
        return Some(Ok(Token::Dollar));
    }
    if let Some(rest) = whole.strip_prefix("${") {
        let Some(end) = closing(rest) else {
            *text = "";
            return Some(Err(ExpandError::Unclosed));
        };
        *text = &rest[end + 1..];
        return Some(Ok(Token::Reference(&rest[..end])));
    }
    // A `$` that begins nothing is text, so the search for the next one begins behind it.
    let end = whole.char_indices().skip(1).find(|(_, c)| *c == '$').map_or(whole.len(), |(at, _)| at);
    *text = &whole[end..];
    Some(Ok(Token::Text(&whole[..end])))
}

/// Where the `}` is that closes a reference whose inside begins `text`.
pub(super) fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                depth += 1;
                at += 1;
            }
            b'$' if bytes.get(at + 1) == Some(&b'$') => at += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// `[A-Za-z_][A-Za-z0-9_]*`
pub(super) fn is_variable_name(name: &str) -> bool {
    let head = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    head && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn expand_into(parts: &mut Vec<Part>, mut text: &str, scope: &Scope<'_>, depth: usize) -> Result<(), ExpandError> {
    if depth > MAX_DEPTH {
        return Err(ExpandError::TooDeep);
    }
    while let Some(token) = next_token(&mut text) {
        match token? {
            Token::Text(text) => push(parts, text),
            Token::Dollar => push(parts, "$"),
            Token::Reference(inner) => expand_reference(parts, inner, scope, depth)?,
        }
    }
    Ok(())
}

fn expand_reference(parts: &mut Vec<Part>, inner: &str, scope: &Scope<'_>, depth: usize) -> Result<(), ExpandError> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_variable_name(name) {
        return Err(ExpandError::BadName(name.to_owned()));
    }
    if scope.own != Own::Outside && OWN_NAMES.contains(&name) {
        return expand_own(parts, name, scope.own);
    }
    let value = scope.env_files.get(name).or_else(|| scope.environment.get(name));
    match (value, default) {
        (Some(value), None) => push(parts, value),
        (Some(value), Some(_)) if !value.is_empty() => push(parts, value),
        (_, Some(default)) => expand_into(parts, default, scope, depth + 1)?,
        (None, None) => return Err(ExpandError::Undefined(name.to_owned())),
    }
    Ok(())
}

fn expand_own(parts: &mut Vec<Part>, name: &str, own: Own) -> Result<(), ExpandError> {
    let port = match own {
        Own::Service { port } => port,
        Own::NotYet | Own::Outside => return Err(ExpandError::NotKnownHere(name.to_owned())),
    };
    match name {
        "port" => push(parts, &port.ok_or(ExpandError::NoPort)?.to_string()),
        // More than one instance is not available in this version.
        "instance" => push(parts, "0"),
        _ => parts.push(Part::Generation),
    }
    Ok(())
}

fn push(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        Some(Part::Generation) | None => parts.push(Part::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_values(text: &str, own: Own) -> Result<String, ExpandError> {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let env_files = map(&[("A", "file"), ("EMPTY", "")]);
        let environment = map(&[("A", "environment"), ("B", "b b"), ("C", "${A}"), ("EMPTY", "x"), ("port", "p")]);
        let scope = Scope { env_files: &env_files, environment: &environment, own };
        expand(text, &scope).map(|template| template.render(7))
    }

    #[test]
    fn the_grammar_is_what_it_says() {
        let service = Own::Service { port: Some(8001) };
        for (text, value) in [
            ("", ""),
            ("plain", "plain"),
            ("%d %% %{x}", "%d %% %{x}"),
            ("$", "$"),
            ("$x $1 $", "$x $1 $"),
            ("$$", "$"),
            ("$$$", "$$"),
            ("$$$$", "$$"),
            ("$${A}", "${A}"),
            ("$$${A}", "$file"),
            ("$ {A}", "$ {A}"),
            ("{A}", "{A}"),
            ("${A}", "file"),
            ("x${A}y${B}z", "xfileyb bz"),
            ("${C}", "${A}"),
            ("${A:-d}", "file"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${NONE:-d}", "d"),
            ("${NONE:-}", ""),
            ("${NONE:-a b}", "a b"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${NONE:-${A}}", "file"),
            ("${NONE:-${NONE:-x}}y", "xy"),
            ("${NONE:-$$}", "$"),
            ("${NONE:-{}}", "{}"),
            ("\"${A}\" '${A}' \\${A}", "\"file\" 'file' \\file"),
            ("`${A}`; $(id)", "`file`; $(id)"),
            ("é${A}é", "éfileé"),
            ("${port}/${instance}/${generation}", "8001/0/7"),
            ("${generation}${generation}", "77"),
        ] {
            assert_eq!(with_values(text, service).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_named() {
        use ExpandError::*;
        let service = Own::Service { port: None };
        for (text, error) in [
            ("${", Unclosed),
            ("${A", Unclosed),
            ("${NONE:-${A}", Unclosed),
            ("${}", BadName(String::new())),
            ("${A-b}", BadName("A-b".to_owned())),
            ("${A:?b}", BadName("A:?b".to_owned())),
            ("${1}", BadName("1".to_owned())),
            ("${NONE}", Undefined("NONE".to_owned())),
            ("${port}", NoPort),
        ] {
            assert_eq!(with_values(text, service), Err(error), "{text}");
        }
        assert_eq!(with_values("${port}", Own::NotYet), Err(NotKnownHere("port".to_owned())));
        assert_eq!(with_values("${port}", Own::Outside).as_deref(), Ok("p"));
        let deep = format!("{}{}", "${N:-".repeat(100_000), "}".repeat(100_000));
        assert_eq!(with_values(&deep, service), Err(TooDeep));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*", near in "[${}:ABé\\- ]{0,40}") {
            for text in [text, near] {
                let _ = with_values(&text, Own::Service { port: Some(1) });
            }
        }

        #[test]
        fn a_doubled_dollar_makes_any_text_literal(text in "\\PC*") {
            prop_assert_eq!(with_values(&text.replace('$', "$$"), Own::NotYet), Ok(text));
        }
    }
}
