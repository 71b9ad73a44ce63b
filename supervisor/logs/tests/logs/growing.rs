//! A file that cannot be followed by another one grows: writes go on, and it is told why.
//! Not here: files that cannot be written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use supervisor_logs::{Compression, Pump, Settings};
use tempfile::tempdir;

use crate::outage::on_a_disk_of;
use crate::{assert_same, child, child_directory, content, feed, finish, numbered};

/// Writes much more than a file may hold to the log in `directory`, which must take it all in one file.
fn grows(directory: &Path, why: &str) {
    let path = directory.join("a.log");
    let pump = Pump::new();
    let settings = Settings { max_size: 1000, keep: 2, compression: Compression::None, ..Settings::default() };
    let mut input = feed(&pump, 1, &path, &settings);
    input.write_all(&numbered(10_000)).expect("the pump reads");
    finish(&pump, 1);
    let stats = pump.stats(&path).expect("it is known");
    assert_same(&content(&path), &numbered(10_000));
    assert_eq!(stats.error, Some(format!("rotate: {why}")));
    assert_eq!((stats.dropped_bytes, stats.rotations), (0, 0));
}

#[test]
fn a_log_that_cannot_be_rotated_grows() {
    let directory = tempdir().expect("a directory");
    // A directory in the way of a name cannot be replaced by a file, not even by root.
    fs::create_dir_all(directory.path().join(".a.log.new/full")).expect("a directory");
    grows(directory.path(), "Is a directory");
}

#[test]
fn a_log_grows_when_the_disk_has_no_room_for_another_file() {
    // The directory, the log, its index.
    on_a_disk_of("size=4m,nr_inodes=3", "growing::without_another_file");
}

#[test]
#[ignore = "is a child process of the test above"]
fn without_another_file() {
    let Some(directory) = child_directory() else { return };
    grows(&directory, "No space left on device");
}

#[test]
fn a_log_grows_when_it_may_be_written_but_not_renamed() {
    let directory = tempdir().expect("a directory");
    let (at, path) = (directory.path(), directory.path().join("a.log"));
    fs::write(&path, "").expect("a file");
    let mut this = child("growing::without_the_right", at);
    if nix::unistd::geteuid().is_root() {
        let mut ordinary = Command::new("setpriv");
        ordinary.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(this.get_program());
        ordinary.args(this.get_args()).env("LOGS_TEST_DIR", at);
        this = ordinary;
        chown(&path, Some(65534), Some(65534)).expect("root may");
    }
    let mode = |mode| fs::set_permissions(at, fs::Permissions::from_mode(mode)).expect("ours");
    mode(0o555);
    let output = this.output().expect("it starts");
    mode(0o755);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::metadata(&path).expect("a log").size(), numbered(10_000).len() as u64, "it was run");
}

#[test]
#[ignore = "is a child process of the test above"]
fn without_the_right() {
    let Some(directory) = child_directory() else { return };
    grows(&directory, "Permission denied");
}
