//! A mail server of the kind that a test needs: it takes mail over SMTP (RFC 5321), in the clear or encrypted.
//! Not here: what should be in a mail.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use e2e::eventually;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::authority::{Authority, NEVER};

/// How its connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Clear,
    StartTls,
    Tls,
}

/// A mail, and how it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    pub(crate) encrypted: bool,
    /// What `AUTH PLAIN` brought, in base64.
    pub(crate) login: Option<String>,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// As it was sent, without the dots of the protocol.
    pub(crate) text: String,
}

pub(crate) struct PostOffice {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    mails: Arc<Mutex<Vec<Mail>>>,
    /// For the next recipients instead of a welcome.
    refusals: Arc<Mutex<Vec<&'static str>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl PostOffice {
    /// It lives as long as the test's process.
    pub(crate) fn start(wire: Wire) -> Self {
        let authority = Authority::named("post");
        let config = authority.server("localhost", NEVER);
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let mails = Arc::default();
        let refusals: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let office = Self { address, authority, mails, refusals, heard };
        let (mails, refusals, heard) = (office.mails.clone(), office.refusals.clone(), office.heard.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let clerk = Clerk { wire, config: config.clone(), refusals: refusals.clone(), heard: heard.clone() };
                let mails = mails.clone();
                std::thread::spawn(move || clerk.serve(stream, &mails));
            }
        });
        office
    }

    pub(crate) fn refuse_next(&self, with: &[&'static str]) {
        self.refusals.lock().expect("no test panics with it").extend(with);
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("no test panics with it").clone()
    }

    /// Every line that a client has said.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no test panics with it").clone()
    }

    #[track_caller]
    pub(crate) fn wait(&self) -> Mail {
        eventually("a mail", || self.mails().into_iter().next())
    }
}

struct Clerk {
    wire: Wire,
    config: Arc<ServerConfig>,
    refusals: Arc<Mutex<Vec<&'static str>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

enum Next {
    Over,
    Encrypt,
}

impl Clerk {
    /// A client that breaks off has said all that it wanted.
    fn serve(&self, stream: TcpStream, mails: &Mutex<Vec<Mail>>) {
        let _ended = self.talk(stream, mails);
    }

    fn talk(&self, mut stream: TcpStream, mails: &Mutex<Vec<Mail>>) -> io::Result<()> {
        if self.wire != Wire::Tls {
            stream.write_all(b"220 post office\r\n")?;
            match self.session(&mut BufReader::new(&mut stream), mails, self.wire == Wire::StartTls)? {
                Next::Over => return Ok(()),
                Next::Encrypt => {}
            }
        }
        let connection = ServerConnection::new(self.config.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        if self.wire == Wire::Tls {
            stream.write_all(b"220 post office\r\n")?;
        }
        self.session(&mut BufReader::new(Encrypted(&mut stream)), mails, false).map(|_| ())
    }

    fn session<S: Talk>(&self, client: &mut BufReader<S>, mails: &Mutex<Vec<Mail>>, offers: bool) -> io::Result<Next> {
        let mut mail = Mail { encrypted: S::ENCRYPTED, ..Mail::default() };
        loop {
            let mut line = String::new();
            if client.read_line(&mut line)? == 0 {
                return Ok(Next::Over);
            }
            let line = line.trim_end();
            self.heard.lock().expect("no test panics with it").push(line.to_owned());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let answer = match verb.as_str() {
                "EHLO" if offers => "250-hello\r\n250 STARTTLS".to_owned(),
                "EHLO" => "250-hello\r\n250-8BITMIME\r\n250 AUTH PLAIN".to_owned(),
                "STARTTLS" if offers => {
                    client.get_mut().write_all(b"220 go ahead\r\n")?;
                    return Ok(Next::Encrypt);
                }
                "AUTH" => {
                    mail.login = line.split(' ').nth(2).map(str::to_owned);
                    "235 welcome".to_owned()
                }
                "MAIL" => {
                    mail.from = line.to_owned();
                    "250 fine".to_owned()
                }
                "RCPT" => {
                    let refusal = self.refusals.lock().expect("no test panics with it").pop();
                    mail.to.push(line.to_owned());
                    refusal.map_or_else(|| "250 fine".to_owned(), str::to_owned)
                }
                "DATA" => {
                    client.get_mut().write_all(b"354 go on\r\n")?;
                    mail.text = text(client)?;
                    mails.lock().expect("no test panics with it").push(mail.clone());
                    "250 taken".to_owned()
                }
                "QUIT" => "221 bye".to_owned(),
                _ => "250 if you say so".to_owned(),
            };
            client.get_mut().write_all(format!("{answer}\r\n").as_bytes())?;
        }
    }
}

fn text(client: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

/// Both ways of a connection.
trait Talk: Read + Write {
    const ENCRYPTED: bool;
}

impl Talk for &mut TcpStream {
    const ENCRYPTED: bool = false;
}

struct Encrypted<'a>(&'a mut StreamOwned<ServerConnection, TcpStream>);

impl Read for Encrypted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Encrypted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Talk for Encrypted<'_> {
    const ENCRYPTED: bool = true;
}
