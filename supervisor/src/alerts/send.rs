//! One try to bring one message to one alert.
//! Not here: when, how often (`desk`), the words (`words`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::failure::Failure;
use super::message::{Message, Sender};
use super::redact::Secrets;
use super::{mail, post, program, words};
use crate::config::{Alert, Hidden, Way};
use crate::control::{News, launch};
use crate::platform;
use crate::slots::Slots;

/// One try takes at most so long; a program has 30 seconds of its own.
pub(crate) const TRY: Duration = Duration::from_secs(35);
/// Secrets and programs are looked up on disks; so many threads may hang there.
pub(super) static LOOKUPS: Slots = Slots::new(3, TRY);

/// What a try needs besides message and alert.
#[derive(Debug, Clone)]
pub(super) struct Office {
    /// Of the configuration.
    pub(super) dir: PathBuf,
    pub(super) sender: Sender,
    pub(super) news: mpsc::Sender<News>,
}

/// A failure has no secret of the alert in its words.
pub(super) async fn send(alert: &Alert, message: &Message, office: &Office) -> Result<(), Failure> {
    let mut secrets = Secrets::default();
    let late = || Err(Failure::later(format!("no answer within {} s", TRY.as_secs())));
    let tried = tokio::time::timeout(TRY, attempt(alert, message, office, &mut secrets)).await;
    let tried = tried.unwrap_or_else(|_| late());
    tried.map_err(|failure| Failure { why: secrets.redacted(&failure.why), ..failure })
}

async fn attempt(alert: &Alert, message: &Message, office: &Office, secrets: &mut Secrets) -> Result<(), Failure> {
    let (name, sender) = (alert.name.as_str(), &office.sender);
    match &alert.way {
        Way::Webhook { address, headers } => {
            let address = address_of(address, office, secrets).await?;
            let mut sent = Vec::new();
            for (header, value) in headers {
                let value = looked_up(value, office).await?;
                secrets.add(&value);
                value.split_whitespace().for_each(|part| secrets.add(part));
                sent.push((header.clone(), value));
            }
            post::post(&address, &sent, bytes(&message.document(name, sender))).await
        }
        Way::Slack(address) => {
            let address = address_of(address, office, secrets).await?;
            post::post(&address, &[], bytes(&words::slack(message, sender))).await
        }
        Way::Discord(address) => {
            let address = address_of(address, office, secrets).await?;
            post::post(&address, &[], bytes(&words::discord(message, sender))).await
        }
        Way::Ntfy(address) => {
            let address = address_of(address, office, secrets).await?;
            let (server, topic) = topic(&address)?;
            post::post(server, &[], bytes(&words::ntfy(message, sender, topic))).await
        }
        Way::Email(mail) => {
            let mut found = None;
            if let Some((user, password)) = &mail.login {
                let password = looked_up(password, office).await?;
                secrets.add_login(user, &password);
                found = Some(password);
            }
            mail::send(mail, found.as_deref(), name, message, sender).await
        }
        Way::Command(argv) => {
            // Like those that are given to curl.
            argv.iter().filter(|word| word.contains("://")).for_each(|address| secrets.add_address(address));
            let document = message.document(name, sender);
            program::run(argv, variables(&document), bytes(&document), office).await
        }
        Way::Desktop => {
            let (title, text) = words::desktop(message, sender);
            program::run(&platform::notification(&title, &text), BTreeMap::new(), Vec::new(), office).await
        }
    }
}

async fn address_of(address: &Hidden, office: &Office, secrets: &mut Secrets) -> Result<String, Failure> {
    let address = looked_up(address, office).await?;
    secrets.add_address(&address);
    Ok(address)
}

/// What is looked up may be mended meanwhile, so a failure is not the end.
async fn looked_up(hidden: &Hidden, office: &Office) -> Result<String, Failure> {
    let source = match hidden {
        Hidden::Text(text) => return Ok(text.clone()),
        Hidden::Source(source) => source.clone(),
    };
    let dir = office.dir.clone();
    let found = LOOKUPS.run(move || launch::secret("of the alert", &source, &dir)).await.flatten();
    found.map_err(|error| Failure::later(error.to_string()))
}

/// The server, and the topic, which is the last part of the address.
pub(super) fn topic(address: &str) -> Result<(&str, &str), Failure> {
    let address = address.trim_end_matches('/');
    match address.rsplit_once('/') {
        Some((server, topic)) if !server.ends_with('/') && !topic.contains(['?', '#']) => Ok((server, topic)),
        Some(_) | None => Err(Failure::never("the address of ntfy ends with no topic, like `https://ntfy.sh/topic`")),
    }
}

/// What a small script needs, without reading JSON.
fn variables(document: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let keys = ["alert", "at", "cause", "generation", "host", "id", "occasion", "service", "stack", "state", "title"];
    let given = keys.into_iter().filter(|key| !document[*key].is_null());
    given.map(|key| (format!("SUPERVISOR_ALERT_{}", key.to_uppercase()), text(&document[key]))).collect()
}

fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_the_last_part_of_the_address() {
        assert_eq!(topic("https://ntfy.sh/ops"), Ok(("https://ntfy.sh", "ops")));
        assert_eq!(topic("https://u:p@h:8/base/ops/"), Ok(("https://u:p@h:8/base", "ops")));
        for wrong in ["https://ntfy.sh", "https://ntfy.sh/", "https://h/a?auth=x"] {
            assert!(topic(wrong).is_err(), "{wrong}");
        }
    }
}
