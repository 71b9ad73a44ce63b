//! What can be asked of a log, and what can be known of it.
//! Not here: anything that does it.

/// How a log is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bytes after which the file is rotated, at a line boundary; 0: never.
    pub max_size: u64,
    /// How many archives are kept. With 0 the log is begun anew, empty.
    pub keep: u32,
    /// What becomes of archives.
    pub compression: Compression,
}

/// What becomes of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// They stay as they are.
    None,
    /// `NAME.log.N` becomes `NAME.log.N.gz`.
    Gzip,
}

/// What has become of the bytes for a log, since this process first heard of it.
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
