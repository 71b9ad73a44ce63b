//! A message as a mail, handed to the mail server that the operator has named.
//! Not here: its words (`words`).

use std::time::Duration;

use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Letter};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::{ClientId, MailParameter};
use lettre::transport::smtp::{Error, commands};

use super::failure::Failure;
use super::message::{Message, Sender};
use super::words;
use crate::config::{Mail, Wire};

/// For each of its commands; the whole has a limit, too.
const COMMAND: Duration = Duration::from_secs(15);

pub(super) async fn send(
    mail: &Mail,
    password: Option<&str>,
    alert: &str,
    message: &Message,
    sender: &Sender,
) -> Result<(), Failure> {
    let letter = letter(mail, alert, message, sender)?;
    let failed = |why: &str| format!("`{}:{}`: {why}", mail.server, mail.port);
    let refused = match deliver(mail, password, &letter, sender).await {
        Ok(refused) => refused,
        Err(Undelivered::Unencrypted(failure)) => return Err(failure),
        Err(Undelivered::Smtp(error)) if error.is_permanent() => return Err(Failure::never(failed(&whole(&error)))),
        Err(Undelivered::Smtp(error)) => return Err(Failure::later(failed(&whole(&error)))),
    };
    let Some((address, error)) = refused.first() else { return Ok(()) };
    let taken = mail.to.len().saturating_sub(refused.len());
    let why = format!("taken for {taken} of {}; not for `{address}`: {}", mail.to.len(), whole(error));
    Err(Failure::never(failed(&why)))
}

enum Undelivered {
    Unencrypted(Failure),
    Smtp(Error),
}

impl From<Error> for Undelivered {
    fn from(error: Error) -> Self {
        Self::Smtp(error)
    }
}

/// To all, or to nobody while some may be taken later; a recipient that is refused for good costs the others nothing. Gives
/// those.
async fn deliver(
    mail: &Mail,
    password: Option<&str>,
    letter: &Letter,
    sender: &Sender,
) -> Result<Vec<(Address, Error)>, Undelivered> {
    let mut connection = connect(mail, sender).await?;
    if let (Some((user, _)), Some(password)) = (&mail.login, password) {
        connection.auth(DEFAULT_MECHANISMS, &Credentials::new(user.clone(), password.to_owned())).await?;
    }
    let envelope = letter.envelope();
    // The text is in ASCII, whatever it says; addresses may not be (RFC 6531, 3.4).
    let is_ascii = envelope.from().into_iter().chain(envelope.to()).all(|address| address.to_string().is_ascii());
    let parameters = if is_ascii { Vec::new() } else { vec![MailParameter::SmtpUtfEight] };
    connection.command(commands::Mail::new(envelope.from().cloned(), parameters)).await?;
    let mut refused = Vec::new();
    for to in envelope.to() {
        match connection.command(commands::Rcpt::new(to.clone(), Vec::new())).await {
            Ok(_) => {}
            Err(error) if error.is_permanent() && refused.len() + 1 < envelope.to().len() => {
                refused.push((to.clone(), error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    connection.command(commands::Data).await?;
    connection.message(&letter.formatted()).await?;
    connection.abort().await;
    Ok(refused)
}

async fn connect(mail: &Mail, sender: &Sender) -> Result<AsyncSmtpConnection, Undelivered> {
    let parameters = || {
        TlsParameters::new(mail.server.clone())
            .map_err(|error| Undelivered::Unencrypted(Failure::later(format!("no encryption: {}", whole(&error)))))
    };
    let hello = ClientId::Domain(host(sender));
    let wrapped = match mail.wire {
        Wire::Tls => Some(parameters()?),
        Wire::StartTls | Wire::Clear => None,
    };
    let server = (mail.server.as_str(), mail.port);
    let mut connection = AsyncSmtpConnection::connect_tokio1(server, Some(COMMAND), &hello, wrapped, None).await?;
    if mail.wire == Wire::StartTls {
        connection.starttls(parameters()?, &hello).await?;
    }
    Ok(connection)
}

/// With all that lies behind it.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

fn letter(mail: &Mail, alert: &str, message: &Message, sender: &Sender) -> Result<Letter, Failure> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|_| Failure::never("a mail address is none"));
    // The same when it is sent again: who keeps mails by it has one of them.
    let id = format!("<{}.{alert}.{}@{}>", message.id.replace(':', "-"), sender.stack, host(sender));
    let mut letter = Letter::builder()
        .from(mailbox(&mail.from)?)
        .subject(words::subject(message, sender))
        .message_id(Some(id))
        .header(ContentType::TEXT_PLAIN)
        // Whoever is away does not answer it (RFC 3834, 5).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    for to in &mail.to {
        letter = letter.to(mailbox(to)?);
    }
    let text = words::plain(message, sender);
    letter.body(text).map_err(|error| Failure::never(format!("it makes no mail: {error}")))
}

/// Of this machine's name, what may stand in a mail.
fn host(sender: &Sender) -> String {
    let known = |c: &char| c.is_ascii_alphanumeric() || ".-".contains(*c);
    let name: String = sender.host.chars().filter(known).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{crash, sender};
    use super::*;

    fn mail() -> Mail {
        Mail {
            server: "localhost".to_owned(),
            port: 25,
            wire: Wire::Clear,
            login: None,
            from: "Süpervisor <from@example.org>".to_owned(),
            to: vec!["a@example.org".to_owned(), "B <b@example.org>".to_owned()],
        }
    }

    fn text(message: &Message, sender: &Sender) -> String {
        String::from_utf8(letter(&mail(), "ops", message, sender).unwrap().formatted()).unwrap()
    }

    #[test]
    fn no_word_of_a_service_becomes_a_header() {
        let mut message = crash("x\r\nBcc: evil@example.org\r\n\r\n.\r\nMAIL FROM:<evil>");
        message.log = vec!["\r\nBcc: evil@example.org".to_owned(), ".".to_owned()];
        let sender = Sender { stack: "shop\r\nBcc: evil@example.org".to_owned(), host: "lap\r\ntop".to_owned() };
        let text = text(&message, &sender);
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split(':').next())
            .collect();
        assert!(!names.contains(&"Bcc"), "{head}");
        assert_eq!(names.len(), 8, "{head}");
    }

    #[test]
    fn a_mail_has_a_subject_a_cause_and_the_same_id_each_time() {
        let message = crash("exited with code 1 after 1.5s");
        let (one, other) = (text(&message, &sender()), text(&message, &sender()));
        for part in
            ["Subject: [shop] web crashed\r\n", "exited with code 1", "To: a@example.org, B <b@example.org>\r\n"]
        {
            assert!(one.contains(part), "{one}");
        }
        let id = |text: &str| text.lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned);
        assert_eq!(id(&one).as_deref(), Some("Message-ID: <2026-11-23T00-21-01.000Z-17-crash.ops.shop@laptop>"));
        assert_eq!(id(&one), id(&other));
    }
}
