//! The kinds of clients.
//! Not here: how each of them asks.

use std::fmt;
use std::str::FromStr;

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A connection for each request.
    Fresh,
    /// One connection; never looks whether it is still open.
    KeepAlive,
    /// One connection; looks whether it was closed before it asks again.
    Pool,
    /// Uploads whose body takes its time.
    Upload,
    /// Requests whose answer takes its time.
    Slow,
    /// Three requests at once on one connection.
    Pipeline,
    /// HTTP/2 without TLS, many requests on one connection.
    Http2,
    /// Server-sent events.
    Events,
    /// A WebSocket.
    WebSocket,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Fresh,
        Self::KeepAlive,
        Self::Pool,
        Self::Upload,
        Self::Slow,
        Self::Pipeline,
        Self::Http2,
        Self::Events,
        Self::WebSocket,
    ];

    /// Its name in tables and on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "new connections",
            Self::KeepAlive => "keep-alive",
            Self::Pool => "pool",
            Self::Upload => "upload",
            Self::Slow => "slow",
            Self::Pipeline => "pipeline",
            Self::Http2 => "http2",
            Self::Events => "events",
            Self::WebSocket => "websocket",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name || kind.name().starts_with(name));
        found.ok_or_else(|| {
            format!("no kind of client is called `{name}`; there are: {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
