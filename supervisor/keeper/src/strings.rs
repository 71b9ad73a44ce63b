//! Strings for `exec`, in one piece of memory: each page that the keeper writes to between two forks is copied.
//! Not here: what they mean.

use nix::libc::c_char;

/// Strings, each ended by a null as `exec` wants them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strings {
    text: Vec<u8>,
    begins: Vec<usize>,
}

impl Strings {
    pub(crate) fn with_room(bytes: usize, count: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), begins: Vec::with_capacity(count) }
    }

    /// Adds one. A null inside is found when it comes to `exec`.
    pub fn push(&mut self, string: impl AsRef<[u8]>) {
        self.begins.push(self.text.len());
        self.text.extend_from_slice(string.as_ref());
        self.text.push(0);
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let end = |at: usize| self.begins.get(at + 1).copied().unwrap_or(self.text.len()) - 1;
        self.begins.iter().enumerate().map(move |(at, begin)| &self.text[*begin..end(at)])
    }

    /// As `exec` wants them, a null pointer last; good while nothing is added. `None`: one has a null inside.
    pub(crate) fn pointers(&self) -> Option<Vec<*const c_char>> {
        if self.text.iter().filter(|byte| **byte == 0).count() != self.begins.len() {
            return None;
        }
        let strings = self.begins.iter().map(|begin| self.text[*begin..].as_ptr().cast());
        Some(strings.chain([std::ptr::null()]).collect())
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut all = Self::default();
        strings.into_iter().for_each(|string| all.push(string));
        all
    }
}
