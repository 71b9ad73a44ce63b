//! A small blocking HTTP server with a health page that lies as it is told.
//! Not here: a good server; the shipped services are that.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{IntoRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, accept, recv, send, shutdown};
use nix::unistd::close;

use crate::args::Args;
use crate::ends;
use crate::notify;
use crate::output::say;

/// Serves on every inherited listener with `--inherited`, else on `--port N`, else on `PORT`. `--health FILE` names
/// the file whose words say how `/health` answers. `--by-grandchild` leaves the serving to a process in a session of
/// its own; `--notify` says `READY=1`; `--after MS` waits before it binds.
pub(crate) fn main(mut args: Args) -> io::Result<()> {
    if args.flag("by-grandchild") {
        return by_grandchild(args);
    }
    if args.flag("session") {
        nix::unistd::setsid()?;
        nix::sys::signal::SigSet::all().thread_block()?;
    }
    let health = args.option("health").map(PathBuf::from);
    let notify = args.flag("notify");
    thread::sleep(args.option_millis("after").unwrap_or(Duration::ZERO));
    let listeners = listeners(&mut args)?;
    say(&format!("serving {}\n", listeners.len()))?;
    if notify {
        notify::send(b"READY=1")?;
    }
    for listener in listeners {
        let health = health.clone();
        each_client(listener, move |client| converse(client, listener, health.as_deref()));
    }
    ends::wait()
}

fn by_grandchild(mut args: Args) -> io::Result<()> {
    let crash = args.option_millis("crash-after");
    let mut words = vec!["listen".to_owned(), "--session".to_owned()];
    words.extend(args.rest());
    let child = Command::new(std::env::current_exe()?).args(words).spawn()?;
    drop(child);
    match crash {
        Some(after) => {
            thread::sleep(after);
            std::process::exit(1)
        }
        None => ends::wait(),
    }
}

/// Sockets that listen, inherited or bound.
pub(crate) fn listeners(args: &mut Args) -> io::Result<Vec<RawFd>> {
    if args.flag("inherited") {
        let count: RawFd = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
        return Ok((3..3 + count).collect());
    }
    let port = match args.option_number("port") {
        Some(port) => port,
        None => std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0),
    };
    Ok(vec![TcpListener::bind(("127.0.0.1", port))?.into_raw_fd()])
}

/// On a thread: has each client served on one of its own.
pub(crate) fn each_client(listener: RawFd, serve: impl Fn(RawFd) -> io::Result<()> + Send + Sync + 'static) {
    let serve = Arc::new(serve);
    thread::spawn(move || {
        loop {
            let client = match accept(listener) {
                Ok(client) => client,
                // An inherited listener is not blocking, and waiting for it properly would need `unsafe`; one that is shut
                // may be opened again.
                Err(Errno::EAGAIN | Errno::EINVAL) => {
                    thread::sleep(Duration::from_millis(2));
                    continue;
                }
                Err(_) => return,
            };
            let serve = Arc::clone(&serve);
            thread::spawn(move || {
                // A client that went away ends its own connection only.
                let _gone = serve(client);
                let _closed = close(client);
            });
        }
    });
}

fn converse(client: RawFd, listener: RawFd, health: Option<&Path>) -> io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            match recv(client, &mut buffer, MsgFlags::empty())? {
                0 => return Ok(()),
                count => head.extend_from_slice(&buffer[..count]),
            }
            continue;
        };
        let request = String::from_utf8_lossy(&head[..end]).into_owned();
        head.drain(..end + 4);
        let path = request.split(' ').nth(1).unwrap_or("/");
        match path.strip_prefix("/slow/") {
            Some(ms) => {
                thread::sleep(Duration::from_millis(ms.parse().unwrap_or(0)));
                plain(client, "200 OK", &std::process::id().to_string())?;
            }
            None if path == "/health" => health_page(client, health)?,
            // As a server does that takes a shared socket for its own.
            None if path == "/shut" => {
                shutdown(listener, Shutdown::Both)?;
                plain(client, "200 OK", "shut")?;
            }
            None => plain(client, "200 OK", &std::process::id().to_string())?,
        }
        if request.to_ascii_lowercase().contains("connection: close") {
            return Ok(());
        }
    }
}

fn health_page(client: RawFd, health: Option<&Path>) -> io::Result<()> {
    let word = health.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_else(|| "200".to_owned());
    match word.trim() {
        "200" => plain(client, "200 OK", "well"),
        "hang" => ends::wait(),
        "drip" => loop {
            tell(client, "X")?;
            thread::sleep(Duration::from_millis(50));
        },
        "endless" => {
            tell(client, "HTTP/1.1 503 Service Unavailable\r\n\r\n")?;
            loop {
                tell(client, &"e".repeat(65536))?;
            }
        }
        "redirect" => {
            tell(client, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:1/health\r\nContent-Length: 0\r\n\r\n")
        }
        "bighead" => tell(client, &format!("HTTP/1.1 200 OK\r\nX-Big: {}\r\n\r\n", "b".repeat(1 << 20))),
        "garbage" => tell(client, "\0\u{1}not http at all\r\n\r\n"),
        "reset" => Err(io::Error::other("closed without an answer")),
        status => plain(client, &format!("{status} As Told"), "ill"),
    }
}

fn plain(client: RawFd, status: &str, body: &str) -> io::Result<()> {
    tell(client, &format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn tell(client: RawFd, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let count = send(client, rest, MsgFlags::MSG_NOSIGNAL)?;
        rest = &rest[count..];
    }
    Ok(())
}
