//! `[[alerts]]`.
//! Not here: what is done with them. Never here: a value in a message; addresses are passwords.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderName, Uri};
use lettre::message::Mailbox;
use supervisor_core::ServiceName;

use super::alert::{Alert, Hidden, Mail, Occasion, Way, Wire};
use super::environment;
use super::nearest::nearest;
use super::reader::Reader;
use super::section::Section;
use super::service::Declared;
use super::tree::{Node, Table};

/// Whoever wants to tell more than that many wants a command that does.
const MOST: usize = 16;
/// More is not read by anyone who is woken by it.
const MOST_LINES: usize = 100;
const MOST_RECIPIENTS: usize = 50;
const MOST_HEADERS: usize = 20;

const WAYS: [&str; 7] = ["webhook", "slack", "discord", "ntfy", "email", "command", "desktop"];
/// These say where a request ends, or to whom it goes.
const OUR_HEADERS: [&str; 6] = ["connection", "content-length", "content-type", "host", "te", "transfer-encoding"];

pub(super) fn alerts(main: &Section<'_>, declared: &[Declared<'_>], reader: &mut Reader<'_>) -> Vec<Alert> {
    const EXPECTED: &str = "tables, each under `[[alerts]]`";
    let Some(node) = main.get("alerts") else { return Vec::new() };
    let Some(items) = node.value.as_list() else { return reader.wrong_type(node, EXPECTED).unwrap_or_default() };
    let mut alerts: Vec<Alert> = Vec::new();
    for item in items {
        let Some(table) = item.value.as_table() else { return reader.wrong_type(item, EXPECTED).unwrap_or_default() };
        if let Some(alert) = alert(item, table, &alerts, declared, reader) {
            alerts.push(alert);
        }
    }
    if alerts.len() > MOST {
        reader.problems.add(node.span, format!("more than {MOST} alerts"));
    }
    alerts
}

fn alert(
    at: &Node,
    table: &Table,
    before: &[Alert],
    declared: &[Declared<'_>],
    reader: &mut Reader<'_>,
) -> Option<Alert> {
    let section = Section::new([table]);
    let way = way(at, &section, reader);
    let taken = before.iter().map(|alert| alert.name.as_str()).collect();
    let name = name(&section, &taken, way.as_ref().map_or("alert", Way::as_str), reader);
    let key = match &way {
        // In no name of an alert there is a `#`.
        Some(way) if section.get("name").is_none() => {
            let taken = before.iter().map(|alert| alert.key.as_str()).collect();
            free(&format!("{}#{:016x}", way.as_str(), way.print()), &taken)
        }
        Some(_) | None => name.clone(),
    };
    let alert = Alert {
        name,
        key,
        on: on(&section, reader),
        services: services(&section, declared, reader),
        min_interval: reader.duration(&section, "min_interval", Duration::from_secs(300), Duration::ZERO),
        log_lines: reader.count(&section, "log_lines", 20, 0..=MOST_LINES),
        way: way?,
    };
    Some(alert)
}

/// As it says, or as its way is called; a second one of that kind gets a number.
fn name(section: &Section<'_>, taken: &BTreeSet<&str>, way: &str, reader: &mut Reader<'_>) -> String {
    let said = section.get("name").and_then(|node| Some((node.span, reader.text(node)?)));
    let Some((span, name)) = said else { return free(way, taken) };
    if let Err(why) = ServiceName::new(&name) {
        reader.problems.add_with_help(span, "this is no name of an alert", why.to_string());
    } else if taken.contains(name.as_str()) {
        reader.problems.add(span, format!("a second alert `{name}`"));
    }
    name
}

/// The word, or with the first number that makes it another.
fn free(word: &str, taken: &BTreeSet<&str>) -> String {
    let numbered = (2..=taken.len() + 2).map(|number| format!("{word}-{number}"));
    let mut words = std::iter::once(word.to_owned()).chain(numbered);
    words.find(|word| !taken.contains(word.as_str())).unwrap_or_default()
}

fn on(section: &Section<'_>, reader: &mut Reader<'_>) -> Vec<Occasion> {
    let words = Occasion::TOLD.map(|occasion| (occasion.as_str(), occasion));
    let Some(node) = section.get("on") else {
        return Occasion::TOLD.into_iter().filter(|occasion| *occasion != Occasion::Crash).collect();
    };
    let mut on: Vec<Occasion> = Vec::new();
    for item in reader.items(node, "an array of strings") {
        on.extend(reader.choice_of(item, &words).filter(|occasion| !on.contains(occasion)));
    }
    if on.iter().all(|occasion| *occasion == Occasion::Recovered) && reader.problems.is_empty() {
        reader.problems.add(node.span, "this alert would never tell anything: only what was told can be over");
    }
    on
}

fn services(section: &Section<'_>, declared: &[Declared<'_>], reader: &mut Reader<'_>) -> Vec<String> {
    let Some(named) = reader.texts(section, "services") else { return vec!["*".to_owned()] };
    let known = || declared.iter().map(|service| service.name.as_str());
    for (span, name) in &named {
        if name.contains('*') || known().any(|known| known == name) {
            continue;
        }
        let message = format!("there is no service `{}`", name.escape_debug());
        match nearest(name, known()) {
            Some(meant) => reader.problems.add_with_help(*span, message, format!("did you mean `{meant}`?")),
            None => reader.problems.add(*span, message),
        }
    }
    named.into_iter().map(|(_, name)| name).collect()
}

fn way(at: &Node, section: &Section<'_>, reader: &mut Reader<'_>) -> Option<Way> {
    let desktop = reader.flag(section, "desktop", false);
    let given: Vec<(&str, &Node)> = WAYS
        .into_iter()
        .filter(|way| *way != "desktop" || desktop)
        .filter_map(|way| Some((way, section.get(way)?)))
        .collect();
    let [(way, node)] = given.as_slice() else {
        let listed = WAYS.map(|way| format!("`{way}`")).join(", ");
        reader.problems.add(at.span, format!("an alert takes one way: exactly one of {listed}"));
        return None;
    };
    if let Some(headers) = section.get("headers").filter(|_| *way != "webhook") {
        reader.problems.add(headers.span, "only a `webhook` takes `headers`");
    }
    match *way {
        "webhook" => Some(Way::Webhook { address: address(node, reader)?, headers: headers(section, reader) }),
        "slack" => address(node, reader).map(Way::Slack),
        "discord" => address(node, reader).map(Way::Discord),
        "ntfy" => address(node, reader).map(Way::Ntfy),
        "email" => mail(node, reader).map(Way::Email),
        "command" => command(node, reader).map(Way::Command),
        _ => Some(Way::Desktop),
    }
}

/// A string, or `{ file = … }` and its like.
fn hidden(node: &Node, reader: &mut Reader<'_>) -> Option<Hidden> {
    match node.value.as_table() {
        Some(_) => environment::secret(node, reader).map(Hidden::Source),
        None => reader.text(node).map(Hidden::Text),
    }
}

fn address(node: &Node, reader: &mut Reader<'_>) -> Option<Hidden> {
    let hidden = hidden(node, reader)?;
    if let Hidden::Text(text) = &hidden
        && !is_address(text)
    {
        reader.problems.add(node.span, "this is no address like `https://host/path`");
        return None;
    }
    Some(hidden)
}

/// Can a request be sent there?
fn is_address(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

fn headers(section: &Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Hidden> {
    let mut headers = BTreeMap::new();
    for (name, entry) in section.table("headers", reader.problems).entries() {
        let known = HeaderName::from_bytes(name.as_bytes()).is_ok();
        if !known || OUR_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            reader.problems.add(entry.key, "this header cannot be set");
        }
        let value = hidden(&entry.node, reader);
        if let Some(Hidden::Text(text)) = &value
            && axum::http::HeaderValue::from_str(text).is_err()
        {
            reader.problems.add(entry.node.span, "this cannot stand in a header");
        }
        headers.extend(value.map(|value| (name.to_owned(), value)));
        if headers.len() > MOST_HEADERS {
            reader.problems.add(entry.key, format!("more than {MOST_HEADERS} headers"));
            break;
        }
    }
    headers
}

fn command(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let words = reader.command(node);
    if words.is_empty() {
        reader.problems.add(node.span, "a command is missing");
        return None;
    }
    words.iter().map(|word| reader.plain(node.span, word)).collect()
}

fn mail(node: &Node, reader: &mut Reader<'_>) -> Option<Mail> {
    let Some(table) = node.value.as_table() else { return reader.wrong_type(node, "a table") };
    let section = Section::new([table]);
    let wire =
        reader.choice(&section, "tls", &[("starttls", Wire::StartTls), ("tls", Wire::Tls), ("none", Wire::Clear)]);
    let usual = match wire {
        Wire::StartTls => 587,
        Wire::Tls => 465,
        Wire::Clear => 25,
    };
    let port = reader.count(&section, "port", usual, 1..=u16::MAX);
    let server = reader.some_text(&section, "server");
    let user = reader.some_text(&section, "user");
    let password = section.get("password").and_then(|node| hidden(node, reader));
    let missing = |what: &str| format!("`{what}` is missing: a mail has `server`, `from` and `to`");
    if server.is_none() {
        reader.problems.add(node.span, missing("server"));
    }
    let login = match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            reader.problems.add(node.span, "`user` and `password` belong together");
            None
        }
    };
    let server = server?;
    if wire == Wire::Clear && login.is_some() && !is_loopback(&server) {
        let help = "use `tls = \"starttls\"` or `tls = \"tls\"`";
        reader.problems.add_with_help(node.span, "the password would cross the network in the clear", help);
    }
    let from = mailboxes(&section, "from", reader);
    let to = mailboxes(&section, "to", reader);
    for (what, many) in [("from", &from), ("to", &to)] {
        if many.is_empty() && reader.problems.is_empty() {
            reader.problems.add(node.span, missing(what));
        }
    }
    if to.len() > MOST_RECIPIENTS {
        reader.problems.add(node.span, format!("more than {MOST_RECIPIENTS} recipients"));
    }
    Some(Mail { server, port, wire, login, from: from.into_iter().next()?, to })
}

fn mailboxes(section: &Section<'_>, key: &str, reader: &mut Reader<'_>) -> Vec<String> {
    let texts = reader.texts(section, key).unwrap_or_default();
    for (span, text) in &texts {
        if text.parse::<Mailbox>().is_err() {
            let help = "write `me@example.org`, or `Name <me@example.org>`";
            reader.problems.add_with_help(*span, "this is no mail address", help);
        }
    }
    texts.into_iter().map(|(_, text)| text).collect()
}

/// Does what is sent there stay on this machine?
pub(crate) fn is_loopback(server: &str) -> bool {
    server == "localhost" || server.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
