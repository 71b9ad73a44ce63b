//! Disks that take nothing for a while: a service that is to wait waits, a dead disk holds up its own log alone, and
//! what other programs need stays free.
//! Not here: what is dropped, and how that is counted (`outage`).

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use supervisor_logs::{Budget, Compression, OnFull, Pump, Settings, Unfinished, last};
use tempfile::tempdir;

use crate::outage::{on_a_disk_of, on_a_small_disk};
use crate::{assert_same, child, child_directory, content, eventually, feed, files, finish, keep_all, numbered};

#[test]
fn a_service_that_is_to_wait_for_a_full_disk_loses_nothing() {
    on_a_disk_of("size=2m", "patience::waits");
}

#[test]
fn what_has_to_be_free_stays_free() {
    on_a_small_disk("patience::leaves_room");
}

#[test]
fn a_flood_on_a_small_disk_leaves_others_room() {
    on_a_disk_of("size=4m", "patience::shared");
}

#[test]
fn a_file_that_fills_a_small_disk_makes_room_when_it_is_written_to() {
    on_a_disk_of("size=4m", "patience::filled");
}

#[test]
#[ignore = "is a child process of a test above"]
fn shared() {
    let Some(directory) = child_directory() else { return };
    let (flooded, quiet) = (directory.join("a.log"), directory.join("b.log"));
    let pump = Pump::new();
    pump.set_budget(Budget { total: 1 << 30, min_free: 200 << 20 });
    let settings = Settings { max_size: 10 << 20, keep: 5, compression: Compression::Gzip, ..Settings::default() };
    let mut flood = feed(&pump, 1, &flooded, &settings);
    let mut other = feed(&pump, 2, &quiet, &settings);
    let (sent, lines) = (numbered(3_000_000), numbered(1000));
    let pieces = sent.chunks(sent.len() / 1000 + 1);
    for (piece, line) in pieces.zip(lines.split_inclusive(|&byte| byte == b'\n')) {
        flood.write_all(piece).expect("the pump reads");
        other.write_all(line).expect("the pump reads");
    }
    finish(&pump, 1);
    finish(&pump, 2);
    assert_same(&content(&quiet), &lines);
    for path in [&flooded, &quiet] {
        let stats = pump.stats(path).expect("it is known");
        assert_eq!((stats.dropped_bytes, stats.error), (0, None));
    }
    let is_compressed = |file: &PathBuf| *file == flooded || file.extension().is_some_and(|end| end == "gz");
    eventually("all archives are compressed", || files(&flooded).iter().all(is_compressed));
    let kept = content(&flooded);
    assert!(sent.ends_with(&kept) && kept.len() > 1 << 20, "{} bytes", kept.len());
}

#[test]
#[ignore = "is a child process of a test above"]
fn filled() {
    let Some(directory) = child_directory() else { return };
    let path = directory.join("a.log");
    let old = numbered(400_000);
    fs::write(&path, &old[..4_000_000]).expect("there is room");
    let pump = Pump::new();
    pump.set_budget(Budget { total: 1 << 30, min_free: 200 << 20 });
    let settings = Settings { max_size: 10 << 20, keep: 5, ..Settings::default() };
    let mut input = feed(&pump, 1, &path, &settings);
    let sent = numbered(1000);
    input.write_all(&sent).expect("the pump reads");
    finish(&pump, 1);
    assert_same(&content(&path), &sent);
    assert_eq!(pump.stats(&path).map(|stats| (stats.dropped_bytes, stats.error)), Some((0, None)));
}

#[test]
#[ignore = "is a child process of a test above"]
fn waits() {
    let Some(directory) = child_directory() else { return };
    let (path, filler) = (directory.join("a.log"), directory.join("filler"));
    fs::write(&filler, vec![0; 2_000_000]).expect("there is room");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &Settings { on_full: OnFull::Block, ..keep_all(0) });
    // More than the disk, a pipe and its stage take together.
    let sent = numbered(120_000);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| input.write_all(&sent).expect("the pump holds the pipe"));
        eventually("it is told", || {
            pump.stats(&path).is_some_and(|stats| stats.error.as_deref() == Some("No space left on device"))
        });
        // Longer than output is kept that may be dropped.
        std::thread::sleep(Duration::from_secs(6));
        assert!(!writer.is_finished(), "it waits");
        fs::remove_file(&filler).expect("it can be removed");
        writer.join().expect("it wrote");
    });
    finish(&pump, 1);
    let stats = pump.stats(&path).expect("it is known");
    assert_eq!((stats.dropped_bytes, stats.error), (0, None));
    assert_same(&content(&path), &sent);
}

#[test]
#[ignore = "is a child process of a test above"]
fn leaves_room() {
    let Some(directory) = child_directory() else { return };
    let free = || {
        let found = statvfs(&directory).expect("it can be asked");
        found.blocks_available() * found.fragment_size()
    };
    let (path, filler) = (directory.join("a.log"), directory.join("filler"));
    let pump = Pump::new();
    // A tenth of 400 KiB counts.
    pump.set_budget(Budget { total: 0, min_free: 1 << 30 });
    let mut input = feed(&pump, 1, &path, &keep_all(20_000));
    for piece in numbered(80_000).chunks(10_000) {
        input.write_all(piece).expect("the pump reads");
        std::thread::sleep(Duration::from_millis(15));
    }
    let mut write_on = || {
        std::thread::sleep(Duration::from_millis(20));
        input.write_all(b"one more\n").expect("the pump reads");
    };
    eventually("archives make room", || {
        write_on();
        free() >= 40 << 10
    });
    let stats = pump.stats(&path).expect("it is known");
    assert_eq!((stats.dropped_bytes, stats.error), (0, None));
    assert!(content(&path).len() > 100_000, "no more than needed");
    let told = |stats: supervisor_logs::Stats| stats.error.is_some_and(|error| error.contains("min_free"));
    eventually("it is told once there are no archives", || {
        // Whatever the archives leave is taken by others, but for 20 KiB.
        let rest = fs::metadata(&filler).map_or(0, |found| found.len()) + free().saturating_sub(20 << 10);
        fs::File::create(&filler).and_then(|file| file.set_len(0)).expect("it can be emptied");
        fs::write(&filler, vec![0; usize::try_from(rest).expect("little")]).expect("there is room");
        write_on();
        pump.stats(&path).is_some_and(told)
    });
    assert!(free() > 4096, "and nothing is written any more");
    fs::remove_file(&filler).expect("it can be removed");
    eventually("it is over", || pump.stats(&path).is_some_and(|stats| stats.error.is_none()));
}

#[test]
fn a_dead_disk_holds_up_nothing_but_its_own_log() {
    let directory = tempdir().expect("a directory");
    let this = child("patience::dead_disk", directory.path());
    let script = r#"cd "$LOGS_TEST_DIR" && mkdir disk && truncate -s 20M image && mkfs.ext4 -q image &&
        mount -o loop image disk || exit 99
        "$0" "$@"; code=$?; fsfreeze -u disk 2>/dev/null; umount disk; exit $code"#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(this.get_program()).args(this.get_args());
    command.env("LOGS_TEST_DIR", directory.path());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return println!("skipped: a_dead_disk_holds_up_nothing_but_its_own_log: {error}"),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(99) || told.starts_with("unshare:") {
        return println!("skipped: a_dead_disk_holds_up_nothing_but_its_own_log: only root can mount one: {told}");
    }
    assert!(output.status.success(), "{told}");
}

#[test]
#[ignore = "is a child process of the test above"]
fn dead_disk() {
    let Some(directory) = child_directory() else { return };
    let freeze = |how: &str| {
        let done = Command::new("fsfreeze").arg(how).arg(directory.join("disk")).status().expect("it starts");
        assert!(done.success(), "fsfreeze {how}");
    };
    let (dead, well) = (directory.join("disk/a.log"), directory.join("b.log"));
    let pump = Pump::new();
    pump.set_budget(Budget { total: 10 << 20, min_free: 1 });
    let settings = keep_all(20_000);
    let mut first = feed(&pump, 1, &dead, &settings);
    first.write_all(b"before\n").expect("the pump reads");
    eventually("it is there", || fs::read(&dead).is_ok_and(|text| text == b"before\n"));
    freeze("-f");
    first.write_all(&numbered(1000)).expect("the pipe has room");
    // Whatever is asked of the pump meanwhile is answered at once.
    let begin = Instant::now();
    let mut second = feed(&pump, 2, &well, &settings);
    let sent = numbered(100_000);
    for piece in sent.chunks(1000) {
        second.write_all(piece).expect("the pump reads");
        assert!(pump.stats(&dead).is_some());
    }
    finish(&pump, 2);
    pump.configure(&dead, settings.clone());
    let another = feed(&pump, 3, &directory.join("disk/c.log"), &settings);
    assert_same(&content(&well), &sent);
    let lines = last(&well, &supervisor_logs::Query::default(), (10, 1000), Unfinished::Shown, &|| false);
    assert_eq!(lines.expect("it is readable").lines.len(), 10);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let (done, over) = sync_channel(1);
    pump.finish(1, Box::new(move || done.send(()).expect("someone waits")));
    freeze("-u");
    over.recv_timeout(Duration::from_secs(20)).expect("it goes on when the disk does");
    drop(another);
    finish(&pump, 3);
    assert_same(&content(&dead), &[b"before\n".as_slice(), &numbered(1000)].concat());
}
