//! Bytes in, the same bytes out, in files of the right size.
//! Not here: kills, full disks, readers.

use std::fs;
use std::io::Write;

use supervisor_logs::Pump;
use tempfile::tempdir;

use crate::{content, eventually, files, keep_all, numbered, pump_through};

#[test]
fn a_line_is_in_the_file_soon_after_it_was_written() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("deep/er/a.log");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let pump = Pump::new();
    pump.attach(1, output.into(), path.clone(), keep_all(0));
    for number in 1..20 {
        input.write_all(b"hello\n").expect("the pump reads");
        eventually("the line is there", || {
            fs::read(&path).is_ok_and(|text| text == b"hello\n".repeat(number))
        });
    }
    assert_eq!(
        pump.stats(&path).map(|stats| (stats.bytes, stats.error)),
        Some((19 * 6, None))
    );
}

#[test]
fn a_million_lines_under_rotation_have_no_gap_and_no_double() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let lines = numbered(1_000_000);
    pump_through(&path, keep_all(100_000), &lines);
    assert!(
        content(&path) == lines,
        "the files together are not what was written"
    );
    let files = files(&path);
    assert!(files.len() > lines.len() / 100_000, "{} files", files.len());
    for file in &files {
        let text = fs::read(file).expect("a file");
        assert!(
            text.len() <= 100_000 && text.ends_with(b"\n"),
            "{} has {} bytes",
            file.display(),
            text.len()
        );
    }
}
