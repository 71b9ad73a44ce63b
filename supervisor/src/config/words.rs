//! A command line split into words as a POSIX shell would, without a shell.
//!
//! Blanks separate; `'…'` and `"…"` group; a backslash takes the next character as it is (in double quotes only
//! before `"`, `\`, `$` and a backtick). `${…}` is kept whole for the expansion that follows, wherever it stands, so a
//! value with blanks stays one word. Nothing else is special: no globs, pipes, comments, `~`.
//! Not here: expansion.

use super::expand::closing;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SplitError {
    #[error("a quote is never closed")]
    Quote,
    #[error("it ends in a backslash")]
    Backslash,
    #[error("`${{` is never closed")]
    Reference,
}

/// The words, each to be expanded.
pub(super) fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            words.extend(word.take());
            rest = &rest[1..];
        } else {
            rest = take_piece(word.get_or_insert_default(), rest)?;
        }
    }
    words.extend(word);
    Ok(words)
}

/// Operators of a shell, where they stand alone.
const OPERATORS: [&str; 12] = ["|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", ">/dev/null", "2>/dev/null"];

/// What means something to a shell only, and can hardly be meant as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OfShell<'w> {
    /// Unquoted.
    Operator(&'w str),
    /// This variable is set where the program stands.
    Sets(&'w str),
}

/// The first such word of `line`, which was split into `words`.
pub(super) fn of_a_shell<'w>(line: &str, words: &'w [String]) -> Option<OfShell<'w>> {
    let is_operator = |word: &&String| {
        OPERATORS.contains(&word.as_str()) && line.split_ascii_whitespace().any(|unquoted| unquoted == **word)
    };
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let set = || words.first()?.split_once('=').map(|(name, _)| name).filter(is_name).map(OfShell::Sets);
    words.iter().find(is_operator).map(|word| OfShell::Operator(word)).or_else(set)
}

/// Appends what `text` begins with (no blank) to `word`; gives back the rest.
fn take_piece<'t>(word: &mut String, text: &'t str) -> Result<&'t str, SplitError> {
    if let Some(rest) = take_dollar(word, text)? {
        return Ok(rest);
    }
    let mut chars = text.chars();
    match chars.next() {
        Some('\'') => single_quoted(word, chars.as_str()),
        Some('"') => double_quoted(word, chars.as_str()),
        Some('\\') => {
            push_literal(word, chars.next().ok_or(SplitError::Backslash)?);
            Ok(chars.as_str())
        }
        Some(c) => {
            word.push(c);
            Ok(chars.as_str())
        }
        None => Ok(""),
    }
}

fn single_quoted<'t>(word: &mut String, mut text: &'t str) -> Result<&'t str, SplitError> {
    loop {
        if let Some(rest) = take_dollar(word, text)? {
            text = rest;
            continue;
        }
        let mut chars = text.chars();
        match chars.next().ok_or(SplitError::Quote)? {
            '\'' => return Ok(chars.as_str()),
            c => word.push(c),
        }
        text = chars.as_str();
    }
}

fn double_quoted<'t>(word: &mut String, mut text: &'t str) -> Result<&'t str, SplitError> {
    loop {
        if let Some(rest) = take_dollar(word, text)? {
            text = rest;
            continue;
        }
        let mut chars = text.chars();
        match chars.next().ok_or(SplitError::Quote)? {
            '"' => return Ok(chars.as_str()),
            '\\' => match chars.next().ok_or(SplitError::Quote)? {
                c @ ('"' | '\\' | '$' | '`') => push_literal(word, c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
        text = chars.as_str();
    }
}

/// A `$$` or a whole reference, unchanged.
fn take_dollar<'t>(word: &mut String, text: &'t str) -> Result<Option<&'t str>, SplitError> {
    let length = if text.starts_with("$$") {
        2
    } else if let Some(inner) = text.strip_prefix("${") {
        closing(inner).ok_or(SplitError::Reference)? + 3
    } else {
        return Ok(None);
    };
    word.push_str(&text[..length]);
    Ok(Some(&text[length..]))
}

/// The expansion that follows must not see an escaped dollar.
fn push_literal(word: &mut String, c: char) {
    if c == '$' {
        word.push('$');
    }
    word.push(c);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_only_a_shell_understands_is_seen_unless_it_is_quoted() {
        for (line, word) in [
            ("a x | b", Some(OfShell::Operator("|"))),
            ("cd /tmp && a", Some(OfShell::Operator("&&"))),
            ("a > log 2>&1", Some(OfShell::Operator(">"))),
            ("A_1=x a", Some(OfShell::Sets("A_1"))),
            ("a '|' \";\" \\\\&& x=1 --y=2", None),
            ("sh -c 'a | b > c'", None),
            ("./a=b 1=2", None),
        ] {
            assert_eq!(of_a_shell(line, &split(line).unwrap()), word, "{line}");
        }
    }

    #[test]
    fn a_line_is_split_as_a_shell_would() {
        for (line, words) in [
            ("", vec![]),
            ("  \t\n", vec![]),
            ("a b  c", vec!["a", "b", "c"]),
            ("a 'b c' \"d e\"", vec!["a", "b c", "d e"]),
            ("a'b'\"c\"d", vec!["abcd"]),
            ("'' \"\"", vec!["", ""]),
            ("a\\ b \\'", vec!["a b", "'"]),
            ("'a\\b' \"a\\b\" \"\\\"\\\\\"", vec!["a\\b", "a\\b", "\"\\"]),
            ("${A:-x y}z", vec!["${A:-x y}z"]),
            ("'${A:-'}' \"${B:-\"}\"", vec!["${A:-'}", "${B:-\"}"]),
            ("\\${A} \"\\${A}\"", vec!["$${A}", "$${A}"]),
            ("$$ $x", vec!["$$", "$x"]),
            ("a;b|c>d&*~#", vec!["a;b|c>d&*~#"]),
            ("é 'ü'", vec!["é", "ü"]),
        ] {
            assert_eq!(
                split(line).as_deref(),
                Ok(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>().as_slice()),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_left_open_is_refused() {
        for (line, error) in [
            ("'a", SplitError::Quote),
            ("\"a", SplitError::Quote),
            ("\"a\\", SplitError::Quote),
            ("a\\", SplitError::Backslash),
            ("${a", SplitError::Reference),
        ] {
            assert_eq!(split(line), Err(error), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*", near in "[ '\"\\\\${}aé]{0,40}") {
            let _ = split(&text);
            let _ = split(&near);
        }

        #[test]
        fn a_quoted_word_is_that_word(words in prop::collection::vec("[^'$]*", 1..5)) {
            let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split(&line.join(" ")), Ok(words));
        }
    }
}
