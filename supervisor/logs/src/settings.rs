//! What can be asked of a log, and what can be known of it.
//! Not here: anything that does it.

use std::time::Duration;

/// How a log is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bytes after which the file is rotated, at a line boundary; 0: never.
    pub max_size: u64,
    /// How many archives are kept. With 0 the log is begun anew, empty.
    pub keep: u32,
    /// What becomes of archives.
    pub compression: Compression,
    /// Archives that were last written to longer ago are deleted; zero: none is too old.
    pub max_age: Duration,
    /// While the log cannot be written.
    pub on_full: OnFull,
}

/// What becomes of output that a log cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// It is dropped and counted: the service goes on.
    Drop,
    /// It stays in its pipe, and the service waits once that is full.
    Block,
}

/// What all logs together may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Bytes of all files of all logs; 0: any number. The oldest archives go first, and no file grows beyond its share of
    /// a quarter.
    pub total: u64,
    /// Bytes that are left free on the file system, at most a tenth of it; 0: none. The oldest archives go first; without
    /// any, it is as if the disk were full.
    pub min_free: u64,
}

impl Default for Settings {
    /// One file without limit.
    fn default() -> Self {
        Self {
            max_size: 0,
            keep: u32::MAX,
            compression: Compression::None,
            max_age: Duration::ZERO,
            on_full: OnFull::Drop,
        }
    }
}

/// What becomes of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// They stay as they are.
    None,
    /// `NAME.log.N` becomes `NAME.log.N.gz`.
    Gzip,
}

/// What has become of the bytes for a log, since this process first heard of it; what was dropped, since the ledger of
/// the pump was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Bytes of the service that are in the file.
    pub bytes: u64,
    /// Bytes that could not be written.
    pub dropped_bytes: u64,
    /// Line ends among them.
    pub dropped_lines: u64,
    /// How often the file was rotated.
    pub rotations: u64,
    /// What is wrong now, if anything.
    pub error: Option<String>,
}
