//! What a journal promises, seen by those who note and those who read.
//! Not here: numbers and notes alone (beside them).

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use supervisor_core::{ServiceName, State};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

fn note(cause: &str) -> Note {
    Note::new("2026-11-23T00:21:01.000Z".to_owned(), Kind::State, cause)
        .of(&name("mail"), 3)
        .change(State::Running, State::Backoff)
}

fn ended(generation: u64, pid: i32) -> Note {
    let exit = Ended { pid: Some(pid), code: Some(1), ..Ended::default() };
    Note::new("2026-11-23T00:21:02.000Z".to_owned(), Kind::Exit, "exited").of(&name("mail"), generation).ended(exit)
}

/// A journal that has written what it was told, and is over.
async fn told(dir: &Path, notes: impl IntoIterator<Item = Note>) -> Vec<u64> {
    let journal = Journal::start(dir).unwrap();
    for note in notes {
        journal.note(note);
    }
    journal.written().await;
    all(dir).iter().map(|entry| entry.seq).collect()
}

fn all(dir: &Path) -> Vec<Entry> {
    Files::new(dir).page(Since::Seq(0), &Filter::default(), usize::MAX, []).unwrap().events
}

async fn next(reader: &mut Reader, cursor: u64) -> Vec<Entry> {
    let lines = tokio::time::timeout(PATIENCE, reader.next(cursor)).await.expect("something comes").unwrap();
    lines.iter().map(|line| line.entry.clone()).collect()
}

#[tokio::test]
async fn what_was_noted_counts_though_it_was_not_handed_over_yet() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    let mut reader = journal.reader();
    assert_eq!(reader.last_noted().await, 0);
    journal.note(note("one"));
    assert_eq!(reader.last_noted().await, 1);
    journal.note(note("two"));
    let page = reader.page(Since::Newest, Filter::default(), 10).await.unwrap();
    assert_eq!(page.events.len(), 2, "who has seen a state finds how it came about");
}

#[tokio::test]
async fn events_are_numbered_kept_and_private() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(told(dir.path(), [note("one"), note("two")]).await, [1, 2]);
    assert_eq!(told(dir.path(), [note("three")]).await, [1, 2, 3]);
    let kept = all(dir.path());
    assert_eq!((kept[2].note.cause.as_str(), kept[2].note.to), ("three", Some(State::Backoff)));
    for file in std::fs::read_dir(dir.path()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_torn_last_line_is_dropped_and_its_number_was_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    told(dir.path(), [note("one"), note("two")]).await;
    let path = dir.path().join("events.jsonl");
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 9]).unwrap();
    assert_eq!(told(dir.path(), [note("again")]).await, [1, 2]);
    assert_eq!(all(dir.path())[1].note.cause, "again");
    assert!(!dir.path().join("events.damaged").exists());
}

#[tokio::test]
async fn damage_is_put_aside_and_told_and_what_is_whole_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    told(dir.path(), [note("one"), note("two")]).await;
    let path = dir.path().join("events.jsonl");
    let good = std::fs::read_to_string(&path).unwrap();
    let repeated = good.lines().next().unwrap();
    let damaged = format!("\0\0\0\n{good}not json\n{repeated}\n{{\"seq\":\"x\"}}\n");
    std::fs::write(&path, &damaged).unwrap();
    assert_eq!(told(dir.path(), [note("three")]).await, [1, 2, 3, 4]);
    let kept = all(dir.path());
    assert_eq!((kept[2].note.kind, kept[2].note.lost), (Kind::Gap, Some(4)));
    assert_eq!(std::fs::read_to_string(dir.path().join("events.damaged")).unwrap(), damaged);
}

#[tokio::test]
async fn garbage_of_any_kind_does_not_stop_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("events.jsonl")).unwrap();
    std::fs::write(dir.path().join("events.jsonl.1"), vec![0xff; 100_000]).unwrap();
    std::fs::write(dir.path().join("events.number"), vec![b'{'; 100_000]).unwrap();
    let numbers = told(dir.path(), [note("one")]).await;
    assert_eq!(numbers.len(), 2);
    assert_eq!(all(dir.path())[0].note.kind, Kind::Gap);
}

#[tokio::test]
async fn an_end_that_is_told_again_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(told(dir.path(), [ended(1, 100), ended(1, 100), ended(2, 101)]).await, [1, 2]);
    assert_eq!(told(dir.path(), [ended(2, 101)]).await, [1, 2], "nor by the next control");
    let started = Note::new(String::new(), Kind::Supervisor, STARTED);
    assert_eq!(told(dir.path(), [started, ended(2, 101)]).await, [1, 2, 3, 4], "another supervisor counts anew");
}

#[tokio::test]
async fn the_files_stay_small_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    let mut reader = journal.reader();
    let sent = 2 * FILE_EVENTS + 500;
    let mut cursor = 0;
    while cursor < sent {
        for _ in 0..sent.saturating_sub(cursor).min(500) {
            journal.note(note(&"x".repeat(700)));
        }
        journal.written().await;
        cursor = reader.last().await;
    }
    let kept = all(dir.path());
    assert_eq!(kept.last().unwrap().seq, sent);
    assert!(kept.len() as u64 <= 2 * FILE_EVENTS && kept.len() as u64 >= FILE_EVENTS / 2, "{}", kept.len());
    let bytes: u64 = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 2 * FILE_BYTES + 1024, "{bytes}");
    // Whoever comes back after long is told what is missing, then all that is left, once.
    let mut seen = next(&mut reader, 7).await;
    assert_eq!((seen[0].note.kind, seen[0].seq + 1), (Kind::Gap, kept[0].seq));
    assert_eq!(seen[0].note.lost, Some(kept[0].seq - 8));
    seen.remove(0);
    while seen.last().unwrap().seq < sent {
        let last = seen.last().unwrap().seq;
        seen.extend(next(&mut reader, last).await);
    }
    assert_eq!(seen, kept);
}

#[tokio::test]
async fn followers_read_at_their_own_pace_and_see_each_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    let mut quick = journal.reader();
    let mut slow = journal.reader();
    let mut cursor = 0;
    for round in 1..=20_u64 {
        for _ in 0..40 {
            journal.note(note("x"));
            journal.hand_over();
        }
        journal.hand_over();
        while cursor < round * 40 {
            let seen = next(&mut quick, cursor).await;
            assert_eq!(seen[0].seq, cursor + 1);
            cursor = seen.last().unwrap().seq;
        }
    }
    let mut cursor = 0;
    while cursor < 800 {
        let seen = next(&mut slow, cursor).await;
        assert!(seen.iter().zip(cursor + 1..).all(|(entry, seq)| entry.seq == seq), "{cursor}");
        cursor = seen.last().unwrap().seq;
    }
    assert!(journal.shelf.unwritten().is_empty());
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let (inbox, shelf) = (Arc::new(Inbox::default()), Arc::new(Shelf::new(dir.path())));
    let journal = Journal { inbox: Arc::clone(&inbox), shelf: Arc::clone(&shelf) };
    for _ in 0..inbox::MOST + 30 {
        journal.note(note("x"));
        journal.hand_over();
    }
    drop(journal);
    writer::Writer::new(dir.path(), shelf).run(&inbox);
    let kept = all(dir.path());
    let lost: u64 = kept.iter().filter_map(|entry| entry.note.lost).sum();
    assert_eq!((lost, kept.len()), (30, inbox::MOST + 1));
}

#[tokio::test]
async fn while_nothing_can_be_written_events_are_seen_and_later_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    journal.note(note("one"));
    journal.written().await;
    // The file is gone, and in its place is what nobody can write to.
    let path = dir.path().join("events.jsonl");
    std::fs::rename(&path, dir.path().join("kept")).unwrap();
    std::fs::remove_file(dir.path().join("kept")).unwrap();
    std::fs::create_dir(&path).unwrap();
    for number in 0..10 {
        journal.note(note(&number.to_string()));
    }
    journal.written().await;
    let mut reader = journal.reader();
    assert_eq!(reader.last().await, 11);
    assert!(reader.trouble().is_some());
    let seen = next(&mut reader, 1).await;
    assert_eq!(seen.len(), 10);
    let page = reader.page(Since::Newest, Filter::default(), 3).await;
    assert!(page.is_err() || page.unwrap().events.len() == 3);
    std::fs::remove_dir(&path).unwrap();
    journal.note(note("well"));
    journal.written().await;
    assert_eq!(reader.trouble(), None);
    assert_eq!(all(dir.path()).iter().map(|entry| entry.seq).collect::<Vec<_>>(), (2..=12).collect::<Vec<_>>());
}

#[tokio::test]
async fn numbers_shown_while_nothing_could_be_written_never_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    journal.written().await;
    let path = dir.path().join("events.jsonl");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    journal.note(note("seen"));
    journal.written().await;
    let shown = journal.reader().last().await;
    drop(journal);
    std::fs::remove_dir(&path).unwrap();
    let numbers = told(dir.path(), [note("next")]).await;
    assert!(numbers.iter().all(|number| *number > shown), "{numbers:?} after {shown}");
    assert_eq!(all(dir.path())[0].note.kind, Kind::Gap);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_hinders_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("state");
    std::fs::create_dir(&closed).unwrap();
    // Others may write it, so it is not used.
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o777)).unwrap();
    let journal = Journal::start(&closed).unwrap();
    let mut reader = journal.reader();
    journal.note(note("x"));
    journal.written().await;
    assert_eq!(reader.page(Since::Newest, Filter::default(), 9).await.unwrap().events, []);
    assert!(reader.trouble().unwrap().contains("others may write"), "{:?}", reader.trouble());
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    journal.note(note("y"));
    journal.written().await;
    let kept = all(&closed);
    assert_eq!((kept[0].note.lost, kept[1].note.cause.as_str()), (Some(1), "y"));
}

#[tokio::test]
async fn questions_are_answered_from_either_end() {
    let dir = tempfile::tempdir().unwrap();
    let later = |cause: &str| Note { at: "2026-11-23T00:21:05.000Z".to_owned(), ..note(cause) };
    let other = Note { service: Some(name("web")), ..note("other") };
    told(dir.path(), [note("a"), ended(1, 7), other, later("b"), later("c")]).await;
    let files = Files::new(dir.path());
    let ask = |since, filter: &Filter, limit| {
        let page = files.page(since, filter, limit, []).unwrap();
        (page.events.iter().map(|entry| entry.seq).collect::<Vec<_>>(), page.next, page.more)
    };
    let everything = Filter::default();
    let mail = Filter { services: vec![name("mail")], kinds: vec![Kind::State] };
    assert_eq!(ask(Since::Newest, &everything, 2), (vec![4, 5], 5, true));
    assert_eq!(ask(Since::Newest, &everything, 9), (vec![1, 2, 3, 4, 5], 5, false));
    assert_eq!(ask(Since::Seq(0), &everything, 2), (vec![1, 2], 2, true));
    assert_eq!(ask(Since::Seq(2), &everything, 9), (vec![3, 4, 5], 5, false));
    assert_eq!(ask(Since::Seq(1), &mail, 9), (vec![4, 5], 5, false));
    let from = crate::timestamp::parse("2026-11-23T00:21:03.000Z").unwrap();
    assert_eq!(ask(Since::Time(from), &everything, 1), (vec![4], 4, true));
    assert_eq!(ask(Since::Newest, &everything, 0), (vec![], 5, true));
    assert_eq!(ask(Since::Seq(99), &everything, 9), (vec![], 99, false));
}

#[tokio::test]
async fn waiting_until_all_is_written_writes_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    for number in 1..=5 {
        journal.note(note("x"));
        journal.written().await;
        // Alone in its batch.
        journal.written().await;
        assert_eq!(all(dir.path()).len(), number);
    }
}
