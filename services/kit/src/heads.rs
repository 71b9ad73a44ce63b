//! Where the heads of HTTP/1 requests end in what a client sends, so that a request sent ahead is known of.
//! Not here: what a head says.
//!
//! hyper reads as much as there is and does not tell what it has. So it is given one head at a time, and a drain can
//! see whether the answer that goes out is the last one that the client waits for.

/// The end of a head.
const END: &[u8] = b"\r\n\r\n";

/// The heads of one connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heads {
    looking: Looking,
    /// Heads that hyper has and has not made a request of.
    untaken: u32,
    /// The first bytes of one more are there.
    begun: bool,
}

#[derive(Debug, Clone, Copy)]
enum Looking {
    /// For the end of a head, of which so many bytes are there.
    ForEnd { matched: usize },
    /// Not: hyper has a head before it.
    NotYet,
    /// Not: a body is on its way. What is in it does not concern us.
    NotInBody,
}

impl Default for Looking {
    fn default() -> Self {
        Self::ForEnd { matched: 0 }
    }
}

impl Heads {
    /// How many of these bytes go no further than the end of a head.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> usize {
        let Looking::ForEnd { mut matched } = self.looking else {
            return bytes.len();
        };
        for (at, byte) in bytes.iter().enumerate() {
            matched = if *byte == END[matched] { matched + 1 } else { usize::from(*byte == END[0]) };
            if matched == END.len() {
                self.looking = Looking::NotYet;
                self.untaken += 1;
                self.begun = false;
                return at + 1;
            }
        }
        self.looking = Looking::ForEnd { matched };
        self.begun |= !bytes.is_empty();
        bytes.len()
    }

    /// A request without a body was made of a head.
    pub(crate) fn taken(&mut self) {
        self.untaken = self.untaken.saturating_sub(1);
        self.looking = Looking::default();
    }

    /// A request was made of a head; what follows is its body.
    pub(crate) fn taken_with_a_body(&mut self) {
        self.untaken = self.untaken.saturating_sub(1);
        self.looking = Looking::NotInBody;
    }

    /// The body has come, or is not wanted.
    pub(crate) fn body_over(&mut self) {
        if let Looking::NotInBody = self.looking {
            self.looking = Looking::default();
        }
    }

    /// A request has been sent ahead, or the beginning of one.
    pub(crate) fn untaken(&self) -> bool {
        self.untaken > 0 || self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is given away at once, piece by piece, while every head is taken as soon as it is there.
    fn pieces(received: &[&str]) -> Vec<String> {
        let mut heads = Heads::default();
        let mut pieces = Vec::new();
        for bytes in received {
            let mut rest = bytes.as_bytes();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(heads.received(rest));
                pieces.push(String::from_utf8_lossy(now).into_owned());
                rest = later;
                if heads.untaken > 0 {
                    heads.taken();
                }
            }
        }
        pieces
    }

    #[test]
    fn one_head_is_given_at_a_time() {
        assert_eq!(pieces(&["A\r\n\r\nB\r\n\r\nC"]), ["A\r\n\r\n", "B\r\n\r\n", "C"]);
    }

    #[test]
    fn an_end_in_several_pieces_is_found() {
        assert_eq!(pieces(&["A\r", "\n\r", "\nB"]), ["A\r", "\n\r", "\n", "B"]);
        assert_eq!(pieces(&["A\r\n\r\r\n\r\nB"]), ["A\r\n\r\r\n\r\n", "B"]);
    }

    #[test]
    fn a_head_counts_until_a_request_is_made_of_it() {
        let mut heads = Heads::default();
        assert_eq!(heads.received(b"A\r\n\r\nB\r\n\r\n"), 5);
        assert!(heads.untaken());
        heads.taken();
        assert!(!heads.untaken());
        assert_eq!(heads.received(b"B\r\n\r\n"), 5);
        assert!(heads.untaken());
    }

    #[test]
    fn a_body_is_passed_on_whole_whatever_is_in_it() {
        let mut heads = Heads::default();
        heads.received(b"A\r\n\r\n");
        heads.taken_with_a_body();
        assert_eq!(heads.received(b"x\r\n\r\ny"), 6);
        assert!(!heads.untaken());
        heads.body_over();
        assert_eq!(heads.received(b"B\r\n\r\nC"), 5);
    }
}
