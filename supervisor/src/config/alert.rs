//! One alert: what it tells, of whom, and the way it takes.
//! Not here: reading the file (`alerts`), telling (`crate::alerts`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::SecretSource;
use super::stack::fnv1a;

/// One `[[alerts]]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    /// Unique.
    pub(crate) name: String,
    /// By which what was told to it is kept: its name if it says one; else what comes of its way, wherever it stands.
    pub(crate) key: String,
    pub(crate) on: Vec<Occasion>,
    /// Names of services, in which `*` stands for any letters.
    pub(crate) services: Vec<String>,
    pub(crate) way: Way,
    pub(crate) min_interval: Duration,
    pub(crate) log_lines: usize,
}

/// What there can be to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Occasion {
    /// A run ended that nobody asked to end, and not with success; or it could not begin.
    Crash,
    /// It ends again and again.
    CrashLoop,
    /// It is down although it is wanted, and not tried again soon.
    Failed,
    /// It lives, and does not answer.
    Unhealthy,
    /// The next generation was no good; the one before serves on.
    RolledBack,
    /// It has used more than it should, or than it may.
    Limit,
    /// Its log cannot be written.
    Disk,
    /// Its certificate ends soon, or has ended.
    Certificate,
    /// What was told before is over.
    Recovered,
    /// Somebody tries whether alerts arrive.
    Test,
}

impl Occasion {
    /// Those that the file may name.
    pub(crate) const TOLD: [Self; 9] = [
        Self::Crash,
        Self::CrashLoop,
        Self::Failed,
        Self::Unhealthy,
        Self::RolledBack,
        Self::Limit,
        Self::Disk,
        Self::Certificate,
        Self::Recovered,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::CrashLoop => "crash-loop",
            Self::Failed => "failed",
            Self::Unhealthy => "unhealthy",
            Self::RolledBack => "rolled-back",
            Self::Limit => "limit",
            Self::Disk => "disk",
            Self::Certificate => "certificate",
            Self::Recovered => "recovered",
            Self::Test => "test",
        }
    }
}

/// How it is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    Webhook {
        address: Hidden,
        headers: BTreeMap<String, Hidden>,
    },
    Slack(Hidden),
    Discord(Hidden),
    Ntfy(Hidden),
    Email(Mail),
    /// At least one word.
    Command(Vec<String>),
    Desktop,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mail {
    pub(crate) server: String,
    pub(crate) port: u16,
    pub(crate) wire: Wire,
    pub(crate) login: Option<(String, Hidden)>,
    /// Mailboxes, as a mail's header has them.
    pub(crate) from: String,
    /// At least one.
    pub(crate) to: Vec<String>,
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// It begins in the clear, and goes on only once it is encrypted.
    StartTls,
    /// From the first byte.
    Tls,
    Clear,
}

/// Something that may be secret. It is not printed.
#[derive(Clone, PartialEq)]
pub(crate) enum Hidden {
    Text(String),
    /// Looked up each time that it is needed.
    Source(SecretSource),
}

impl Hidden {
    /// As they stand in the configuration.
    fn words(&self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text.clone()],
            Self::Source(SecretSource::File { path, mark: _ }) => vec!["file".to_owned(), path.display().to_string()],
            Self::Source(SecretSource::Command(argv)) => [&["command".to_owned()], argv.as_slice()].concat(),
            Self::Source(SecretSource::Env(name)) => vec!["env".to_owned(), name.clone()],
        }
    }

    /// The file that holds it, if one does.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Source(SecretSource::File { path, mark: _ }) => Some(path),
            Self::Source(SecretSource::Command(_) | SecretSource::Env(_)) | Self::Text(_) => None,
        }
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

impl Alert {
    /// Does it tell of this service?
    pub(crate) fn is_about(&self, service: &str) -> bool {
        self.services.iter().any(|pattern| matches(pattern, service))
    }

    /// All that may be secret.
    pub(crate) fn hidden(&self) -> Vec<&Hidden> {
        match &self.way {
            Way::Webhook { address, headers } => std::iter::once(address).chain(headers.values()).collect(),
            Way::Slack(address) | Way::Discord(address) | Way::Ntfy(address) => vec![address],
            Way::Email(mail) => mail.login.iter().map(|(_, password)| password).collect(),
            Way::Command(_) | Way::Desktop => Vec::new(),
        }
    }
}

impl Way {
    /// Whom it leads to, in one number, which tells nothing of it.
    pub(super) fn print(&self) -> u64 {
        let words = match self {
            Self::Webhook { address, headers: _ } => address.words(),
            Self::Slack(address) | Self::Discord(address) | Self::Ntfy(address) => address.words(),
            Self::Email(mail) => [&[mail.server.clone(), mail.port.to_string()], mail.to.as_slice()].concat(),
            Self::Command(argv) => argv.clone(),
            Self::Desktop => Vec::new(),
        };
        fnv1a(words.join("\0").as_bytes())
    }

    /// The key that says it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack(_) => "slack",
            Self::Discord(_) => "discord",
            Self::Ntfy(_) => "ntfy",
            Self::Email(_) => "email",
            Self::Command(_) => "command",
            Self::Desktop => "desktop",
        }
    }
}

/// `*` stands for any letters, as few as possible: the parts between must follow each other.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(begin) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name) in [
            ("*", "web"),
            ("web", "web"),
            ("w*", "web"),
            ("*b", "web"),
            ("w*b", "wb"),
            ("a*b*c", "a-b-b-c"),
            ("*-api-*", "eu-api-2"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("web", "web2"), ("w*b", "w"), ("a*a", "a"), ("*x*", "web"), ("", "web")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_printed() {
        let alert = Alert {
            name: "a".to_owned(),
            key: "a".to_owned(),
            on: vec![Occasion::Crash],
            services: vec![],
            way: Way::Slack(Hidden::Text("https://hooks/hunter2".to_owned())),
            min_interval: Duration::ZERO,
            log_lines: 0,
        };
        assert!(!format!("{alert:?}").contains("hunter2"));
    }
}
