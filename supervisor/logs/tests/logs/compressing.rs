//! Archives become `.gz`, whole, at their right place.
//! Not here: reading through them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use flate2::GzBuilder;
use supervisor_logs::{Compression, Pump, Settings};
use tempfile::tempdir;

use crate::{assert_same, content, eventually, feed, files, finish, numbered, settled};

fn gzip(keep: u32) -> Settings {
    Settings { max_size: 20_000, keep, compression: Compression::Gzip, ..Settings::default() }
}

#[test]
fn archives_are_compressed_while_rotation_goes_on() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let lines = numbered(300_000);
    let mut input = feed(&pump, 1, &path, &gzip(u32::MAX));
    lines.chunks(10_000).for_each(|piece| input.write_all(piece).expect("the pump reads"));
    finish(&pump, 1);
    settled(&path);
    assert_same(&content(&path), &lines);
    assert!(files(&path).len() > 100, "{} files", files(&path).len());
    assert_eq!(pump.stats(&path).and_then(|stats| stats.error), None);
}

#[test]
fn compressed_archives_beyond_keep_are_deleted() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let lines = numbered(100_000);
    let mut input = feed(&pump, 1, &path, &gzip(3));
    input.write_all(&lines).expect("the pump reads");
    finish(&pump, 1);
    settled(&path);
    assert_eq!(files(&path).len(), 4);
    let kept = content(&path);
    assert_same(&kept, &lines[lines.len() - kept.len()..]);
}

#[test]
fn what_a_killed_compression_left_is_swept_at_the_next_start() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let original = dir.path().join("a.log.1");
    fs::write(&original, "archived\n").expect("a file");
    fs::write(dir.path().join(".a.log.4711.gz.new"), "half").expect("a file");
    fs::write(dir.path().join(".a.log.other"), "not ours").expect("a file");
    // Killed between giving the copy its name and deleting the original.
    let comment = format!("supervisor inode {}", original.metadata().expect("a file").ino());
    let copy = fs::File::create(dir.path().join("a.log.1.gz")).expect("a file");
    let mut encoder = GzBuilder::new().comment(comment).write(copy, flate2::Compression::fast());
    encoder.write_all(b"archived\n").expect("it is written");
    encoder.finish().expect("it is written");
    let pump = Pump::new();
    feed(&pump, 1, &path, &gzip(3)).write_all(b"live\n").expect("the pump reads");
    finish(&pump, 1);
    assert_same(&content(&path), b"archived\nlive\n");
    assert!(!original.exists());
    assert!(!dir.path().join(".a.log.4711.gz.new").exists());
    assert!(dir.path().join(".a.log.other").exists());
}

#[test]
fn an_archive_that_cannot_be_compressed_stays_and_is_tried_again() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let archive = dir.path().join("a.log.1");
    fs::write(&archive, "archived\n").expect("a file");
    // A directory in the way of the copy's name, which is known by the inode.
    let inode = archive.metadata().expect("a file").ino();
    let obstacle = dir.path().join(format!(".a.log.{inode}.gz.new"));
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &Settings { compression: Compression::None, ..gzip(9) });
    input.write_all(b"begin\n").expect("the pump reads");
    eventually("it is open", || path.exists());
    fs::create_dir_all(obstacle.join("full")).expect("a directory");
    pump.configure(&path, gzip(9));
    input.write_all(&numbered(3_000)).expect("the pump reads");
    eventually("the failure is told", || {
        pump.stats(&path).and_then(|stats| stats.error).is_some_and(|error| error.starts_with("compress: "))
    });
    fs::remove_dir_all(&obstacle).expect("it can be removed");
    input.write_all(&numbered(4_000)).expect("the pump reads");
    finish(&pump, 1);
    settled(&path);
    assert_eq!(pump.stats(&path).and_then(|stats| stats.error), None);
    assert_same(&content(&path), &[b"archived\nbegin\n".to_vec(), numbered(3_000), numbered(4_000)].concat());
}
