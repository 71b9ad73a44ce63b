//! What all logs together may take: kept at every moment, at the cost of the oldest archives.
//! Not here: disks that are full.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use supervisor_logs::{Budget, Compression, Pump, Settings};
use tempfile::tempdir;

use crate::{assert_same, content, eventually, feed, finish, keep_all, numbered};

/// Bytes of all files in a directory, each once though it may be renamed meanwhile.
fn size(directory: &Path) -> u64 {
    let all = fs::read_dir(directory).expect("it can be listed").flatten();
    let all: BTreeMap<u64, u64> =
        all.filter_map(|entry| entry.metadata().ok()).map(|found| (found.ino(), found.len())).collect();
    all.values().sum()
}

/// Puts an archive of `len` bytes in the way, last written to `age` ago.
fn archive(path: &Path, len: usize, age: Duration) {
    fs::write(path, vec![b'\n'; len]).expect("there is room");
    let file = fs::File::options().write(true).open(path).expect("it is there");
    file.set_modified(SystemTime::now() - age).expect("it can be dated");
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_flood_of_several_services_never_takes_more_than_the_total() {
    const TOTAL: u64 = 4 << 20;
    for compression in [Compression::None, Compression::Gzip] {
        let dir = tempdir().expect("a directory");
        let pump = Pump::new();
        pump.set_budget(Budget { total: TOTAL, min_free: 0 });
        let (over, most) = (AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
        let paths = ["a.log", "b.log", "c.log"].map(|name| dir.path().join(name));
        std::thread::scope(|scope| {
            let writers: Vec<_> = paths
                .iter()
                .zip(1..)
                .map(|(path, id)| {
                    let settings = Settings { max_size: 10 << 20, compression, ..keep_all(0) };
                    let mut input = feed(&pump, id, path, &settings);
                    scope.spawn(move || input.write_all(&numbered(1_000_000)).expect("the pump reads"))
                })
                .collect();
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    most.fetch_max(size(dir.path()), Ordering::Relaxed);
                }
            });
            writers.into_iter().for_each(|writer| writer.join().expect("it wrote"));
            over.store(true, Ordering::Relaxed);
        });
        (1..=3).for_each(|id| finish(&pump, id));
        assert!(size(dir.path()) <= TOTAL, "{}", size(dir.path()));
        let most = most.into_inner();
        assert!(most > TOTAL / 4 && most <= TOTAL, "{most}");
        let quiet = |name: String| ["log", "idx", "gz"].iter().any(|end| name.ends_with(end));
        eventually("nothing is compressed any more", || {
            let mut all = fs::read_dir(dir.path()).expect("it can be listed").flatten();
            compression == Compression::None || all.all(|entry| quiet(entry.file_name().into_string().expect("text")))
        });
        for path in &paths {
            let kept = content(path);
            let sent = numbered(1_000_000);
            assert!(sent.ends_with(&kept) && !kept.is_empty(), "{} bytes", kept.len());
        }
    }
}

#[test]
fn the_oldest_archives_of_all_services_go_first_and_those_of_strangers_stay() {
    let dir = tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    archive(&path("a.log.1"), 100_000, HOUR);
    archive(&path("a.log.2"), 100_000, 3 * HOUR);
    archive(&path("idle.log.1"), 100_000, 2 * HOUR);
    archive(&path("idle.log.2.gz"), 100_000, 4 * HOUR);
    archive(&path("stranger.log.1"), 100_000, 5 * HOUR);
    let pump = Pump::new();
    pump.configure(&path("idle.log"), keep_all(1000));
    // Room for files of 1,000 bytes and their long lines, and for two archives and a half.
    pump.set_budget(Budget { total: 500_000, min_free: 0 });
    let mut input = feed(&pump, 1, &path("a.log"), &keep_all(1000));
    input.write_all(b"hello\n").expect("the pump reads");
    eventually("two are gone", || !path("a.log.2").exists() && !path("idle.log.2.gz").exists());
    finish(&pump, 1);
    assert!(path("a.log.1").exists() && path("idle.log.1").exists() && path("stranger.log.1").exists());
    pump.set_budget(Budget { total: 300_000, min_free: 0 });
    eventually("a lower total holds at once", || !path("idle.log.1").exists());
    assert_same(&fs::read(path("a.log")).expect("the file that is written to stays"), b"hello\n");
}

#[test]
fn an_archive_that_is_too_old_goes_though_nothing_is_written() {
    let dir = tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    archive(&path("a.log.1"), 10, HOUR);
    archive(&path("a.log.2"), 10, 3 * HOUR);
    archive(&path("b.log.1"), 10, 3 * HOUR);
    let pump = Pump::new();
    let _a = feed(&pump, 1, &path("a.log"), &Settings { max_age: 2 * HOUR, ..keep_all(0) });
    let _b = feed(&pump, 2, &path("b.log"), &keep_all(0));
    eventually("it is gone", || !path("a.log.2").exists());
    assert!(path("a.log.1").exists() && path("b.log.1").exists());
    pump.configure(&path("b.log"), Settings { max_age: HOUR, ..keep_all(0) });
    eventually("so does the other", || !path("b.log.1").exists());
    let age = Duration::from_secs(1);
    pump.configure(&path("a.log"), Settings { max_age: age, ..keep_all(0) });
    eventually("the young one, too", || !path("a.log.1").exists());
}

#[test]
fn a_log_without_a_limit_of_its_own_keeps_to_its_share() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    pump.set_budget(Budget { total: 400_000, min_free: 0 });
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    input.write_all(&vec![b'x'; 3 << 20]).expect("the pump reads");
    input.write_all(b"\n").expect("the pump reads");
    finish(&pump, 1);
    assert!(size(dir.path()) <= 400_000, "{}", size(dir.path()));
    assert!(fs::read(&path).is_ok_and(|text| text.ends_with(b"x\n")));
}
