//! What the keeper holds for control: records and file descriptors.
//! Not here: that it outlives control (`control`).

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::libc;
use supervisor_keeper::{MAX_FDS, Reply, Request};

use crate::rig::Rig;

#[test]
fn what_is_held_is_given_back_as_duplicates_and_closed_on_drop() {
    let rig = Rig::start();
    let mut control = rig.control();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let hold = Request::Hold { names: vec!["a".to_owned(), "c".to_owned()] };
    assert_eq!(control.ask_with(&hold, &[theirs.as_fd(), ours.as_fd()]).0, Reply::Done);
    drop(theirs);
    let names = ["a".to_owned(), "unknown".to_owned(), "c".to_owned()].to_vec();
    let (reply, fds) = control.ask_with(&Request::Fetch { names }, &[]);
    assert_eq!(reply, Reply::Fds { names: vec!["a".to_owned(), "c".to_owned()] });
    assert_eq!(fds.len(), 2);
    assert_eq!(control.ask(&Request::Drop { names: vec!["a".to_owned(), "b".to_owned()] }), Reply::Done);
    let mut fds = fds.into_iter();
    assert!(is_open(&ours), "the duplicate still holds it");
    drop::<Option<OwnedFd>>(fds.next());
    assert!(!is_open(&ours), "the last one is gone");
}

#[test]
fn a_run_can_leave_descriptors_with_the_keeper() {
    let rig = Rig::start();
    let mut control = rig.control();
    let file = File::create(rig.path("out")).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut spawn = rig.script(1, "exit 0");
    spawn.hold = vec!["of the run".to_owned()];
    control.ask_with(&Request::Spawn(Box::new(spawn)), &[file.as_fd(), file.as_fd(), theirs.as_fd()]);
    drop(theirs);
    control.exit_of(1);
    assert!(is_open(&ours));
    assert_eq!(control.ask(&Request::Drop { names: vec!["of the run".to_owned()] }), Reply::Done);
    assert_eq!(ours.read(&mut [0]).unwrap(), 0);
}

#[test]
fn too_much_is_refused_and_nothing_is_lost() {
    let rig = Rig::start();
    let mut control = rig.control();
    let value = vec![7; 4_000_000];
    let mut last = Reply::Done;
    for number in 0..20 {
        last = control.ask(&Request::Put { key: format!("{number}"), value: value.clone() });
    }
    assert_eq!(last, Reply::Failed { errno: libc::ENOSPC });
    assert_eq!(control.ask(&Request::Put { key: "0".to_owned(), value }), Reply::Done, "a replacement fits");
    assert_eq!(control.ask(&Request::Delete { key: "0".to_owned() }), Reply::Done);
    let too_many = vec![String::new(); MAX_FDS + 1];
    let (socket, _other) = UnixStream::pair().unwrap();
    let mut peer = supervisor_keeper::Peer::new(socket.into()).unwrap();
    assert!(peer.queue(1, &Request::Fetch { names: too_many }, vec![]).is_err());
    let longer = Request::Put { key: String::new(), value: vec![0; 5 << 20] };
    assert!(peer.queue(1, &longer, vec![]).is_err());
}

/// The other end exists: nothing to read, but no end either.
fn is_open(socket: &UnixStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let open = matches!((&*socket).read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    open
}
