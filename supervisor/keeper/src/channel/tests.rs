//! Frames and descriptors arrive whole and in order, however small the pieces.
//! Not here: what is in them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{setsockopt, sockopt};
use proptest::prelude::*;

use super::{Channel, Filled, Frame, MAX_BODY};
use crate::message::MAX_FDS;

#[test]
fn a_frame_larger_than_the_socket_arrives_in_pieces_with_its_descriptors() {
    let (mut left, mut right) = narrow_pair();
    let body: Vec<u8> = (0..MAX_BODY).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let (mine, theirs) = UnixStream::pair().unwrap();
    left.queue(1, 42, &body, vec![theirs.into()]).unwrap();
    left.flush().unwrap();
    assert!(left.wants_write() && left.queued() > 0, "the socket did not take all at once");
    let frame = exchange(&mut left, &mut right, 1).pop().unwrap();
    assert!(!left.wants_write() && left.queued() == 0);
    assert_eq!((frame.operation, frame.id, frame.body), (1, 42, body));
    assert!(same_connection(&mine, &frame.fds[0]));
}

#[test]
fn a_descriptor_is_closed_here_once_it_is_sent_and_there_when_it_is_dropped() {
    let (mut left, mut right) = narrow_pair();
    let (mut mine, theirs) = UnixStream::pair().unwrap();
    left.queue(1, 1, &[], vec![theirs.into()]).unwrap();
    let frames = exchange(&mut left, &mut right, 1);
    drop(frames);
    assert_eq!(mine.read(&mut [0]).unwrap(), 0);
}

#[test]
fn received_descriptors_close_on_exec() {
    let (mut left, mut right) = narrow_pair();
    left.queue(1, 1, &[], vec![null()]).unwrap();
    let frame = exchange(&mut left, &mut right, 1).pop().unwrap();
    let flags = nix::fcntl::fcntl(&frame.fds[0], nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags, nix::libc::FD_CLOEXEC);
}

#[test]
fn too_much_for_a_frame_is_refused_before_it_is_sent() {
    let (mut left, _right) = narrow_pair();
    let refused = |result: std::io::Result<()>| result.unwrap_err().kind() == ErrorKind::InvalidInput;
    assert!(refused(left.queue(1, 1, &vec![0; MAX_BODY + 1], vec![])));
    assert!(refused(left.queue(1, 1, &[], (0..=MAX_FDS).map(|_| null()).collect())));
    assert!(!left.wants_write());
}

#[test]
fn a_sender_that_breaks_the_rules_is_found_out() {
    let header = |length: u32, fds: u8| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend([1, fds, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    };
    let too_long = header(u32::try_from(MAX_BODY).unwrap() + 1, 0);
    let too_many = header(0, u8::try_from(MAX_FDS).unwrap() + 1);
    let missing = header(0, 1);
    for bytes in [too_long, too_many, missing] {
        let (mut raw, right) = UnixStream::pair().unwrap();
        let mut right = Channel::new(right.into()).unwrap();
        raw.write_all(&bytes).unwrap();
        assert_eq!(right.fill().unwrap(), Filled::Some);
        assert_eq!(right.next_frame().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

#[test]
fn an_end_in_the_middle_of_a_frame_is_an_end() {
    let (mut raw, right) = UnixStream::pair().unwrap();
    let mut right = Channel::new(right.into()).unwrap();
    assert_eq!(right.fill().unwrap(), Filled::WouldBlock);
    raw.write_all(&[9, 0, 0]).unwrap();
    drop(raw);
    assert_eq!(right.fill().unwrap(), Filled::Some);
    assert!(right.next_frame().unwrap().is_none());
    assert_eq!(right.fill().unwrap(), Filled::Closed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_and_their_descriptors_arrive_in_order(sent in prop::collection::vec((0..20_000_usize, 0..4_usize), 1..20)) {
        let (mut left, mut right) = narrow_pair();
        let mut kept = Vec::new();
        for (id, (length, count)) in (0..).zip(&sent) {
            let mut fds = Vec::new();
            for _ in 0..*count {
                let (mine, theirs) = UnixStream::pair().unwrap();
                kept.push(mine);
                fds.push(theirs.into());
            }
            left.queue(7, id, &vec![u8::try_from(id).unwrap(); *length], fds).unwrap();
        }
        let frames = exchange(&mut left, &mut right, sent.len());
        let mut kept = kept.into_iter();
        for ((id, (length, count)), frame) in (0..).zip(&sent).zip(frames) {
            prop_assert_eq!(frame.id, id);
            prop_assert_eq!(frame.body, vec![u8::try_from(id).unwrap(); *length]);
            prop_assert_eq!(frame.fds.len(), *count);
            for fd in &frame.fds {
                prop_assert!(same_connection(&kept.next().unwrap(), fd));
            }
        }
    }
}

fn narrow_pair() -> (Channel, Channel) {
    let (left, right) = UnixStream::pair().unwrap();
    setsockopt(&left, sockopt::SndBuf, &1).unwrap();
    setsockopt(&right, sockopt::RcvBuf, &1).unwrap();
    (Channel::new(left.into()).unwrap(), Channel::new(right.into()).unwrap())
}

fn exchange(left: &mut Channel, right: &mut Channel, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.len() < count {
        left.flush().unwrap();
        while right.fill().unwrap() == Filled::Some {}
        while let Some(frame) = right.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    frames
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

/// What is written to one comes out of the other.
fn same_connection(mine: &UnixStream, other: &OwnedFd) -> bool {
    let mut other = UnixStream::from(other.as_fd().try_clone_to_owned().unwrap());
    let _ = other.write_all(b"x");
    mine.set_nonblocking(true).unwrap();
    let mut byte = [0];
    (&*mine).read(&mut byte).is_ok_and(|length| length == 1)
}
