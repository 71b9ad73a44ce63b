//! Bytes in, the same bytes out.
//! Not here: rotation, kills, full disks, readers.

use std::fs;
use std::io::Write;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use supervisor_logs::{Feed, Pump, stage};
use tempfile::tempdir;

use crate::{assert_same, child, child_directory, eventually, feed, finish, keep_all, numbered, pump_through};

#[test]
fn a_line_is_in_the_file_soon_after_it_was_written() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("deep/er/a.log");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    for number in 1..20 {
        input.write_all(b"hello\n").expect("the pump reads");
        eventually("the line is there", || fs::read(&path).is_ok_and(|text| text == b"hello\n".repeat(number)));
    }
    assert_eq!(pump.stats(&path).map(|stats| (stats.bytes, stats.error)), Some((19 * 6, None)));
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let bytes =
        [b"\xef\xbb\xbfBOM\r\r\0\x1b[31mred\x1b[0m\xff\xfe\xc3\x28\n".as_slice(), &every_byte, b"\r\n\n\n"].concat();
    pump_through(&path, keep_all(0), &bytes);
    assert_same(&fs::read(&path).expect("a log"), &bytes);
}

#[test]
fn an_unfinished_last_line_is_kept() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    pump_through(&path, keep_all(0), b"whole\npart");
    assert_same(&fs::read(&path).expect("a log"), b"whole\npart");
}

#[test]
fn a_log_goes_on_at_its_end_when_it_is_opened_again() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    pump_through(&path, keep_all(0), b"first, ");
    pump_through(&path, keep_all(0), b"second\n");
    assert_same(&fs::read(&path).expect("a log"), b"first, second\n");
}

#[test]
fn the_next_generation_begins_a_new_line() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    feed(&pump, 1, &path, &keep_all(0)).write_all(b"killed in the mid").expect("the pump reads");
    finish(&pump, 1);
    feed(&pump, 2, &path, &keep_all(0)).write_all(b"started\n").expect("the pump reads");
    finish(&pump, 2);
    assert_same(&fs::read(&path).expect("a log"), b"killed in the mid\nstarted\n");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and tee")]
fn lines_of_two_generations_at_once_stay_whole() {
    const LINES: usize = 20_000;
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let begin = Barrier::new(2);
    let lines = [[b"a".repeat(150), b"\n".to_vec()].concat(), [b"b".repeat(333), b"\n".to_vec()].concat()];
    std::thread::scope(|scope| {
        for (line, id) in lines.iter().zip([1, 2]) {
            let mut input = feed(&pump, id, &path, &keep_all(1 << 20));
            let begin = &begin;
            scope.spawn(move || {
                begin.wait();
                let text = line.repeat(LINES);
                text.chunks(7_001).for_each(|piece| input.write_all(piece).expect("the pump reads"));
            });
        }
    });
    finish(&pump, 1);
    finish(&pump, 2);
    let all = crate::content(&path);
    for line in &lines {
        let whole = all.split_inclusive(|&byte| byte == b'\n').filter(|found| found == line).count();
        assert_eq!(whole, LINES, "lines of {} bytes", line.len());
    }
}

#[test]
fn a_prompt_without_line_end_does_not_wait_for_ever() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let mut first = feed(&pump, 1, &path, &keep_all(0));
    let _second = feed(&pump, 2, &path, &keep_all(0));
    first.write_all(b"name? ").expect("the pump reads");
    eventually("the prompt is there", || fs::read(&path).is_ok_and(|text| text == b"name? "));
}

#[test]
fn a_log_that_someone_emptied_goes_on_at_its_end() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    input.write_all(&numbered(1000)).expect("the pump reads");
    eventually("all is there", || fs::read(&path).is_ok_and(|text| text == numbered(1000)));
    fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("it can be emptied");
    input.write_all(b"after\n").expect("the pump reads");
    eventually("it begins anew", || fs::read(&path).is_ok_and(|text| text == b"after\n"));
}

#[test]
fn a_log_that_someone_removed_is_made_anew() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("logs/a.log");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    for remove in [
        |path: &std::path::Path| fs::remove_file(path),
        |path: &std::path::Path| fs::remove_dir_all(path.parent().expect("one")),
    ] {
        input.write_all(b"before\n").expect("the pump reads");
        eventually("it is there", || fs::read(&path).is_ok_and(|text| text.ends_with(b"before\n")));
        remove(&path).expect("it can be removed");
        input.write_all(b"after\n").expect("the pump reads");
        eventually("it is back", || fs::read(&path).is_ok_and(|text| text == b"after\n"));
    }
}

#[test]
fn what_a_pump_left_in_a_pipe_is_moved_by_the_next_one() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let text = numbered(200_000);
    let between = stage().ok();
    let attach = |pump: &Pump, id| {
        pump.attach(Feed {
            id,
            pipe: output.try_clone().expect("a duplicate").into(),
            stage: between.as_ref().map(|stage| stage.try_clone().expect("a duplicate")),
            path: path.clone(),
            generation: 0,
            settings: keep_all(100_000),
        });
    };
    let last = Pump::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for piece in text.chunks(999) {
                input.write_all(piece).expect("a pump reads");
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        for id in 1..20 {
            let pump = Pump::new();
            attach(&pump, id);
            eventually("it moves bytes", || pump.stats(&path).is_some_and(|stats| stats.bytes > 20_000));
            pump.shutdown();
        }
        attach(&last, 20);
    });
    finish(&last, 20);
    assert_same(&crate::content(&path), &text);
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and tee")]
fn what_a_killed_pump_left_in_a_stage_comes_before_what_it_left_in_the_pipe() {
    let dir = tempdir().expect("a directory");
    for others in [0, 1] {
        let path = dir.path().join(format!("{others}.log"));
        let ((output, mut input), stage) = (std::io::pipe().expect("a pipe"), stage().expect("a stage"));
        let mut staged = fs::File::from(stage.try_clone().expect("a duplicate"));
        staged.write_all(b"first\nsec").expect("there is room");
        let pump = Pump::new();
        let _others: Vec<_> = (0..others).map(|id| feed(&pump, id, &path, &keep_all(0))).collect();
        let (pipe, settings) = (output.into(), keep_all(0));
        pump.attach(Feed { id: 9, pipe, stage: Some(stage), path: path.clone(), generation: 0, settings });
        // Nobody wakes the pump: it looks by itself.
        eventually("it is there", || fs::read(&path).is_ok_and(|text| text.starts_with(b"first\n")));
        input.write_all(b"ond\nthird\n").expect("the pump reads");
        finish(&pump, 9);
        assert_same(&fs::read(&path).expect("a log"), b"first\nsecond\nthird\n");
    }
}

#[test]
fn finishing_what_was_never_attached_is_answered() {
    finish(&Pump::new(), 7);
}

#[test]
fn quiet_pipes_and_pipes_without_writers_cost_neither_time_nor_memory() {
    let dir = tempdir().expect("a directory");
    let output = child("copying::quiet", dir.path()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "is a child process of the test above, as the usage of a process is measured"]
fn quiet() {
    let Some(directory) = child_directory() else { return };
    let usage = || getrusage(UsageWho::RUSAGE_SELF).expect("the usage");
    let paths: Vec<_> = (0..200).map(|number| directory.join(format!("{number}.log"))).collect();
    let pump = Pump::new();
    let before = usage().max_rss();
    let mut inputs = Vec::new();
    for (path, id) in paths.iter().zip(0..) {
        let mut input = feed(&pump, id, path, &keep_all(1000));
        input.write_all(b"hello\n").expect("the pump reads");
        inputs.push(input);
    }
    inputs.truncate(100);
    let written = |path| fs::read(path).is_ok_and(|text| text == b"hello\n");
    eventually("all is there", || paths.iter().all(written));
    let kib = usage().max_rss() - before;
    assert!(kib < 4096, "200 pipes cost {kib} KiB");
    let cpu = |usage: &Usage| usage.user_time() + usage.system_time();
    let before = usage();
    std::thread::sleep(Duration::from_millis(300));
    let after = usage();
    let switches = after.voluntary_context_switches() - before.voluntary_context_switches();
    assert!(switches < 10, "{switches} context switches while nothing happened");
    let micros = (cpu(&after) - cpu(&before)).num_microseconds();
    assert!(micros < 30_000, "{micros} µs of CPU while nothing happened");
}

#[test]
fn a_small_pipe_is_not_slowed_by_rests() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    #[cfg(target_os = "linux")]
    nix::fcntl::fcntl(&output, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).expect("it can be made small");
    let pump = Pump::new();
    pump.attach(Feed {
        id: 1,
        pipe: output.into(),
        stage: stage().ok(),
        path: path.clone(),
        generation: 0,
        settings: keep_all(0),
    });
    let begin = Instant::now();
    let text = numbered(1_000_000);
    text.chunks(100).for_each(|piece| input.write_all(piece).expect("the pump reads"));
    finish(&pump, 1);
    // With a rest of 4 ms for each 4 KiB it would take 10 s.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_same(&fs::read(&path).expect("a log"), &text);
}

#[test]
fn the_number_of_writes_tells_a_log_that_has_grown_from_one_that_has_not() {
    let dir = tempdir().expect("a directory");
    let (grows, rests) = (dir.path().join("grows.log"), dir.path().join("rests.log"));
    let pump = Pump::new();
    let mut grower = feed(&pump, 1, &grows, &keep_all(0));
    let _rester = feed(&pump, 2, &rests, &keep_all(0));
    assert_eq!((pump.writes(&grows), pump.writes(&rests)), (0, 0));
    let mut before = 0;
    for text in ["one\n", "two\n"] {
        grower.write_all(text.as_bytes()).expect("the pump reads");
        eventually("it is noticed", || pump.writes(&grows) != before);
        assert!(fs::read_to_string(&grows).expect("a file").ends_with(text), "counted once it is in the file");
        before = pump.writes(&grows);
    }
    assert_eq!(pump.writes(&rests), 0);
}
