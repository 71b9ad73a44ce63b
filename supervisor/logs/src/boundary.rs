//! Where a file ends and the next one begins: on a line boundary, if one is in reach.
//! Not here: files.

/// A line may carry a file this far beyond its limit, if all logs together have room for it.
pub(crate) const SLACK: u64 = 1 << 20;

/// What to do next with the bytes that can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Move exactly this many, at least one, to the file.
    Move(usize),
    /// Begin the next file first.
    Rotate,
}

/// A file that is being filled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling {
    pub(crate) size: u64,
    /// At which it is full.
    pub(crate) limit: u64,
    /// How far a line may carry it beyond that before it is cut.
    pub(crate) slack: u64,
    /// Its last byte is a line end, or it is empty.
    pub(crate) ends_line: bool,
}

impl Filling {
    /// `visible` must not be empty.
    pub(crate) fn step(self, visible: &[u8]) -> Step {
        let room = usize::try_from(self.limit.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if visible.len() <= room {
            return Step::Move(visible.len());
        }
        if let Some(last) = visible[..room].iter().rposition(|&byte| byte == b'\n') {
            return Step::Move(last + 1);
        }
        if self.ends_line && self.size > 0 {
            return Step::Rotate;
        }
        let beyond =
            usize::try_from(self.limit.saturating_add(self.slack).saturating_sub(self.size)).unwrap_or(usize::MAX);
        let reach = &visible[..visible.len().min(beyond)];
        match reach[room..].iter().position(|&byte| byte == b'\n') {
            Some(first) => Step::Move(room + first + 1),
            None if reach.is_empty() => Step::Rotate,
            None => Step::Move(reach.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(size: u64, limit: u64, ends_line: bool, visible: &[u8]) -> Step {
        Filling { size, limit, slack: SLACK, ends_line }.step(visible)
    }

    #[test]
    fn what_fits_is_moved_whole() {
        assert_eq!(step(4, 10, true, b"ab\ncd"), Step::Move(5));
    }

    #[test]
    fn of_what_does_not_fit_the_whole_lines_are_moved() {
        assert_eq!(step(4, 10, true, b"ab\ncdefgh\n"), Step::Move(3));
        assert_eq!(step(4, 10, false, b"\nabcdefghi"), Step::Move(1));
    }

    #[test]
    fn a_line_that_does_not_fit_begins_the_next_file() {
        assert_eq!(step(4, 10, true, b"abcdefgh\n"), Step::Rotate);
        assert_eq!(step(10, 10, true, b"a"), Step::Rotate);
    }

    #[test]
    fn a_line_begun_is_ended_in_the_same_file() {
        assert_eq!(step(4, 10, false, b"abcdefgh\nij\n"), Step::Move(9));
        assert_eq!(step(12, 10, false, b"ab\nc"), Step::Move(3));
    }

    #[test]
    fn a_line_longer_than_a_file_has_a_file_of_its_own() {
        assert_eq!(step(0, 4, true, b"abcdefgh\nij\n"), Step::Move(9));
    }

    #[test]
    fn a_line_without_end_is_cut_beyond_the_slack() {
        let long = vec![b'x'; 1 << 18];
        assert_eq!(step(10, 10, false, &long), Step::Move(1 << 18));
        assert_eq!(step(10 + SLACK - 7, 10, false, &long), Step::Move(7));
        assert_eq!(step(10 + SLACK, 10, false, &long), Step::Rotate);
    }
}
