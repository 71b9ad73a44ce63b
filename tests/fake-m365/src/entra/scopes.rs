//! The delegated permissions that exist.
//! Not here: who has which.

/// Of OpenID Connect.
const OPENID: &[&str] = &["openid", "profile", "email", "offline_access"];

/// Of Graph: those that an application for mail, notes, files and chats can ask for.
const GRAPH: &[&str] = &[
    "Calendars.Read",
    "Channel.ReadBasic.All",
    "ChannelMessage.Read.All",
    "ChannelMessage.Send",
    "Chat.Create",
    "Chat.Read",
    "Chat.ReadBasic",
    "Chat.ReadWrite",
    "ChatMessage.Read",
    "ChatMessage.Send",
    "Contacts.Read",
    "Files.Read",
    "Files.Read.All",
    "Files.ReadWrite",
    "Files.ReadWrite.All",
    "Mail.Read",
    "Mail.Read.Shared",
    "Mail.ReadBasic",
    "Mail.ReadWrite",
    "Mail.Send",
    "MailboxSettings.Read",
    "MailboxSettings.ReadWrite",
    "Notes.Create",
    "Notes.Read",
    "Notes.Read.All",
    "Notes.ReadWrite",
    "Notes.ReadWrite.All",
    "People.Read",
    "Sites.Read.All",
    "Sites.ReadWrite.All",
    "Tasks.Read",
    "Team.ReadBasic.All",
    "User.Read",
    "User.Read.All",
    "User.ReadBasic.All",
];

const GRAPH_PREFIX: &str = "https://graph.microsoft.com/";

/// The scopes of a request, or the first that does not exist. Names are compared without case; what comes back is
/// written as Entra writes it.
pub(super) fn parse(text: &str) -> Result<Vec<String>, String> {
    text.split_ascii_whitespace().map(|scope| known(scope).ok_or_else(|| scope.to_owned())).collect()
}

fn known(scope: &str) -> Option<String> {
    let find =
        |all: &[&str], name: &str| all.iter().find(|one| one.eq_ignore_ascii_case(name)).map(ToString::to_string);
    match scope.strip_prefix(GRAPH_PREFIX) {
        Some(name) => find(GRAPH, name),
        None => find(OPENID, scope).or_else(|| find(GRAPH, scope)),
    }
}

pub(super) fn is_openid(scope: &str) -> bool {
    OPENID.contains(&scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_of_graph_may_be_written_with_or_without_its_resource() {
        assert_eq!(
            parse("openid https://graph.microsoft.com/Mail.Read mail.send").unwrap(),
            ["openid", "Mail.Read", "Mail.Send"]
        );
        assert_eq!(parse("openid Mail.Raed").unwrap_err(), "Mail.Raed");
        assert_eq!(parse("https://graph.microsoft.com/openid").unwrap_err(), "https://graph.microsoft.com/openid");
    }
}
