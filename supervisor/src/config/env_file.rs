//! Env files. The grammar, whole:
//!
//! ```text
//! # a comment; blank lines are skipped
//! [export ]KEY=value           up to the end of the line, or to a `#` after a blank; blanks around are cut
//! [export ]KEY='value'         as it stands, newlines too
//! [export ]KEY="value"         newlines too; \n \r \t \" \\ \$ are escapes, any other backslash is itself
//! ```
//!
//! KEY is `[A-Za-z_][A-Za-z0-9_]*`; a later line wins. `${NAME}` and `${NAME:-default}` are expanded in unquoted and in
//! double-quoted values, from earlier lines, earlier files and the supervisor's environment. Any other `$` is itself,
//! also a doubled one. After a closing quote only a comment may follow. No shell is involved.
//! Not here: finding the files.

use std::collections::BTreeMap;
use std::ops::Range;

use super::expand::{ExpandError, Own, Scope, closing, is_variable_name, reference};

/// What is wrong, and with which bytes of the text. Holds names, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvFileError {
    pub(super) message: String,
    pub(super) at: Range<usize>,
}

/// One assignment: the name, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) name: String,
    pub(super) at: Range<usize>,
}

/// Adds the assignments of `text` to `values`; stops at the first error.
pub(super) fn read_into(
    values: &mut BTreeMap<String, String>,
    environment: &BTreeMap<String, String>,
    text: &str,
) -> Result<Vec<Assigned>, EnvFileError> {
    let mut reader = Reader { text, at: 0, values, environment };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let mut assigned = Vec::new();
    while reader.skip_to_assignment() {
        assigned.push(reader.assignment()?);
    }
    Ok(assigned)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: &'a mut BTreeMap<String, String>,
    environment: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    /// Over blank lines and comments; false at the end.
    fn skip_to_assignment(&mut self) -> bool {
        loop {
            self.at += self.rest().len() - self.rest().trim_start().len();
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.skip_line();
        }
    }

    fn assignment(&mut self) -> Result<Assigned, EnvFileError> {
        let line_end = self.rest().find('\n').unwrap_or(self.rest().len());
        let line = &self.rest()[..line_end];
        let Some(equals) = line.find('=') else {
            return Err(error("a line without `=`", self.at..self.at + line.trim_end().len()));
        };
        let key = line[..equals].trim_end();
        let name = match key.strip_prefix("export") {
            Some(name) if name.starts_with([' ', '\t']) => name.trim_start(),
            Some(_) | None => key,
        };
        let at = self.at + key.len() - name.len()..self.at + key.len();
        if !is_variable_name(name) {
            return Err(error("what stands before `=` is no name of a variable", at));
        }
        let name = name.to_owned();
        self.at += equals + 1;
        self.skip_blanks();
        let value = match self.rest().chars().next() {
            Some('\'') => self.single_quoted()?,
            Some('"') => self.double_quoted()?,
            Some(_) | None => self.unquoted()?,
        };
        if value.contains('\0') {
            return Err(error("a value with a NUL", at));
        }
        self.values.insert(name.clone(), value);
        Ok(Assigned { name, at })
    }

    fn unquoted(&mut self) -> Result<String, EnvFileError> {
        let line = self.rest().lines().next().unwrap_or_default();
        let mut value = String::new();
        // Blanks are kept only once something follows them.
        let mut kept = 0;
        let start = self.at;
        let end = start + line.len();
        while self.at < end {
            let rest = &self.text[self.at..end];
            let after_blank = self.at > start && self.text[..self.at].ends_with([' ', '\t']);
            if rest.starts_with('#') && (after_blank || self.at == start) {
                break;
            }
            if rest.starts_with("${") {
                self.expand(end, &mut value)?;
                kept = value.len();
            } else if let Some(c) = rest.chars().next() {
                value.push(c);
                self.at += c.len_utf8();
                if !c.is_whitespace() {
                    kept = value.len();
                }
            }
        }
        value.truncate(kept);
        self.at = end;
        Ok(value)
    }

    fn single_quoted(&mut self) -> Result<String, EnvFileError> {
        let start = self.at;
        let inside = &self.text[start + 1..];
        let Some(end) = inside.find('\'') else {
            return Err(error("a quote is never closed", start..start + 1));
        };
        let value = inside[..end].to_owned();
        self.at = start + 1 + end + 1;
        self.end_of_value()?;
        Ok(value)
    }

    fn double_quoted(&mut self) -> Result<String, EnvFileError> {
        let start = self.at;
        let unclosed = || error("a quote is never closed", start..start + 1);
        self.at += 1;
        let mut value = String::new();
        loop {
            if self.rest().starts_with("${") {
                self.expand(self.text.len(), &mut value)?;
                continue;
            }
            let c = self.next_char().ok_or_else(unclosed)?;
            match c {
                '"' => break,
                '\\' => match self.next_char().ok_or_else(unclosed)? {
                    'n' => value.push('\n'),
                    'r' => value.push('\r'),
                    't' => value.push('\t'),
                    c @ ('"' | '\\' | '$') => value.push(c),
                    c => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
        self.end_of_value()?;
        Ok(value)
    }

    /// Expands the reference at the cursor, which ends before `end`.
    fn expand(&mut self, end: usize, value: &mut String) -> Result<(), EnvFileError> {
        let start = self.at;
        let inside = &self.text[start + 2..end];
        let Some(length) = closing(inside) else {
            return Err(error(ExpandError::Unclosed.to_string(), start..start + 2));
        };
        let scope = Scope { env_files: self.values, environment: self.environment, own: Own::Outside };
        let stop = start + 2 + length + 1;
        let template = reference(&inside[..length], &scope).map_err(|why| error(why.to_string(), start..stop))?;
        value.push_str(&template.render(0));
        self.at = stop;
        Ok(())
    }

    /// After a closing quote: blanks, a comment, the end of the line.
    fn end_of_value(&mut self) -> Result<(), EnvFileError> {
        self.skip_blanks();
        let rest = self.rest();
        if rest.is_empty() || rest.starts_with(['\n', '\r']) {
            return Ok(());
        }
        if rest.starts_with('#') {
            self.skip_line();
            return Ok(());
        }
        Err(error("something follows the closing quote", self.at..self.at + 1))
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }
}

fn error(message: impl Into<String>, at: Range<usize>) -> EnvFileError {
    EnvFileError { message: message.into(), at }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, EnvFileError> {
        let mut values = BTreeMap::from([("EARLIER".to_owned(), "e".to_owned())]);
        let environment = BTreeMap::from([("OUTER".to_owned(), "o o".to_owned())]);
        read_into(&mut values, &environment, text)?;
        values.remove("EARLIER");
        Ok(values)
    }

    #[test]
    fn the_grammar_is_what_it_says() {
        for (line, value) in [
            ("K=", ""),
            ("K=v", "v"),
            ("  K = v  ", "v"),
            ("export K=v", "v"),
            ("export\tK=v", "v"),
            ("K=v # comment", "v"),
            ("K=v#no comment", "v#no comment"),
            ("K=#comment", ""),
            ("K= # comment", ""),
            ("K=a b  c", "a b  c"),
            ("K=a=b", "a=b"),
            ("K=C:\\dir\\n", "C:\\dir\\n"),
            ("K=p@$$w0rd$", "p@$$w0rd$"),
            ("K=$x", "$x"),
            ("K=${OUTER}!", "o o!"),
            ("K=${EARLIER}", "e"),
            ("K=${NONE:-d d}", "d d"),
            ("K=a'b\"c", "a'b\"c"),
            ("K='a ${OUTER} \\n # b'", "a ${OUTER} \\n # b"),
            ("K='a\nb' # comment", "a\nb"),
            ("K=\"a\nb\"", "a\nb"),
            ("K=\"a\\nb\\t\\\"\\\\\\$\\x\"", "a\nb\t\"\\$\\x"),
            ("K=\"${OUTER} \\${OUTER} $$\"  # c", "o o ${OUTER} $$"),
            ("K=v\r\n", "v"),
            ("K=\"v\"\r\n", "v"),
            ("\u{feff}K=v", "v"),
            ("K=1\nK=2", "2"),
            ("# c\n\n   # d=1\nK=v\n\n", "v"),
            ("K=ключ ", "ключ"),
            ("K=;`id`$(id)", ";`id`$(id)"),
        ] {
            assert_eq!(read(line), Ok(BTreeMap::from([("K".to_owned(), value.to_owned())])), "{line:?}");
        }
        assert_eq!(read("A=1\nB=${A}2\nC=\"${B}3\""), read("A=1\nB=12\nC=123"));
        assert_eq!(read("exportK=v").map(|v| v.into_keys().collect::<Vec<_>>()), Ok(vec!["exportK".to_owned()]));
    }

    #[test]
    fn a_bad_line_is_told_with_its_place() {
        for (text, message, at) in [
            ("A=1\nKEY", "a line without `=`", 4..7),
            ("A-B=1", "what stands before `=` is no name of a variable", 0..3),
            ("=1", "what stands before `=` is no name of a variable", 0..0),
            ("1A=1", "what stands before `=` is no name of a variable", 0..2),
            ("export -=1", "what stands before `=` is no name of a variable", 7..8),
            ("K='a", "a quote is never closed", 2..3),
            ("K=\"a\\", "a quote is never closed", 2..3),
            ("K=\"a\"b", "something follows the closing quote", 5..6),
            ("K=${A", "`${` is never closed", 2..4),
            ("K=${NONE}", "`${NONE}` is not set", 2..9),
            ("K=a\0", "a value with a NUL", 0..1),
        ] {
            assert_eq!(read(text), Err(error(message, at)), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "(?s).*", near in "([A-Z]{1,2}|[ =#'\"\\\\\n\r${}:é\\-]){0,40}") {
            let _ = read(&text);
            let _ = read(&near);
        }

        #[test]
        fn a_single_quoted_value_is_that_value(value in "[^'\0]*") {
            prop_assert_eq!(read(&format!("K='{value}'")), Ok(BTreeMap::from([("K".to_owned(), value)])));
        }
    }
}
