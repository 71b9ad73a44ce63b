//! Notify sockets: `READY=1`, `STATUS=…`, `WATCHDOG=1`, one socket for each generation.
//! The protocol is systemd's `sd_notify(3)`; unknown keys are ignored, as are file descriptors.
//! Not here: what a message changes.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg};
use nix::unistd::Pid;
use supervisor_core::{Event, SeenOff, Sign};
use supervisor_logs::Glimpse;
use tokio::net::UnixDatagram;
use tokio::sync::{mpsc, oneshot};

use crate::control::tree;
use crate::platform::Environments;
use crate::untrusted::one_line;

/// A message is at most this long; a longer one is ignored.
const MAX_MESSAGE: usize = 4096;
/// `STATUS=` is shown up to this length.
const MAX_STATUS: usize = 256;
/// After a message, whatever it is, the next one waits this long, so that a flood costs little.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);
/// More than wait in a socket: Linux takes `net.unix.max_dgram_qlen` (10, and 512 where systemd runs) and one more.
const MAX_LAST_WORDS: usize = 1024;

/// Whose messages count.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) run: u64,
    /// The user of the run, when it is not ours.
    pub(crate) uid: Option<u32>,
    /// What the environment of each process of the run says.
    pub(crate) cookie: String,
    /// The main process, once it is known; it leads the session of its tree.
    pub(crate) main: Arc<AtomicI32>,
}

/// What a run has said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event: Event,
    pub(crate) source: Source,
}

/// Dropped once all that follows from what was told is with the keeper: it may be forgotten where it stands.
#[derive(Debug)]
pub(crate) enum Source {
    /// A socket or pipe, whose reader waits.
    Reader { _waits: oneshot::Sender<()> },
    /// An output pipe.
    Output { _glimpse: Glimpse },
}

impl Told {
    /// Returns when it has been taken in; false: nobody listens any more.
    pub(crate) async fn tell(told: &mpsc::Sender<Self>, event: Event) -> bool {
        let (waits, taken_in) = oneshot::channel();
        if told.send(Self { event, source: Source::Reader { _waits: waits } }).await.is_err() {
            return false;
        }
        let _dropped = taken_in.await;
        true
    }
}

/// Reads until the socket fails or nobody listens. A message stays in the socket until it has been taken in: if this
/// control dies before, the next one hears it.
pub(crate) async fn listen(socket: Arc<UnixDatagram>, sender: Sender, told: mpsc::Sender<Told>) -> io::Result<()> {
    loop {
        if let Some(message) = look(&socket, &sender).await? {
            for event in parse(&message, sender.run) {
                if !Told::tell(&told, event).await {
                    return Ok(());
                }
            }
        }
        // Whatever its length, this takes the whole of it.
        match socket.try_recv(&mut [0]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What one that has ended has said and nobody has read yet: news of its end may be faster than its last words.
pub(crate) fn last_words(socket: &impl AsRawFd, sender: &Sender) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..MAX_LAST_WORDS {
        let mut buffer = [0; MAX_MESSAGE];
        let Ok(received) = look_now(socket, &mut buffer, MsgFlags::empty()) else { break };
        let message = received.message(&buffer, sender);
        events.extend(message.into_iter().flat_map(|message| parse(message, sender.run)));
    }
    events
}

/// The text of the next message, if it is one that counts.
async fn look(socket: &UnixDatagram, sender: &Sender) -> io::Result<Option<String>> {
    let mut buffer = [0; MAX_MESSAGE];
    let mut peek = || look_now(socket, &mut buffer, MsgFlags::MSG_PEEK).map_err(io::Error::from);
    let received = socket.async_io(tokio::io::Interest::READABLE, &mut peek).await?;
    Ok(received.message(&buffer, sender).map(str::to_owned))
}

impl Received {
    fn message<'a>(&self, buffer: &'a [u8], sender: &Sender) -> Option<&'a str> {
        let complete = self.complete;
        let trusted = self.credentials.is_none_or(|credentials| trusts(sender, &credentials));
        if !complete || !trusted {
            tracing::debug!(run = sender.run, complete, trusted, "a notify message was ignored");
            return None;
        }
        std::str::from_utf8(&buffer[..self.length]).ok()
    }
}

struct Received {
    length: usize,
    complete: bool,
    credentials: Option<UnixCredentials>,
}

fn look_now(socket: &impl AsRawFd, buffer: &mut [u8], how: MsgFlags) -> nix::Result<Received> {
    // Room for the credentials only: the kernel closes file descriptors that do not fit.
    let mut control = cmsg_space!(UnixCredentials);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let flags = how | MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let credentials = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(|one| if let ControlMessageOwned::ScmCredentials(found) = one { Some(found) } else { None })
    });
    Ok(Received { length: message.bytes, complete: !message.flags.contains(MsgFlags::MSG_TRUNC), credentials })
}

/// The socket is the generation's own, so its user is enough when the sender is gone already; a sender that lives
/// must belong to the run, else another service of the same user could speak for it.
fn trusts(sender: &Sender, credentials: &UnixCredentials) -> bool {
    let ours = nix::unistd::Uid::effective().as_raw();
    let uid = credentials.uid();
    let user = uid == sender.uid.unwrap_or(ours) || uid == ours || uid == 0;
    let pid = credentials.pid();
    let session = nix::unistd::getsid(Some(Pid::from_raw(pid))).ok();
    // Some programs overwrite their environment; their session still tells.
    let same_session = session.is_some_and(|session| session.as_raw() == sender.main.load(Ordering::Relaxed));
    let same_cookie =
        || tree::cookie_of(pid, &mut Environments::default()).is_some_and(|cookie| cookie == sender.cookie);
    user && (same_session || same_cookie() || !tree::alive(pid))
}

/// The events of one message.
pub(crate) fn parse(message: &str, run: u64) -> Vec<Event> {
    let number = |key: &str| message.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
    let seen_off = number("X_DRAINED").zip(number("X_CUT"));
    let drained = seen_off.map(|(drained, cut)| Event::NotifiedDrained { run, seen_off: SeenOff { drained, cut } });
    message
        .lines()
        .filter_map(|line| match line.split_once('=')? {
            ("READY", "1") => Some(Event::SignSeen { run, sign: Sign::Notify }),
            ("WATCHDOG", "1") => Some(Event::NotifiedWatchdog { run }),
            ("STATUS", text) => Some(Event::NotifiedStatus { run, status: one_line(text, MAX_STATUS) }),
            _ => None,
        })
        .chain(drained)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::recv;

    use super::*;

    #[test]
    fn a_message_becomes_the_events_that_it_names_and_nothing_else() {
        let events = parse(
            "READY=1\nX_DRAINED=40\nX_CUT=2\nMAINPID=1\nSTATUS=warm\u{1b}[2J up\nWATCHDOG=1\nREADY=2\nX_FOO=1",
            7,
        );
        assert_eq!(
            events,
            [
                Event::SignSeen { run: 7, sign: Sign::Notify },
                Event::NotifiedStatus { run: 7, status: "warm [2J up".to_owned() },
                Event::NotifiedWatchdog { run: 7 },
                Event::NotifiedDrained { run: 7, seen_off: SeenOff { drained: 40, cut: 2 } },
            ]
        );
    }

    fn bind(path: &std::path::Path) -> Arc<UnixDatagram> {
        Arc::new(UnixDatagram::bind(path).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_do_not_count_are_read_no_faster_than_others() {
        const IGNORED: u32 = 5;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = bind(&path);
        let client = std::os::unix::net::UnixDatagram::unbound().unwrap();
        for _ in 0..IGNORED {
            client.send_to(b"\xff\xfe", &path).unwrap();
        }
        client.send_to(b"READY=1", &path).unwrap();
        let (events, mut told) = mpsc::channel(1);
        let main = Arc::new(AtomicI32::new(nix::unistd::getsid(None).unwrap().as_raw()));
        let sender = Sender { run: 7, uid: None, cookie: String::new(), main };
        let began = tokio::time::Instant::now();
        let event = tokio::select! {
            ended = listen(socket, sender, events) => panic!("{ended:?}"),
            told = told.recv() => told.map(|told| told.event),
        };
        assert_eq!(event, Some(Event::SignSeen { run: 7, sign: Sign::Notify }));
        assert!(began.elapsed() >= PAUSE * IGNORED);
    }

    #[tokio::test]
    async fn a_message_stays_in_the_socket_until_it_has_been_taken_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = bind(&path);
        let next = Arc::clone(&socket);
        std::os::unix::net::UnixDatagram::unbound().unwrap().send_to(b"READY=1", &path).unwrap();
        let (events, mut told) = mpsc::channel(1);
        let main = Arc::new(AtomicI32::new(nix::unistd::getsid(None).unwrap().as_raw()));
        let sender = Sender { run: 7, uid: None, cookie: String::new(), main };
        // This control dies while it deals with it.
        tokio::select! {
            ended = listen(socket, sender.clone(), events.clone()) => panic!("{ended:?}"),
            told = told.recv() => std::mem::forget(told),
        }
        let again = Arc::clone(&next);
        tokio::select! {
            ended = listen(next, sender, events) => panic!("{ended:?}"),
            () = async {
                drop(told.recv().await);
                while recv(again.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_ok() {
                    tokio::time::sleep(PAUSE).await;
                }
            } => {}
        }
    }

    #[tokio::test]
    async fn what_was_said_before_the_end_is_heard_though_the_end_is_known_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = bind(&path);
        let client = std::os::unix::net::UnixDatagram::unbound().unwrap();
        for words in ["STOPPING=1", "X_DRAINED=3\nX_CUT=1"] {
            client.send_to(words.as_bytes(), &path).unwrap();
        }
        let main = Arc::new(AtomicI32::new(nix::unistd::getsid(None).unwrap().as_raw()));
        let sender = Sender { run: 7, uid: None, cookie: String::new(), main };
        let heard = Event::NotifiedDrained { run: 7, seen_off: SeenOff { drained: 3, cut: 1 } };
        assert_eq!(last_words(&*socket, &sender), [heard]);
        assert_eq!(last_words(&*socket, &sender), []);
    }
}
