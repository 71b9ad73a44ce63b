//! A line as a person reads it.
//! Not here: what is looked for in it.

use std::borrow::Cow;

/// A line as a person reads it: without the sequences that colour it and move cursors (ECMA-48), and without a final
/// carriage return.
#[must_use]
pub fn plain(line: &[u8]) -> Cow<'_, [u8]> {
    const ESC: u8 = 0x1b;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.contains(&ESC) {
        return Cow::Borrowed(line);
    }
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.iter().position(|&byte| byte == ESC) {
        text.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let length = match rest.first() {
            // CSI: parameters, then a byte from `@` to `~`.
            Some(b'[') => rest.iter().skip(1).position(|byte| (b'@'..=b'~').contains(byte)).map(|end| end + 2),
            // OSC and other strings: up to BEL, or ESC and a backslash.
            Some(b']' | b'P' | b'X' | b'^' | b'_') => rest
                .iter()
                .position(|&byte| byte == 7 || byte == ESC)
                .map(|end| end + if rest[end..].starts_with(b"\x1b\\") { 2 } else { 1 }),
            // Others: intermediates, then one byte.
            Some(_) => rest.iter().position(|byte| !(b' '..=b'/').contains(byte)).map(|end| end + 1),
            None => None,
        };
        rest = length.and_then(|length| rest.get(length..)).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_a_person_reads_of_it() {
        for (line, read) in [
            ("plain", "plain"),
            ("\u{1b}[1;32mready\u{1b}[0m in \u{1b}[1m300\u{1b}[22m ms\r", "ready in 300 ms"),
            ("\u{1b}]0;title\u{7}up", "up"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\.", "link."),
            ("\u{1b}(Bup\u{1b}7", "up"),
            ("up\u{1b}[12", "up"),
            ("up\u{1b}", "up"),
            ("a\rb", "a\rb"),
        ] {
            assert_eq!(String::from_utf8_lossy(&plain(line.as_bytes())), read);
        }
    }
}
