//! What is told: one thing that happened, with all that helps whoever is woken by it.
//! Not here: how each way words it (`words`).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use supervisor_core::{ServiceName, State};

use crate::certificates::{Certificate, Standing};
use crate::config::Occasion;
use crate::journal::{Ended, Kind, Note, PassedLimit};
use crate::untrusted::deceives;

/// Grows when a field of the document changes its meaning or goes away; new fields do not count.
const SCHEMA_VERSION: u32 = 1;
/// Of a line of a log, so many characters are told.
const LINE: usize = 400;
/// Of all lines together, so many bytes; the oldest are left out.
const LINES: usize = 6 * 1024;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Of what is told to one alert, unique; the same when it is told again because nobody knows whether it arrived. The
    /// number of the event alone comes again in another state directory, its time does not.
    pub(super) id: String,
    pub(super) occasion: Occasion,
    /// RFC 3339, UTC.
    pub(super) at: String,
    pub(super) service: Option<ServiceName>,
    pub(super) generation: Option<u64>,
    pub(super) state: Option<State>,
    /// One line.
    pub(super) cause: String,
    pub(super) exit: Option<Ended>,
    #[serde(default)]
    pub(super) limit: Option<PassedLimit>,
    #[serde(default)]
    pub(super) certificate: Option<Certificate>,
    /// The last lines of its log, without control characters.
    pub(super) log: Vec<String>,
    /// So often the same happened again since it was told last.
    pub(super) repeated: u64,
    /// So many others were not told, as there were too many.
    pub(super) left_out: u64,
}

/// Who tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(super) stack: String,
    pub(super) host: String,
}

impl Message {
    pub(super) fn of(seq: u64, occasion: Occasion, note: &Note) -> Self {
        Self {
            id: id(&note.at, seq, occasion),
            occasion,
            at: note.at.clone(),
            service: note.service.clone(),
            generation: note.generation,
            state: note.to,
            cause: note.cause.clone(),
            exit: note.exit.clone(),
            limit: note.limit,
            certificate: note.certificate.clone(),
            log: Vec::new(),
            repeated: 0,
            left_out: 0,
        }
    }

    /// What began with that event is over.
    pub(super) fn recovered(began: (&str, u64), note: &Note) -> Self {
        let (at, seq) = began;
        // The same, whenever it is found to be over.
        Self { id: id(at, seq, Occasion::Recovered), ..Self::of(seq, Occasion::Recovered, note) }
    }

    /// To see whether anything arrives.
    pub(super) fn test(at: String) -> Self {
        let cause = "somebody asked for a test; nothing has happened";
        Self::of(0, Occasion::Test, &Note::new(at, Kind::Request, cause))
    }

    /// The end of a log, as it may be shown to anyone.
    pub(super) fn set_log(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let mut room = LINES;
        let lines = text.lines().rev().map(harmless).take_while(|line| {
            let fits = line.len() < room;
            room = room.saturating_sub(line.len() + 1);
            fits
        });
        self.log = lines.collect();
        self.log.reverse();
    }

    /// In a few words, of ours only.
    pub(super) fn title(&self) -> String {
        let service = self.service.as_ref().map_or("supervisor", |name| name.as_str());
        match self.occasion {
            Occasion::Crash if self.exit.as_ref().is_some_and(|exit| exit.pid.is_none()) => {
                format!("{service} could not be started")
            }
            Occasion::Crash => format!("{service} crashed"),
            Occasion::CrashLoop => format!("{service} crashes again and again"),
            Occasion::Failed => format!("{service} is down"),
            Occasion::Unhealthy => format!("{service} is unhealthy"),
            Occasion::RolledBack => format!("{service}: the new generation was rolled back"),
            Occasion::Limit => format!("{service} has passed a limit"),
            Occasion::Disk => format!("{service}: its log cannot be written"),
            Occasion::Certificate if self.has_expired() => format!("{service}: its certificate has expired"),
            Occasion::Certificate => format!("{service}: its certificate ends soon"),
            Occasion::Recovered => format!("{service} has recovered"),
            Occasion::Test => "a test".to_owned(),
        }
    }

    fn has_expired(&self) -> bool {
        self.certificate.as_ref().is_some_and(|certificate| certificate.state == Standing::Expired)
    }

    /// How much is not told, if anything.
    pub(super) fn omissions(&self) -> Option<String> {
        let repeated = match self.repeated {
            0 => None,
            1 => Some("once more since the last alert".to_owned()),
            many => Some(format!("{many} times more since the last alert")),
        };
        let left_out = match self.left_out {
            0 => None,
            1 => Some("1 other alert was left out".to_owned()),
            many => Some(format!("{many} other alerts were left out")),
        };
        match (repeated, left_out) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        }
    }

    /// What tells more, where the stack is.
    pub(super) fn next(&self) -> Option<String> {
        let trouble = !matches!(self.occasion, Occasion::Recovered | Occasion::Test);
        self.service.as_ref().filter(|_| trouble).map(|service| format!("next: `supervisor why {service}`"))
    }

    /// For programs.
    pub(super) fn document(&self, alert: &str, sender: &Sender) -> Value {
        json!({
            "schema_version": SCHEMA_VERSION,
            "id": format!("{}/{}/{alert}/{}", sender.host, sender.stack, self.id),
            "alert": alert,
            "stack": sender.stack,
            "host": sender.host,
            "occasion": self.occasion,
            "title": self.title(),
            "at": self.at,
            "service": self.service,
            "generation": self.generation,
            "state": self.state.map(State::as_str),
            "cause": self.cause,
            "exit": self.exit,
            "limit": self.limit,
            "certificate": self.certificate,
            "log": self.log,
            "repeated": self.repeated,
            "left_out": self.left_out,
        })
    }
}

fn id(at: &str, seq: u64, occasion: Occasion) -> String {
    format!("{at}-{seq}-{}", occasion.as_str())
}

/// One line without control characters, colours, or what turns text around.
fn harmless(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line.chars().peekable();
    let mut length = 0;
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.peek() == Some(&'[') {
            // A control sequence ends with a letter (ECMA-48, 5.4).
            rest.by_ref().skip(1).find(|c| ('\u{40}'..='\u{7e}').contains(c));
            continue;
        }
        if c != '\t' && deceives(c) {
            continue;
        }
        if length == LINE {
            shown.push('…');
            break;
        }
        shown.push(c);
        length += 1;
    }
    shown
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::alerts) fn crash(cause: &str) -> Message {
        let exit = Ended { pid: Some(42), code: Some(1), ran_ms: 1500, ..Ended::default() };
        let note = Note::new("2026-11-23T00:21:01.000Z".to_owned(), Kind::Exit, cause)
            .of(&ServiceName::new("web").unwrap(), 7)
            .ended(exit);
        Message::of(17, Occasion::Crash, &note)
    }

    pub(in crate::alerts) fn sender() -> Sender {
        Sender { stack: "shop".to_owned(), host: "laptop".to_owned() }
    }

    #[test]
    fn an_id_comes_again_with_the_same_event_alone() {
        let of = |at: &str| {
            let note = Note::new(at.to_owned(), Kind::State, "x");
            (Message::of(1, Occasion::Failed, &note).id, Message::recovered((at, 1), &note).id)
        };
        let (day, next) = (of("2026-11-23T00:21:01.000Z"), of("2026-11-24T00:21:01.000Z"));
        assert_eq!(day, of("2026-11-23T00:21:01.000Z"));
        assert!(day.0 != next.0 && day.1 != next.1, "another journal counts from 1 again");
        let later = Note::new("2026-11-23T09:00:00.000Z".to_owned(), Kind::State, "well again");
        assert_eq!(Message::recovered(("2026-11-23T00:21:01.000Z", 1), &later).id, day.1, "whenever it is found");
    }

    #[test]
    fn a_title_says_what_happened() {
        let mut message = crash("exec ./web: No such file or directory");
        assert_eq!(message.title(), "web crashed");
        message.exit = Some(Ended::default());
        assert_eq!(message.title(), "web could not be started");
        message.occasion = Occasion::Failed;
        assert_eq!(message.title(), "web is down");
    }

    #[test]
    fn what_is_not_told_is_counted() {
        let of = |repeated, left_out| Message { repeated, left_out, ..crash("x") }.omissions();
        assert_eq!(of(0, 0), None);
        let one = "once more since the last alert; 1 other alert was left out";
        assert_eq!(of(1, 1).as_deref(), Some(one));
        let many = "2 times more since the last alert; 3 other alerts were left out";
        assert_eq!(of(2, 3).as_deref(), Some(many));
    }

    #[test]
    fn lines_of_a_log_lose_what_is_not_text() {
        let mut message = crash("x");
        message.set_log("a\x1b[31mred\x1b[0m\r\nb\u{202e}evil\u{0}\n\tc\n".as_bytes());
        assert_eq!(message.log, ["ared", "bevil", "\tc"]);
        message.set_log(b"\xff\xfe\n");
        assert_eq!(message.log, ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn of_a_long_log_the_end_is_told() {
        let mut message = crash("x");
        let text: String = (0..1000).map(|number| format!("{number} {}\n", "ä".repeat(50))).collect();
        message.set_log(text.as_bytes());
        assert!(message.log.last().unwrap().starts_with("999 "));
        assert!(message.log.iter().map(|line| line.len() + 1).sum::<usize>() <= LINES + 1);
        message.set_log("x".repeat(100_000).as_bytes());
        assert_eq!(message.log[0].chars().count(), LINE + 1);
    }

    #[test]
    fn the_document_is_what_the_manual_says() {
        let mut message = crash("exited with code 1 after 1.5s");
        message.set_log(b"no database\n");
        let document = message.document("ops", &sender());
        let expected = json!({
            "schema_version": 1, "id": "laptop/shop/ops/2026-11-23T00:21:01.000Z-17-crash",
            "alert": "ops", "stack": "shop", "host": "laptop",
            "occasion": "crash", "title": "web crashed", "at": "2026-11-23T00:21:01.000Z", "service": "web",
            "generation": 7, "state": null, "cause": "exited with code 1 after 1.5s",
            "exit": message.exit, "limit": null, "certificate": null,
            "log": ["no database"], "repeated": 0, "left_out": 0,
        });
        assert_eq!(document, expected);
        assert_eq!((&document["exit"]["pid"], &document["exit"]["code"]), (&json!(42), &json!(1)));
    }
}
