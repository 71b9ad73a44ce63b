//! The own log in the words of someone who tells a person what happens.
//! Not here: logging (`ownlog`), showing (`foreground`).

/// The message that a stop of everything begins with.
pub(crate) const STOPPING: &str = "asked to stop everything";

/// Takes the own log as it grows.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    /// A line that has not ended yet.
    partial: Vec<u8>,
}

impl Narrator {
    /// The lines that are complete with these further bytes: without times, levels and fields, and without those that
    /// tell a person nothing.
    pub(crate) fn told(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let end = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.partial.drain(..end).collect();
        String::from_utf8_lossy(&whole).lines().filter_map(told).map(|line| format!("{line}\n")).collect()
    }
}

/// `TIME LEVEL message field=value …`, as `tracing_subscriber` writes it.
fn told(line: &str) -> Option<String> {
    let mut words = line.splitn(2, ' ');
    let (_time, rest) = (words.next(), words.next().unwrap_or_default().trim_start());
    let event = ["ERROR ", "WARN ", "INFO "].iter().find_map(|level| Some((*level, rest.strip_prefix(level)?)));
    // A panic, or the rest of one.
    let Some((level, rest)) = event else { return Some(line.to_owned()) };
    let end = rest.match_indices(' ').map(|(at, _)| at).find(|at| begins_with_field(&rest[at + 1..]));
    let (message, fields) = rest.split_at(end.unwrap_or(rest.len()));
    // What comes of a start is told at once, and who looks on has seen control start.
    if message.ends_with(" is starting") || message == "control starts" {
        return None;
    }
    if message == STOPPING {
        return Some("stopping everything; ^C again kills".to_owned());
    }
    let message = match message.rsplit_once(' ') {
        Some((who, "backoff")) => &format!("{who} about to be started again"),
        Some((who, "crash-loop")) => &format!("{who} in a crash loop"),
        Some(_) | None => message,
    };
    let told = match (quoted(fields, " cause=\""), fields.split_once(" error=")) {
        (Some(why), _) => {
            // A cause may begin with the state that was just named, or go on from it ("waiting for db").
            let state = message.rsplit(' ').next().unwrap_or_default();
            match why.strip_prefix(state) {
                Some(more) if more.is_empty() || more.starts_with([':', ' ']) => format!("{message}{more}"),
                Some(_) | None => format!("{message}: {why}"),
            }
        }
        (None, Some((_, why))) => format!("{message}: {why}"),
        (None, None) => message.to_owned(),
    };
    Some(if level == "ERROR " { format!("error: {told}") } else { told })
}

fn begins_with_field(text: &str) -> bool {
    let name = text.len() - text.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_').len();
    name > 0 && text[name..].starts_with('=')
}

/// The value of a field that was written as Rust writes a string.
fn quoted(fields: &str, begin: &str) -> Option<String> {
    let (_, rest) = fields.split_once(begin)?;
    let mut text = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => match chars.next()? {
                plain @ ('"' | '\\' | '\'') => text.push(plain),
                other => text.extend(['\\', other]),
            },
            plain => text.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_with_their_causes() {
        let log = "2026-11-23T03:52:03.677560Z  INFO crash is backoff service=crash generation=3 from=\"running\" \
                   to=\"backoff\" cause=\"printed \\\"to=x\\\" \\u{1b}, code=3\"\n\
                   2026-11-23T03:52:03.677560Z  WARN crash is crash-loop service=crash cause=\"5 failures in a row\"\n\
                   2026-11-23T03:52:03.677560Z  INFO a is starting service=a generation=1 cause=\"on its way\"\n\
                   2026-11-23T03:52:03.677560Z  INFO b is stopped from=\"stopping\" cause=\"stopped: killed by SIGTERM\"\n\
                   2026-11-23T03:52:03.677560Z  INFO c is waiting from=\"stopped\" cause=\"waiting for b to be ready\"\n\
                   2026-11-23T03:52:03.677560Z  INFO c is stopped from=\"waiting\" cause=\"stopped\"\n\
                   2026-11-23T03:52:03.677560Z  INFO asked to stop everything haste=InOrder\n\
                   2026-11-23T03:52:03.677560Z ERROR cannot answer the keeper error=broken pipe (os error 32)\n";
        let told = "crash is about to be started again: printed \"to=x\" \\u{1b}, code=3\ncrash is in a crash loop: 5 failures in a row\nb is stopped: killed by SIGTERM\n\
                    c is waiting for b to be ready\nc is stopped\n\
                    stopping everything; ^C again kills\n\
                    error: cannot answer the keeper: broken pipe (os error 32)\n";
        for cut in [0, 1, 40, 200, log.len() - 1] {
            let mut narrator = Narrator::default();
            let pieces = narrator.told(&log.as_bytes()[..cut]) + &narrator.told(&log.as_bytes()[cut..]);
            assert_eq!(pieces, told, "{cut}");
        }
    }

    #[test]
    fn what_is_no_event_is_told_as_it_is() {
        let panic = "thread 'main' panicked at a.rs:1:2:\nINFO\n\n";
        assert_eq!(Narrator::default().told(panic.as_bytes()), panic);
    }
}
