//! Lines found again: by time, pattern and generation, in plain and compressed files, forwards and backwards.
//! Not here: what one line matches; that is tested beside it.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use supervisor_logs::{
    Compression, Feed, Filter, Line, Merge, Pump, Query, Search, Settings, Tracker, Unfinished, last,
    last_of_generation, stage, tail_with_trouble,
};
use tempfile::tempdir;

use crate::{files, finish, numbered, settled};

const ALL: (usize, usize) = (usize::MAX, usize::MAX);

fn small() -> Settings {
    Settings { max_size: 20_000, keep: 100, compression: Compression::Gzip, ..Settings::default() }
}

/// Writes `text` as a generation of its own.
fn generation(pump: &Pump, number: u64, path: &Path, text: &[u8]) {
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let (path, settings) = (path.to_owned(), small());
    pump.attach(Feed { id: number, pipe: output.into(), stage: stage().ok(), path, generation: number, settings });
    input.write_all(text).expect("the pump reads");
    drop(input);
    finish(pump, number);
}

fn forwards(path: &Path, query: &Query) -> Vec<Line> {
    let mut search = Search::new(path, query.clone(), Unfinished::Shown).expect("a log");
    let mut lines = Vec::new();
    while search.read(&mut lines).expect("it is readable") {}
    assert_eq!(search.trouble(), None);
    lines
}

fn backwards(path: &Path, query: &Query, limits: (usize, usize)) -> Vec<Line> {
    let found = last(path, query, limits, Unfinished::Shown, &|| false).expect("it is readable");
    assert_eq!(found.trouble, None);
    found.lines
}

fn text(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| [&line.text, b"\n".as_slice()].concat()).collect()
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis().try_into().expect("not so late")
}

#[test]
fn all_lines_are_found_in_order_across_plain_and_compressed_files() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let (pump, sent) = (Pump::new(), numbered(20_000));
    generation(&pump, 1, &path, &sent);
    settled(&path);
    assert!(files(&path).len() > 5);
    let found = forwards(&path, &Query::default());
    crate::assert_same(&text(&found), &sent);
    assert_eq!(backwards(&path, &Query::default(), ALL), found);
    let offsets: Vec<u64> = found.iter().filter_map(|line| line.seq).collect();
    let mut at = 0;
    let wanted: Vec<u64> = found
        .iter()
        .map(|line| {
            at += line.text.len() as u64 + 1;
            at - line.text.len() as u64 - 1
        })
        .collect();
    assert_eq!(offsets, wanted, "numbers are the bytes before a line, across rotations");
}

#[test]
fn the_last_lines_that_match_are_found_however_far_back() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    generation(&Pump::new(), 1, &path, &numbered(20_000));
    let filter = Filter::default().grep("000$").expect("a pattern");
    let query = Query { filter, ..Query::default() };
    let wanted: Vec<u8> = (16..=20).flat_map(|number| format!("line {number}000\n").into_bytes()).collect();
    crate::assert_same(&text(&backwards(&path, &query, (5, usize::MAX))), &wanted);
    assert_eq!(forwards(&path, &query).len(), 20);
    crate::assert_same(&text(&backwards(&path, &query, (5, 25))), b"line 19000\nline 20000\n");
    assert_eq!(backwards(&path, &query, (0, usize::MAX)), []);
}

#[test]
fn each_generation_has_its_last_lines() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    generation(&pump, 1, &path, b"one\ntwo\nthree\nkilled in the mid");
    generation(&pump, 2, &path, &numbered(5000));
    generation(&pump, 3, &path, b"last\n");
    settled(&path);
    let of = |number, count| {
        String::from_utf8(last_of_generation(&path, (number, None), (count, 10_000)).expect("a log")).expect("text")
    };
    assert_eq!(of(1, 2), "three\nkilled in the mid\n");
    assert_eq!(of(2, 2), "line 4999\nline 5000\n");
    assert_eq!(of(3, 50), "last\n");
    assert_eq!(of(4, 50), "");
    assert_eq!(last_of_generation(&path, (2, None), (5000, 10_000_000)).expect("a log"), numbered(5000));
}

#[test]
fn a_live_file_is_found_though_an_archive_was_made_of_one_that_had_its_inode() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    generation(&Pump::new(), 1, &path, b"live\n");
    let inode = fs::metadata(&path).expect("a log").ino();
    let archive = fs::File::create(dir.path().join("a.log.1.gz")).expect("it can be made");
    let header = flate2::GzBuilder::new().comment(format!("supervisor inode {inode} base 4000"));
    let mut copy = header.write(archive, flate2::Compression::fast());
    copy.write_all(b"archived\n").and_then(|()| copy.finish().map(drop)).expect("it can be written");
    let found = forwards(&path, &Query::default());
    assert_eq!(text(&found), b"archived\nlive\n");
    assert_eq!((found[0].seq, found[1].seq), (None, Some(0)));
    assert_eq!(backwards(&path, &Query::default(), ALL), found);
}

#[test]
fn a_generation_of_an_earlier_supervisor_is_told_apart_by_its_time() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    generation(&Pump::new(), 1, &path, b"of the earlier one\n");
    let later = millis(fs::metadata(&path).and_then(|found| found.modified()).expect("a time")) + 20;
    crate::eventually("time goes by", || millis(SystemTime::now()) > later);
    generation(&Pump::new(), 1, &path, b"of this one\n");
    let of = |since| last_of_generation(&path, (1, since), (50, 1000)).expect("a log");
    assert_eq!(of(Some(later)), b"of this one\n");
    assert_eq!(of(None), b"of the earlier one\nof this one\n");
}

#[test]
fn of_a_last_line_that_is_too_long_its_end_is_found() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let long = |len: usize| [b"before\n", "x".repeat(len).as_bytes(), b"the end\n"].concat();
    let pump = Pump::new();
    for (number, len) in [(1, 20_000), (2, 60_000), (3, 500_000)] {
        generation(&pump, number, &path, &long(len));
        let last = last_of_generation(&path, (number, None), (50, 1000)).expect("a log");
        assert!(last.len() == 1000 && last.ends_with(b"xthe end\n"), "{len}: {} bytes", last.len());
    }
}

#[test]
fn generations_that_write_at_the_same_time_are_told_apart() {
    const ROUNDS: usize = 300;
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let mut inputs = [1, 2].map(|number| {
        let (output, input) = std::io::pipe().expect("a pipe");
        let feed = Feed {
            id: number,
            pipe: output.into(),
            stage: stage().ok(),
            path: path.clone(),
            generation: number,
            settings: small(),
        };
        pump.attach(feed);
        input
    });
    for round in 0..ROUNDS {
        writeln!(inputs[round % 2], "{} {round}", round % 2 + 1).expect("the pump reads");
        std::thread::sleep(Duration::from_micros(200));
    }
    finish(&pump, 1);
    finish(&pump, 2);
    let lines = forwards(&path, &Query::default());
    assert_eq!(lines.len(), ROUNDS);
    for line in &lines {
        let own = u64::from(line.text[0] - b'0');
        assert_eq!(line.generation, Some(own), "{}", String::from_utf8_lossy(&line.text));
    }
}

#[test]
fn lines_are_found_by_time() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let mut times = Vec::new();
    for number in 1..=3 {
        times.push(millis(SystemTime::now()));
        generation(&pump, number, &path, &format!("of {number}\n").repeat(2000).into_bytes());
        std::thread::sleep(Duration::from_millis(30));
    }
    settled(&path);
    let between = |since, until| {
        let query = Query { since, until, ..Query::default() };
        let found = forwards(&path, &query);
        assert_eq!(backwards(&path, &query, ALL), found);
        assert!(found.iter().all(|line| since.is_none_or(|since| line.time >= since)));
        let mut all: Vec<_> = found.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect();
        let count = all.len();
        all.dedup();
        (all.join(" "), count)
    };
    assert_eq!(between(Some(times[1]), None), ("of 2 of 3".to_owned(), 4000));
    assert_eq!(between(Some(times[2]), None), ("of 3".to_owned(), 2000));
    assert_eq!(between(None, Some(times[1] - 1)), ("of 1".to_owned(), 2000));
    assert_eq!(between(Some(times[1]), Some(times[2] - 1)), ("of 2".to_owned(), 2000));
    assert_eq!(between(Some(times[2] + 60_000), None).1, 0);
}

#[test]
fn a_huge_line_comes_in_pieces_and_the_lines_around_it_whole() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let sent = [b"before\n".as_slice(), &vec![b'x'; 1 << 20], b"\nafter\n"].concat();
    fs::write(&path, &sent).expect("a file");
    for lines in [forwards(&path, &Query::default()), backwards(&path, &Query::default(), ALL)] {
        let all: Vec<u8> = lines
            .iter()
            .flat_map(|line| [line.text.as_slice(), if line.whole { b"\n" } else { b"" }].concat())
            .collect();
        crate::assert_same(&all, &sent);
        assert!(lines.len() > 3 && lines[0].whole && lines[lines.len() - 1].text == b"after");
    }
}

#[test]
fn an_unfinished_line_is_shown_or_left_for_who_reads_on() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    fs::write(&path, b"whole\npart").expect("a file");
    for (unfinished, count, end) in [(Unfinished::Shown, 2, 10), (Unfinished::Left, 1, 6)] {
        let found = last(&path, &Query::default(), ALL, unfinished, &|| false).expect("a log");
        assert_eq!((found.lines.len(), found.end.map(|end| end.offset)), (count, Some(end)));
        let mut search = Search::new(&path, Query::default(), unfinished).expect("a log");
        let mut lines = Vec::new();
        while search.read(&mut lines).expect("it is readable") {}
        assert_eq!(lines, found.lines);
        assert_eq!(search.end(), found.end);
    }
}

#[test]
fn a_damaged_archive_costs_its_own_lines_only() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let (pump, sent) = (Pump::new(), numbered(20_000));
    generation(&pump, 1, &path, &sent);
    settled(&path);
    let all = files(&path);
    let damaged = &all[all.len() / 2];
    let whole = fs::read(damaged).expect("a file");
    fs::write(damaged, &whole[..whole.len() / 2]).expect("it can be damaged");
    let mut search = Search::new(&path, Query::default(), Unfinished::Shown).expect("a log");
    let mut lines = Vec::new();
    while search.read(&mut lines).expect("it is readable") {}
    assert!(search.trouble().is_some());
    assert!(sent.starts_with(&text(&lines[..100])) && sent.ends_with(&text(&lines[lines.len() - 100..])));
    let found = last(&path, &Query::default(), ALL, Unfinished::Shown, &|| false).expect("a log");
    assert!(found.trouble.is_some() && sent.ends_with(&text(&found.lines)) && found.lines.len() > 1000);
    let (tail, trouble) = tail_with_trouble(&path, 20_000, 1 << 30).expect("a log");
    assert!(trouble.is_some() && sent.ends_with(&tail) && !tail.is_empty());
}

#[test]
fn who_stops_gets_what_was_found_so_far() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    fs::write(&path, numbered(1_000_000)).expect("a file");
    let looks = std::cell::Cell::new(0);
    let stop = || {
        looks.set(looks.get() + 1);
        looks.get() > 3
    };
    let found = last(&path, &Query::default(), ALL, Unfinished::Shown, &stop).expect("a log");
    assert!((1..1_000_000).contains(&found.lines.len()), "{}", found.lines.len());
}

#[test]
fn a_search_through_one_block_can_be_stopped() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    fs::write(&path, numbered(20_000)).expect("a file");
    let filter = Filter::default().grep("nothing like it").expect("a pattern");
    let looks = |most: usize| {
        let looks = std::cell::Cell::new(0);
        let stop = || looks.replace(looks.get() + 1) >= most;
        last(&path, &Query { filter: filter.clone(), ..Query::default() }, ALL, Unfinished::Shown, &stop)
            .expect("a log");
        looks.get()
    };
    let (all, bytes) = (looks(usize::MAX), fs::metadata(&path).expect("a file").len());
    assert!(all as u64 >= bytes / (48 << 10), "asked {all} times in {bytes} bytes");
    assert!(looks(4) <= 6, "it ends soon");
}

#[test]
fn a_place_in_a_file_that_is_gone_is_found_in_no_other_that_has_its_inode() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    generation(&pump, 1, &path, b"one\ntwo\n");
    let inode = || fs::metadata(&path).expect("a log").ino();
    let (before, found) = (inode(), backwards(&path, &Query::default(), ALL));
    let resumes = |mark| Tracker::resume(&path, Query::default(), mark).expect("it is readable").is_some();
    assert!(found.iter().all(|line| line.end.base == Some(0) && resumes(line.end)));
    // Emptied by someone, it is another file with the same number.
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("it can be emptied");
    generation(&pump, 2, &path, b"another, and longer\n");
    assert_eq!(inode(), before);
    assert!(!found.iter().any(|line| resumes(line.end)));
    let now = backwards(&path, &Query::default(), ALL);
    assert!(now.iter().all(|line| line.end.base == Some(8) && resumes(line.end)));
}

#[test]
fn lines_of_several_logs_come_by_time_and_those_of_one_in_its_order() {
    let dir = tempdir().expect("a directory");
    let (one, other) = (dir.path().join("one.log"), dir.path().join("other.log"));
    let pump = Pump::new();
    for round in 0..4u64 {
        let path = if round % 2 == 0 { &one } else { &other };
        generation(&pump, round + 1, path, format!("{round}a\n{round}b\n").as_bytes());
        std::thread::sleep(Duration::from_millis(25));
    }
    let search = |path: &Path| Search::new(path, Query::default(), Unfinished::Shown).expect("a log");
    let mut merge = Merge::new(vec![search(&one), search(&other), search(&dir.path().join("none.log"))]);
    let mut found = Vec::new();
    while let Some((which, line)) = merge.next_line().expect("it is readable") {
        found.push(format!("{which}:{}", String::from_utf8_lossy(&line.text)));
    }
    assert_eq!(found, ["0:0a", "0:0b", "1:1a", "1:1b", "0:2a", "0:2b", "1:3a", "1:3b"]);
}

#[test]
fn who_tracks_a_log_gets_each_wanted_line_once_across_rotations() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    generation(&pump, 1, &path, b"line 1\nline 2\n");
    let filter = Filter::default().grep("[05]$").expect("a pattern");
    let query = Query { filter, ..Query::default() };
    let found = last(&path, &query, ALL, Unfinished::Left, &|| false).expect("a log");
    let mut tracker = Tracker::resume(&path, query, found.end.expect("a log")).expect("it is readable").expect("kept");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let settings = Settings { compression: Compression::None, ..small() };
    pump.attach(Feed { id: 2, pipe: output.into(), stage: stage().ok(), path: path.clone(), generation: 2, settings });
    let mut lines = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for piece in numbered(20_000)[14..].chunks(333) {
                input.write_all(piece).expect("the pump reads");
            }
        });
        while lines.last().is_none_or(|line: &Line| line.text != b"line 20000") {
            tracker.next(&mut lines, Duration::from_secs(10)).expect("it is readable");
        }
    });
    let wanted: Vec<u8> = (1..=20_000)
        .filter(|number| number % 5 == 0)
        .flat_map(|number| format!("line {number}\n").into_bytes())
        .collect();
    crate::assert_same(&text(&lines), &wanted);
    assert!(lines.iter().all(|line| line.generation == Some(2)));
    assert!(lines.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[0].time <= pair[1].time));
    finish(&pump, 2);
    let all = forwards(&path, &Query::default());
    let all: HashMap<_, _> = all.into_iter().map(|line| (line.seq, line.text)).collect();
    assert!(
        lines.iter().all(|line| all.get(&line.seq) == Some(&line.text)),
        "a line has the same number whoever looks at it"
    );
}
