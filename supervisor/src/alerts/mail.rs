//! A message as a mail, handed to the mail server that the operator has named.
//! Not here: its words (`words`).

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message as Letter};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

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
    let transport = transport(mail, password, sender)?;
    match transport.send(letter).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let why = format!("`{}:{}`: {}", mail.server, mail.port, whole(&error));
            Err(if error.is_permanent() { Failure::never(why) } else { Failure::later(why) })
        }
    }
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
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        letter = letter.to(mailbox(to)?);
    }
    let text = words::plain(message, sender);
    letter.body(text).map_err(|error| Failure::never(format!("it makes no mail: {error}")))
}

fn transport(
    mail: &Mail,
    password: Option<&str>,
    sender: &Sender,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let parameters = || {
        let parameters = TlsParameters::new(mail.server.clone());
        parameters.map_err(|error| Failure::later(format!("no encryption: {}", whole(&error))))
    };
    let tls = match mail.wire {
        Wire::StartTls => Tls::Required(parameters()?),
        Wire::Tls => Tls::Wrapper(parameters()?),
        Wire::Clear => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(mail.server.clone())
        .port(mail.port)
        .tls(tls)
        .timeout(Some(COMMAND))
        .hello_name(ClientId::Domain(host(sender)));
    if let (Some((user, _)), Some(password)) = (&mail.login, password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.to_owned()));
    }
    Ok(builder.build())
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
        assert_eq!(names.len(), 7, "{head}");
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
