//! A message in the words of each way. What comes from a service can neither format, nor mention, nor link.
//! Not here: sending.

use serde_json::{Value, json};

use super::message::{Message, Sender};
use crate::config::Occasion;

/// Slack cuts a message off beyond 40,000 characters, Mattermost beyond 16,383.
const SLACK: usize = 12_000;
/// Discord refuses longer ones.
const DISCORD: usize = 2_000;
/// Beyond 4,096 bytes ntfy makes a file of it.
const NTFY: usize = 3_500;
/// A notification on a desktop shows a few lines.
const DESKTOP: usize = 500;
/// Of what stands before the lines of the log, so many characters.
const CAUSE: usize = 500;

/// Everything, as plain text.
pub(super) fn plain(message: &Message, sender: &Sender) -> String {
    let mut text = format!("{}\n\n{}", message.title(), facts(message, sender));
    if !message.log.is_empty() {
        text.push_str("\n\nIts last lines:\n\n");
        text.push_str(&message.log.join("\n"));
    }
    text.push('\n');
    text
}

/// The cause, where it happened, and what tells more, a line each.
fn facts(message: &Message, sender: &Sender) -> String {
    let generation = message.generation.map(|number| format!(", generation {number}")).unwrap_or_default();
    let place = format!("{} on {}{generation}, {}", sender.stack, sender.host, message.at);
    let lines = [Some(cut(&message.cause, CAUSE)), message.omissions(), Some(place), message.next()];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// `[shop] web crashed`
pub(super) fn subject(message: &Message, sender: &Sender) -> String {
    format!("[{}] {}", sender.stack, message.title())
}

/// The language of Slack, which Mattermost and others speak, too. `&`, `<` and `>` begin all that is not text there
/// (<https://docs.slack.dev/messaging/formatting-message-text>); within a block nothing else counts.
pub(super) fn slack(message: &Message, sender: &Sender) -> Value {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let title = format!("{} *{}*", mark(message.occasion), escape(&message.title()));
    json!({ "text": format!("{title}\n{}", fenced(message, sender, SLACK, escape)) })
}

/// Mentions are not parsed, whatever is in the text.
pub(super) fn discord(message: &Message, sender: &Sender) -> Value {
    let title = format!("{} **{}**", mark(message.occasion), message.title());
    let room = DISCORD - title.chars().count() - 1;
    let text = fenced(message, sender, room, str::to_owned);
    json!({ "content": format!("{title}\n{text}"), "allowed_mentions": { "parse": [] } })
}

/// For the server of a topic; as JSON, so that nothing of it is a header.
pub(super) fn ntfy(message: &Message, sender: &Sender, topic: &str) -> Value {
    let facts = facts(message, sender);
    let log = newest(&message.log, NTFY.saturating_sub(facts.len() + 2), str::len);
    let text = if log.is_empty() { facts } else { format!("{facts}\n\n{log}") };
    let (priority, tag) = match message.occasion {
        Occasion::Crash
        | Occasion::Unhealthy
        | Occasion::RolledBack
        | Occasion::Limit
        | Occasion::Disk
        | Occasion::Certificate => (4, "warning"),
        Occasion::CrashLoop | Occasion::Failed => (5, "rotating_light"),
        Occasion::Recovered => (3, "white_check_mark"),
        Occasion::Test => (3, "wave"),
    };
    json!({ "topic": topic, "title": subject(message, sender), "message": text, "priority": priority, "tags": [tag] })
}

/// Title and text. Servers of notifications may take the text for a kind of HTML.
pub(super) fn desktop(message: &Message, sender: &Sender) -> (String, String) {
    let text = cut(&message.cause, DESKTOP).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    (subject(message, sender), text)
}

/// Facts and log in one block of code of at most `room` characters, out of which nothing leads.
fn fenced(message: &Message, sender: &Sender, room: usize, escape: impl Fn(&str) -> String) -> String {
    let harmless = |text: &str| escape(&text.replace("```", "'''"));
    let facts = harmless(&facts(message, sender));
    let lines: Vec<String> = message.log.iter().map(|line| harmless(line)).collect();
    let length = |text: &str| text.chars().count();
    let log = newest(&lines, room.saturating_sub(length(&facts) + "```\n\n\n\n```".len()), length);
    let text = if log.is_empty() { facts } else { format!("{facts}\n\n{log}") };
    format!("```\n{text}\n```")
}

/// As many of the last lines as there is room for.
fn newest(lines: &[String], room: usize, length: impl Fn(&str) -> usize) -> String {
    let mut left = room;
    let fits = |line: &&String| {
        let needed = length(line) + 1;
        let fits = needed <= left;
        left = left.saturating_sub(needed);
        fits
    };
    let mut kept: Vec<&str> = lines.iter().rev().take_while(fits).map(String::as_str).collect();
    kept.reverse();
    kept.join("\n")
}

fn mark(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Crash
        | Occasion::Unhealthy
        | Occasion::RolledBack
        | Occasion::Limit
        | Occasion::Disk
        | Occasion::Certificate => "\u{26a0}\u{fe0f}",
        Occasion::CrashLoop | Occasion::Failed => "\u{1f534}",
        Occasion::Recovered => "\u{2705}",
        Occasion::Test => "\u{1f44b}",
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{crash, sender};
    use super::*;

    fn hostile() -> Message {
        let mut message = crash("<!channel> <https://evil|click> & ``` @everyone *b* _i_");
        message.set_log(b"```\n@here <@U123>\n[x](https://evil)\n");
        message
    }

    #[test]
    fn slack_shows_a_services_words_and_obeys_none_of_them() {
        let text = slack(&hostile(), &sender())["text"].as_str().unwrap().to_owned();
        let (title, block) = text.split_once('\n').unwrap();
        assert_eq!(title, "\u{26a0}\u{fe0f} *web crashed*");
        assert!(!text.contains('<') && !text.contains('>'), "{text}");
        assert!(block.contains("&lt;!channel&gt; &lt;https://evil|click&gt; &amp; ''' @everyone"), "{text}");
        assert_eq!(block.matches("```").count(), 2, "{text}");
        assert!(block.starts_with("```\n") && block.ends_with("\n```"), "{text}");
    }

    #[test]
    fn discord_mentions_nobody_and_is_never_too_long() {
        let mut message = hostile();
        let document = discord(&message, &sender());
        assert_eq!(document["allowed_mentions"], json!({ "parse": [] }));
        assert_eq!(document["content"].as_str().unwrap().matches("```").count(), 2);
        message.cause = "ü".repeat(5000);
        message.log = (0..100).map(|number| format!("{number}{}", "ä".repeat(300))).collect();
        let content = discord(&message, &sender())["content"].as_str().unwrap().to_owned();
        assert!(content.chars().count() <= DISCORD, "{}", content.chars().count());
        assert!(content.contains("\n99ä") && !content.contains("\n0ä"), "the newest lines are kept");
    }

    #[test]
    fn ntfy_gets_no_header_and_no_more_than_it_shows() {
        let mut message = crash("first\r\nX-Evil: 1");
        message.log = vec!["x".repeat(400); 100];
        let document = ntfy(&message, &sender(), "ops");
        assert_eq!(document["topic"], "ops");
        assert_eq!(document["title"], "[shop] web crashed");
        assert!(document["message"].as_str().unwrap().len() <= 4096);
    }

    #[test]
    fn a_desktop_gets_no_markup() {
        let (title, text) = desktop(&crash("<b>bold</b> & co"), &sender());
        assert_eq!(title, "[shop] web crashed");
        assert_eq!(text, "&lt;b&gt;bold&lt;/b&gt; &amp; co");
    }

    #[test]
    fn plain_text_has_the_cause_the_place_and_the_last_lines() {
        let mut message = crash("exited with code 1 after 1.5s");
        message.repeated = 3;
        message.set_log(b"one\ntwo\n");
        let expected = "web crashed\n\nexited with code 1 after 1.5s\n3 times more since the last alert\n\
                        shop on laptop, generation 7, 2026-11-23T00:21:01.000Z\nnext: `supervisor why web`\n\n\
                        Its last lines:\n\none\ntwo\n";
        assert_eq!(plain(&message, &sender()), expected);
    }
}
