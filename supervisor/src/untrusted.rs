//! Text of others: which characters of it would command a terminal or deceive a reader.
//! Not here: how each place shows them instead.

/// A terminal would obey it, it ends a line, or it turns the order of text around: the control characters, and
/// Unicode's separators of lines and formatting of direction (UAX 9).
pub(crate) fn commands(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// It commands, or it cannot be seen at all. Scripts and emoji need some of these, so only where a reader decides by
/// what is shown are they taken away.
pub(crate) fn deceives(c: char) -> bool {
    commands(c) || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// As one line of at most `max` bytes, with a space for what commands, and for many: a page of HTML is full of them.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    for c in text.trim().chars().map(|c| if commands(c) { ' ' } else { c }) {
        if c == ' ' && line.ends_with(' ') {
            continue;
        }
        if line.len() + c.len_utf8() > max {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_a_character_boundary() {
        assert_eq!(one_line("é".repeat(200).as_str(), 255).len(), 254);
        assert_eq!(one_line("ab\n\t  cd\u{202e}", 256), "ab cd ");
    }
}
