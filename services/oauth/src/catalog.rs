//! The four services that tokens are for: their names, scopes, and what each scope means at Microsoft Graph.
//! Not here: where they are found; `settings` knows that.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A service that tokens are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Outlook.
    Mail,
    /// OneNote.
    Onenote,
    /// OneDrive.
    Onedrive,
    /// Teams.
    Teams,
}

/// What a token lets its bearer do.
pub struct Scope {
    /// As clients ask for it.
    pub name: &'static str,
    /// What it is called at Graph, as delegated permissions.
    pub graph: &'static [&'static str],
    /// Scopes that come with it.
    pub implies: &'static [&'static str],
    /// Whether it is given when nothing is asked for.
    pub default: Default,
}

/// Whether a scope is given when nothing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It is.
    Given,
    /// Only when it is named: most organisations want an administrator's consent for it.
    Named,
}

/// What every login asks of Graph: who the user is.
pub const GRAPH_BASE: &str = "User.Read";

/// What Entra gives besides Graph permissions: an id token, a name, a refresh token.
pub const ENTRA_SCOPES: &[&str] = &["openid", "profile", "offline_access"];

/// Scopes of OpenID Connect that clients add from habit; accepted, and not given.
const NOISE: &[&str] = &["openid", "profile", "email", "offline_access"];

const MAIL: &[Scope] = &[
    Scope { name: "mail.read", graph: &["Mail.Read"], implies: &[], default: Default::Given },
    Scope { name: "mail.write", graph: &["Mail.ReadWrite"], implies: &["mail.read"], default: Default::Given },
    Scope { name: "mail.send", graph: &["Mail.Send"], implies: &[], default: Default::Given },
];
const ONENOTE: &[Scope] = &[
    Scope { name: "notes.read", graph: &["Notes.Read"], implies: &[], default: Default::Given },
    Scope {
        name: "notes.write",
        graph: &["Notes.ReadWrite", "Notes.Create"],
        implies: &["notes.read"],
        default: Default::Given,
    },
];
const ONEDRIVE: &[Scope] = &[
    Scope { name: "files.read", graph: &["Files.Read"], implies: &[], default: Default::Given },
    Scope { name: "files.write", graph: &["Files.ReadWrite"], implies: &["files.read"], default: Default::Given },
];
const TEAMS: &[Scope] = &[
    Scope { name: "chats.read", graph: &["Chat.Read"], implies: &[], default: Default::Given },
    Scope { name: "chats.send", graph: &["ChatMessage.Send", "Chat.Create"], implies: &[], default: Default::Given },
    Scope {
        name: "channels.read",
        graph: &["Team.ReadBasic.All", "Channel.ReadBasic.All", "ChannelMessage.Read.All"],
        implies: &[],
        default: Default::Named,
    },
    Scope { name: "channels.send", graph: &["ChannelMessage.Send"], implies: &[], default: Default::Named },
];

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mail, Self::Onenote, Self::Onedrive, Self::Teams];

    /// As its variables and its program are called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Onenote => "onenote",
            Self::Onedrive => "onedrive",
            Self::Teams => "teams",
        }
    }

    /// As people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Mail => "Outlook Mail",
            Self::Onenote => "OneNote",
            Self::Onedrive => "OneDrive",
            Self::Teams => "Microsoft Teams",
        }
    }

    /// Its port when nothing else is said.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Mail => 8002,
            Self::Onenote => 8003,
            Self::Onedrive => 8004,
            Self::Teams => 8005,
        }
    }

    /// The service of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// What can be asked of it.
    #[must_use]
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Mail => MAIL,
            Self::Onenote => ONENOTE,
            Self::Onedrive => ONEDRIVE,
            Self::Teams => TEAMS,
        }
    }

    fn scope(self, name: &str) -> Option<&'static Scope> {
        self.scopes().iter().find(|scope| scope.name == name)
    }
}

/// Scopes of one service, in order, with what they imply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<String>);

/// A scope that nobody knows, or none that this service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidScope;

impl Scopes {
    /// Reads what a client asks for, separated by spaces. What belongs to another of the four services is left out:
    /// clients without a list for one service ask for all of them.
    ///
    /// # Errors
    /// When a scope is unknown, or none is left.
    pub fn parse(service: Service, text: &str) -> Result<Self, InvalidScope> {
        let mut wanted = BTreeSet::new();
        let mut only_noise = true;
        for name in text.split_ascii_whitespace() {
            if NOISE.contains(&name) {
                continue;
            }
            only_noise = false;
            match service.scope(name) {
                Some(scope) => wanted.extend([scope.name].iter().chain(scope.implies).map(|name| (*name).to_owned())),
                None if Service::ALL.iter().any(|other| other.scope(name).is_some()) => {}
                None => return Err(InvalidScope),
            }
        }
        match (wanted.is_empty(), only_noise) {
            (false, _) => Ok(Self(wanted)),
            (true, true) => Ok(Self::default_of(service)),
            (true, false) => Err(InvalidScope),
        }
    }

    /// What is given when nothing is asked for.
    #[must_use]
    pub fn default_of(service: Service) -> Self {
        let given = service.scopes().iter().filter(|scope| scope.default == Default::Given);
        Self(given.map(|scope| scope.name.to_owned()).collect())
    }

    /// Of these, the ones that are in `names`; with what they imply.
    #[must_use]
    pub fn chosen(&self, service: Service, names: &[String]) -> Option<Self> {
        let chosen: Vec<&str> = names.iter().map(String::as_str).filter(|name| self.0.contains(*name)).collect();
        if chosen.is_empty() { None } else { Self::parse(service, &chosen.join(" ")).ok() }
    }

    /// Whether all of these are in `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Their permissions at Graph.
    #[must_use]
    pub fn graph(&self, service: Service) -> BTreeSet<&'static str> {
        let scopes = self.0.iter().filter_map(|name| service.scope(name));
        scopes.flat_map(|scope| scope.graph).copied().chain([GRAPH_BASE]).collect()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// As they were stored.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.split_ascii_whitespace().map(str::to_owned).collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.names().collect();
        f.write_str(&names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(service: Service, text: &str) -> Result<String, InvalidScope> {
        Scopes::parse(service, text).map(|scopes| scopes.to_string())
    }

    #[test]
    fn write_brings_read_and_send_brings_nothing() {
        assert_eq!(parse(Service::Mail, "mail.write").unwrap(), "mail.read mail.write");
        assert_eq!(parse(Service::Mail, "mail.send").unwrap(), "mail.send");
    }

    #[test]
    fn what_other_services_have_is_left_out_and_what_nobody_has_is_refused() {
        assert_eq!(parse(Service::Mail, "files.read mail.read").unwrap(), "mail.read");
        assert_eq!(parse(Service::Mail, "files.read"), Err(InvalidScope));
        assert_eq!(parse(Service::Mail, "mail.read Mail.Read"), Err(InvalidScope));
    }

    #[test]
    fn without_a_wish_no_administrator_is_needed() {
        assert_eq!(parse(Service::Teams, "").unwrap(), "chats.read chats.send");
        assert_eq!(parse(Service::Teams, "openid offline_access").unwrap(), "chats.read chats.send");
    }

    #[test]
    fn graph_is_asked_for_no_more_than_was_granted() {
        let read = Scopes::stored("mail.read");
        assert_eq!(read.graph(Service::Mail).into_iter().collect::<Vec<_>>(), ["Mail.Read", "User.Read"]);
    }
}
