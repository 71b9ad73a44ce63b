//! What the pump and the readers promise, with real pipes, files and kills.
//! Not here: what one module decides by itself; that is tested beside it.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod budget;
mod compressing;
mod copying;
mod finding;
mod growing;
mod index;
mod ledger;
mod outage;
mod patience;
mod reading;
mod rotating;
mod safety;
mod steps;
mod survival;
mod watching;

use std::io::{PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use supervisor_logs::{Compression, Feed, Pump, Settings, stage};

/// Keeps every file there will be.
fn keep_all(max_size: u64) -> Settings {
    Settings { max_size, keep: u32::MAX, compression: Compression::None, ..Settings::default() }
}

/// Waits until `condition` holds; the test fails if it does not in time.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Writes `more` and more to a pipe until it is `over`; returns all of it.
fn write_until(over: &AtomicBool, pipe: &mut PipeWriter, mut more: impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut written = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begin = written.len();
        more(&mut written);
        pipe.write_all(&written[begin..]).expect("someone holds the pipe");
    }
    written
}

/// Waits until everything that was written to pipe `id` has left it.
fn finish(pump: &Pump, id: u64) {
    let (done, over) = sync_channel(1);
    pump.finish(id, Box::new(move || done.send(()).expect("someone waits")));
    over.recv_timeout(Duration::from_secs(60)).expect("the pump answers");
}

/// Writes `bytes` through a pump to the log at `path`.
fn pump_through(path: &Path, settings: Settings, bytes: &[u8]) {
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let pump = Pump::new();
    pump.attach(Feed {
        id: 1,
        pipe: output.into(),
        stage: stage().ok(),
        path: path.to_owned(),
        generation: 0,
        settings,
    });
    input.write_all(bytes).expect("the pump reads");
    drop(input);
    finish(&pump, 1);
    pump.shutdown();
}

/// The files of the log, oldest first.
fn files(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path.parent().expect("a directory")).expect("it can be listed") {
        let file = entry.expect("an entry").path();
        let rest = file.file_name().and_then(|file| file.to_str()).and_then(|file| file.strip_prefix(&name));
        let number = rest.map(|rest| rest.trim_start_matches('.').trim_end_matches(".gz").parse().unwrap_or(0u32));
        let number = number.filter(|_| !is_index(&file));
        found.extend(number.map(|number| (std::cmp::Reverse(number), file)));
    }
    found.sort();
    found.into_iter().map(|(_, file)| file).collect()
}

fn is_index(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "idx")
}

/// Waits until every archive is compressed and nothing half done is left.
fn settled(path: &Path) {
    eventually("all archives are compressed", || {
        let all = std::fs::read_dir(path.parent().expect("a directory")).expect("it can be listed");
        let mut all = all.map(|entry| entry.expect("an entry").path()).filter(|file| !is_index(file));
        all.all(|file| file == path || file.extension().is_some_and(|extension| extension == "gz"))
    });
}

/// All that the log holds, in order. No pump may be at work.
fn content(path: &Path) -> Vec<u8> {
    files(path).iter().flat_map(|file| read(file)).collect()
}

/// A file's content, unpacked if it is compressed.
fn read(file: &Path) -> Vec<u8> {
    let bytes = std::fs::read(file).expect("a file");
    if file.extension().is_none_or(|extension| extension != "gz") {
        return bytes;
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text).expect("a whole archive");
    text
}

/// `count` lines with their numbers.
fn numbered(count: u32) -> Vec<u8> {
    (1..=count).flat_map(|number| format!("line {number}\n").into_bytes()).collect()
}

/// Says where the first difference is, as the texts are too long to show.
fn assert_same(found: &[u8], wanted: &[u8]) {
    if found == wanted {
        return;
    }
    let at = found.iter().zip(wanted).position(|(left, right)| left != right).unwrap_or(found.len().min(wanted.len()));
    let around = |text: &[u8]| {
        String::from_utf8_lossy(&text[at.saturating_sub(60).min(text.len())..(at + 60).min(text.len())]).into_owned()
    };
    panic!(
        "different at {at} of {} and {} bytes:\nfound  {:?}\nwanted {:?}",
        found.len(),
        wanted.len(),
        around(found),
        around(wanted)
    );
}

/// A pipe that feeds the log at `path` as number `id`.
fn feed(pump: &Pump, id: u64, path: &Path, settings: &Settings) -> PipeWriter {
    let (output, input) = std::io::pipe().expect("a pipe");
    pump.attach(Feed {
        id,
        pipe: output.into(),
        stage: stage().ok(),
        path: path.to_owned(),
        generation: 0,
        settings: settings.clone(),
    });
    input
}

/// The end of the pipe that a parent gave as standard input.
fn inherited_pipe() -> std::os::fd::OwnedFd {
    std::io::stdin().as_fd().try_clone_to_owned().expect("a duplicate")
}

/// This program again, to run the ignored test `name` alone, told by `directory` that it is a child.
fn child(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]).env("LOGS_TEST_DIR", directory);
    command
}

/// Where a child works; `None` when nobody started this as a child.
fn child_directory() -> Option<PathBuf> {
    std::env::var_os("LOGS_TEST_DIR").map(PathBuf::from)
}
