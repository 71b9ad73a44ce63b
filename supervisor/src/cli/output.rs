//! What services print, made fit to be shown: prefixed, and harmless to a terminal.
//! Not here: reading it.

use crate::untrusted::commands;

/// A line that is longer is shown in pieces.
const MAX_LINE: usize = 16 * 1024;
/// Colours that can be read on dark and light, but red, which is for what is wrong.
const COLOURS: [&str; 9] = ["36", "32", "33", "35", "34", "96", "92", "95", "94"];
const FAINT: &str = "2";

/// What is written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paper {
    /// Colours, if they are wanted, and no other control sequences.
    Terminal,
    /// Bytes as they are.
    File,
}

/// Turns the output of one service into whole lines, each after the service's name.
#[derive(Debug)]
pub(crate) struct Prefixer {
    prefix: Vec<u8>,
    paper: Paper,
    /// A line that has not ended yet.
    partial: Vec<u8>,
}

impl Prefixer {
    /// With a name of at most `width` columns before each line, in the colour of its place in the file.
    pub(crate) fn new(name: &str, place: usize, width: usize, paper: Paper) -> Self {
        Self::coloured(name, COLOURS[place % COLOURS.len()], width, paper)
    }

    /// For what the supervisor itself has to say.
    pub(crate) fn own(width: usize, paper: Paper) -> Self {
        Self::coloured("supervisor", FAINT, width, paper)
    }

    fn coloured(name: &str, colour: &str, width: usize, paper: Paper) -> Self {
        let prefix = if paper == Paper::Terminal && super::terminal::colours_wanted() {
            format!("\x1b[{colour}m{name:width$} |\x1b[0m ")
        } else {
            format!("{name:width$} | ")
        };
        Self { prefix: prefix.into_bytes(), paper, partial: Vec::new() }
    }

    /// Without a name, for a terminal.
    pub(crate) fn nameless() -> Self {
        Self { prefix: Vec::new(), paper: Paper::Terminal, partial: Vec::new() }
    }

    /// The lines that are complete with these further bytes.
    pub(crate) fn lines(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len() + self.prefix.len());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in piece.chunks(MAX_LINE) {
                if self.partial.len() >= MAX_LINE && piece != b"\n" {
                    shown.extend(self.finish());
                }
                self.partial.extend_from_slice(piece);
                if self.partial.ends_with(b"\n") {
                    shown.extend(self.finish());
                }
            }
        }
        shown
    }

    /// Something waits for the end of its line.
    pub(crate) fn is_within_line(&self) -> bool {
        !self.partial.is_empty()
    }

    /// What waits for its end, as a line.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        if self.partial.is_empty() {
            return Vec::new();
        }
        let mut line = std::mem::take(&mut self.partial);
        if line.ends_with(b"\n") {
            line.pop();
        }
        let mut shown = self.prefix.clone();
        match self.paper {
            Paper::Terminal => shown.extend(sanitised(&line).into_bytes()),
            Paper::File => shown.extend(line),
        }
        shown.push(b'\n');
        shown
    }
}

/// One line as a terminal may see it: text, tabs and colours (SGR) as they are; every other control character,
/// C1 and bidirectional ones included, and what is not UTF-8, escaped.
pub(crate) fn sanitised(line: &[u8]) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut coloured = false;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    for chunk in line.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(c) = rest.chars().next() {
            let sgr = sgr_len(rest);
            if sgr > 0 {
                coloured = true;
                shown.push_str(&rest[..sgr]);
                rest = &rest[sgr..];
                continue;
            }
            push_harmless(&mut shown, c);
            rest = &rest[c.len_utf8()..];
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if coloured {
        shown.push_str("\x1b[0m");
    }
    shown
}

/// Text of others within a line of ours: no control character at all.
pub(crate) fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        push_harmless(&mut shown, if c == '\t' { ' ' } else { c });
    }
    shown
}

fn push_harmless(shown: &mut String, c: char) {
    if c == '\t' || !commands(c) {
        shown.push(c);
    } else if c.is_ascii() {
        shown.push_str(&format!("\\x{:02x}", u32::from(c)));
    } else {
        shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
    }
}

/// The length of `ESC [ digits ; : m` at the beginning; 0 when something else is there.
fn sgr_len(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let end = parameters.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':')).unwrap_or(parameters.len());
    if end <= 32 && parameters[end..].starts_with('m') { 2 + end + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_pass_and_end_with_the_line() {
        assert_eq!(sanitised(b"\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m\x1b[0m");
    }

    #[test]
    fn other_sequences_are_shown_not_obeyed() {
        assert_eq!(sanitised(b"\x1b]0;title\x07"), "\\x1b]0;title\\x07");
        assert_eq!(sanitised(b"\x1b[2J\x1b[1"), "\\x1b[2J\\x1b[1");
        assert_eq!(sanitised(b"over\rwritten\r"), "over\\x0dwritten");
        assert_eq!(sanitised("\u{9b}31m \u{202e}x".as_bytes()), "\\u{9b}31m \\u{202e}x");
        assert_eq!(sanitised(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(sanitised("\ttäb".as_bytes()), "\ttäb");
    }

    #[test]
    fn lines_are_put_together_across_reads() {
        let mut prefixer = Prefixer::new("a", 0, 3, Paper::File);
        assert_eq!(prefixer.lines(b"on"), b"");
        assert_eq!(prefixer.lines(b"e\n\ntw"), b"a   | one\na   | \n");
        assert_eq!(prefixer.finish(), b"a   | tw\n");
        assert_eq!(prefixer.finish(), b"");
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces() {
        let mut prefixer = Prefixer::new("a", 0, 1, Paper::File);
        let shown = prefixer.lines(&vec![b'x'; 3 * MAX_LINE + 5]);
        assert_eq!(shown.iter().filter(|byte| **byte == b'\n').count(), 3);
        assert_eq!(prefixer.partial.len(), 5);
    }

    #[test]
    fn a_line_as_long_as_a_piece_is_one_line() {
        let mut prefixer = Prefixer::new("a", 0, 1, Paper::File);
        let mut shown = prefixer.lines(&[b'x'; MAX_LINE]);
        shown.extend(prefixer.lines(b"\n"));
        assert_eq!(shown.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert!(!prefixer.is_within_line());
    }

    proptest! {
        #[test]
        fn nothing_but_colours_and_tabs_survives_of_controls(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = sanitised(&line).replace('\t', "");
            while let Some(at) = rest.find('\x1b') {
                let len = sgr_len(&rest[at..]);
                prop_assert!(len > 0, "{:?}", rest);
                rest.replace_range(at..at + len, "");
            }
            prop_assert!(!rest.chars().any(char::is_control), "{:?}", rest);
        }

        #[test]
        fn printable_text_is_left_alone(line in "[ -~äöü漢🙂]{0,80}") {
            prop_assert_eq!(sanitised(line.as_bytes()), line);
        }
    }
}
