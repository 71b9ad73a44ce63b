//! Every message survives the wire, broken bytes are refused, and the golden frames stay as they are.
//! Not here: sockets.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{Malformed, Message};
use crate::message::{Exited, Notice, Reply, Request, Spawn};

/// One line for each message: operation, body, name.
const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn the_golden_frames_are_what_they_were() {
    let lines = [
        samples::requests().iter().map(line).collect::<Vec<_>>(),
        samples::replies().iter().map(line).collect(),
        samples::notices().iter().map(line).collect(),
    ];
    let written = lines.concat().join("\n");
    assert_eq!(written, GOLDEN.trim_end(), "the wire has changed: that needs a new VERSION and new golden frames");
}

#[test]
fn golden_frames_are_read_back() {
    let read = |number: usize| {
        let mut parts = GOLDEN.lines().nth(number).unwrap().split(' ');
        let operation = u8::from_str_radix(parts.next().unwrap(), 16).unwrap();
        (operation, unhex(parts.next().unwrap()))
    };
    let (requests, replies) = (samples::requests(), samples::replies());
    for (number, request) in requests.iter().enumerate() {
        let (operation, body) = read(number);
        assert_eq!(Request::decode(operation, &body).as_ref(), Ok(request));
    }
    for (number, reply) in replies.iter().enumerate() {
        let (operation, body) = read(requests.len() + number);
        assert_eq!(Reply::decode(operation, &body).as_ref(), Ok(reply));
    }
    for (number, notice) in samples::notices().iter().enumerate() {
        let (operation, body) = read(requests.len() + replies.len() + number);
        assert_eq!(Notice::decode(operation, &body).as_ref(), Ok(notice));
    }
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    assert_eq!(Request::decode(0x7f, &[]), Err(Malformed::Operation(0x7f)));
    assert_eq!(Request::decode(0x41, &[]), Err(Malformed::Operation(0x41)), "a reply is no request");
    assert_eq!(Request::decode(0x0b, &[]), Err(Malformed::Short));
    assert_eq!(Request::decode(0x04, &[1, 2]), Err(Malformed::Long(2)));
    assert_eq!(Notice::decode(0x88, &[2]), Err(Malformed::Value), "no bool");
    assert_eq!(Notice::decode(0x84, &[1, 0, 0, 0, 0xff]), Err(Malformed::Value), "no UTF-8");
    assert_eq!(Request::decode(0x05, &[0xff; 4]), Err(Malformed::Short), "a count beyond the body");
}

proptest! {
    #[test]
    fn every_request_survives_the_wire(request in request()) {
        survives(&request)?;
    }

    #[test]
    fn every_reply_survives_the_wire(reply in reply()) {
        survives(&reply)?;
    }

    #[test]
    fn every_notice_survives_the_wire(notice in notice()) {
        survives(&notice)?;
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(operation: u8, body in vec(any::<u8>(), 0..200)) {
        if let Ok(request) = Request::decode(operation, &body) {
            prop_assert_eq!(request.encode(), body);
        } else if let Ok(notice) = Notice::decode(operation, &body) {
            prop_assert_eq!(notice.encode(), body);
        }
    }
}

fn survives<M: Message + Debug + PartialEq>(message: &M) -> Result<(), TestCaseError> {
    let body = message.encode();
    let read = M::decode(message.operation(), &body);
    prop_assert_eq!(read.as_ref(), Ok(message));
    for length in 0..body.len() {
        prop_assert!(M::decode(message.operation(), &body[..length]).is_err(), "cut at {length}");
    }
    Ok(())
}

fn line<M: Message + Debug>(message: &M) -> String {
    let body: String = message.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = if body.is_empty() { "-" } else { &body };
    let name: String = format!("{message:?}").chars().take_while(char::is_ascii_alphanumeric).collect();
    format!("{:02x} {body} {name}", message.operation())
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim_start_matches('-');
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

fn names() -> impl Strategy<Value = Vec<String>> {
    vec(".{0,8}", 0..4)
}

fn spawn() -> impl Strategy<Value = Spawn> {
    let program = (any::<u64>(), any::<u64>(), bytes(), vec(bytes(), 0..4), vec(bytes(), 0..4), any::<bool>());
    let place = (bytes(), any::<u32>(), option::of(any::<(u64, u64)>()), option::of(any::<(u32, u32, Vec<u32>)>()));
    let kept = (vec(any::<u32>(), 0..5), names(), option::of((".{0,8}", bytes())), any::<bool>(), any::<u32>());
    (program, place, kept, any::<(u32, i32, u64)>()).prop_map(|(program, place, kept, stop)| Spawn {
        run: program.0,
        helper_deadline_ms: program.1,
        program: program.2,
        argv: program.3.iter().collect(),
        env: program.4.iter().collect(),
        listen_pid: program.5,
        cwd: place.0,
        umask: place.1,
        nofile: place.2,
        user: place.3,
        fds: kept.0,
        hold: kept.1,
        in_group: kept.3,
        join: kept.4,
        record: kept.2,
        stop_rank: stop.0,
        stop_signal: stop.1,
        stop_timeout_ms: stop.2,
    })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        spawn().prop_map(|spawn| Request::Spawn(Box::new(spawn))),
        any::<(u64, i32, bool, bool)>().prop_map(|(run, signal, and_continue, group)| Request::Signal {
            run,
            signal,
            and_continue,
            group
        }),
        any::<(i32, i32, bool)>().prop_map(|(pid, signal, and_continue)| Request::SignalOrphan {
            pid,
            signal,
            and_continue
        }),
        Just(Request::ListOrphans),
        names().prop_map(|names| Request::Hold { names }),
        names().prop_map(|names| Request::Drop { names }),
        names().prop_map(|names| Request::Fetch { names }),
        (".{0,8}", bytes()).prop_map(|(key, value)| Request::Put { key, value }),
        ".{0,8}".prop_map(|key| Request::Delete { key }),
        any::<u64>().prop_map(|shutdown_timeout_ms| Request::Configure { shutdown_timeout_ms }),
        any::<u8>().prop_map(|code| Request::Finish { code }),
        any::<u64>().prop_map(|up_to| Request::Acknowledge { up_to }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Done),
        any::<i32>().prop_map(|errno| Reply::Failed { errno }),
        any::<i32>().prop_map(|pid| Reply::Spawned { pid }),
        (".{0,8}", any::<i32>()).prop_map(|(step, errno)| Reply::SpawnFailed { step, errno }),
        any::<Vec<(i32, i32)>>().prop_map(|processes| Reply::Orphans { processes }),
        names().prop_map(|names| Reply::Fds { names }),
    ]
}

fn notice() -> impl Strategy<Value = Notice> {
    let exited = (any::<(u64, i32, u64, u64, u64, bool)>(), any::<(Option<i32>, Option<i32>, bool)>());
    prop_oneof![
        any::<(u32, u64, i32, bool)>().prop_map(|(version, epoch, keeper_pid, pid_one)| Notice::Welcome {
            version,
            epoch,
            keeper_pid,
            pid_one
        }),
        any::<(u64, i32, u64, bool)>().prop_map(|(run, pid, started_ms, helper)| Notice::Run {
            run,
            pid,
            started_ms,
            helper
        }),
        (".{0,8}", bytes()).prop_map(|(key, value)| Notice::Record { key, value }),
        ".{0,8}".prop_map(|name| Notice::Held { name }),
        Just(Notice::Ready),
        exited.prop_map(|((run, pid, at_ms, cpu_us, max_rss, alone), (code, signal, core_dumped))| Notice::Exited(
            Exited { run, pid, code, signal, core_dumped, at_ms, cpu_us, max_rss, alone }
        )),
        Just(Notice::OrphanReaped),
        any::<bool>().prop_map(|now| Notice::Shutdown { now }),
        Just(Notice::Reload),
    ]
}

/// One of each, with every field set to something that shows.
mod samples {
    use crate::message::{Exited, Notice, Reply, Request, Spawn};

    pub(super) fn requests() -> Vec<Request> {
        let text = str::to_owned;
        let names = || vec![text("a"), text("é")];
        let full = Spawn {
            run: 1,
            helper_deadline_ms: 2,
            program: b"/p".to_vec(),
            argv: ["p", ""].into_iter().collect(),
            env: ["K=V"].into_iter().collect(),
            listen_pid: true,
            cwd: b"/".to_vec(),
            umask: 0o27,
            nofile: Some((3, 4)),
            user: Some((5, 6, vec![7, 8])),
            fds: vec![1, 2, 9],
            hold: vec![text("h")],
            in_group: true,
            join: 2,
            record: Some((text("r"), vec![10])),
            stop_rank: 11,
            stop_signal: 15,
            stop_timeout_ms: 12,
        };
        vec![
            Request::Spawn(Box::default()),
            Request::Spawn(Box::new(full)),
            Request::Signal { run: 1, signal: 15, and_continue: true, group: false },
            Request::SignalOrphan { pid: 4711, signal: 9, and_continue: false },
            Request::ListOrphans,
            Request::Hold { names: names() },
            Request::Drop { names: vec![] },
            Request::Fetch { names: names() },
            Request::Put { key: text("k"), value: vec![0, 255] },
            Request::Delete { key: text("k") },
            Request::Configure { shutdown_timeout_ms: 30_000 },
            Request::Finish { code: 3 },
            Request::Acknowledge { up_to: u64::MAX },
        ]
    }

    pub(super) fn replies() -> Vec<Reply> {
        vec![
            Reply::Done,
            Reply::Failed { errno: 3 },
            Reply::Spawned { pid: 4711 },
            Reply::SpawnFailed { step: "exec".to_owned(), errno: 2 },
            Reply::Orphans { processes: vec![(2, 1), (-1, 0)] },
            Reply::Fds { names: vec!["a".to_owned()] },
        ]
    }

    pub(super) fn notices() -> Vec<Notice> {
        let exited = |code, signal, core_dumped| {
            Notice::Exited(Exited {
                run: 1,
                pid: 2,
                code,
                signal,
                core_dumped,
                at_ms: 3,
                cpu_us: 4,
                max_rss: 5,
                alone: true,
            })
        };
        vec![
            Notice::Welcome { version: 1, epoch: 2, keeper_pid: 3, pid_one: true },
            Notice::Run { run: 1, pid: 2, started_ms: 3, helper: false },
            Notice::Record { key: "k".to_owned(), value: vec![1] },
            Notice::Held { name: "h".to_owned() },
            Notice::Ready,
            exited(Some(255), None, false),
            exited(None, Some(9), false),
            exited(None, Some(11), true),
            Notice::OrphanReaped,
            Notice::Shutdown { now: true },
            Notice::Reload,
        ]
    }
}
