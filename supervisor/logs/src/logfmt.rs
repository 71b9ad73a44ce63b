//! `key=value key="a value"`: the pairs of a line.
//! Not here: what they mean.

/// The most pairs of one line.
const MOST: usize = 64;

/// All pairs; words without `=` are skipped.
pub(crate) fn pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while pairs.len() < MOST {
        rest = rest.trim_start();
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(value) = after.strip_prefix('=') else {
            if after.is_empty() {
                break;
            }
            rest = after;
            continue;
        };
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = value.find(char::is_whitespace).unwrap_or(value.len());
                (value[..end].to_owned(), &value[end..])
            }
        };
        let plain = |c: char| c.is_alphanumeric() || "_-.:/@".contains(c);
        if !key.is_empty() && key.chars().all(plain) {
            pairs.push((key.to_owned(), value));
        }
        rest = after;
    }
    pairs
}

/// The text up to the closing quote, and what comes after it.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_between_other_words() {
        let found = pairs(r#"now a=1 b="two \"words\"" =x c= "d=4 e=5=6"#);
        let wanted = [("a", "1"), ("b", "two \"words\""), ("c", ""), ("e", "5=6")];
        assert_eq!(found, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_line_that_breaks_off_is_no_trouble() {
        for line in ["", "=", "a=\"", "a=\"b\\", "   ", "\u{2003}x=1"] {
            assert!(pairs(line).len() <= 1, "{line}");
        }
    }
}
