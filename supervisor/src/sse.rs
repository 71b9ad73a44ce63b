//! Server-sent events (WHATWG HTML, section 9.2), as we write and read them.
//! Not here: what they say, connections.

/// One event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// Appends one event. None of the parts may hold a line end; ours are numbers, words and JSON.
pub(crate) fn write(text: &mut Vec<u8>, id: &str, event: &str, data: &[u8]) {
    for (field, value) in [("id", id.as_bytes()), ("event", event.as_bytes()), ("data", data)] {
        if !value.is_empty() {
            text.extend_from_slice(field.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value);
            text.push(b'\n');
        }
    }
    text.push(b'\n');
}

/// Puts the pieces of a stream of ours together: line feeds alone, one `data` line for each event.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    next: Message,
    /// The last `id`, which holds until there is another one.
    id: String,
}

impl Parser {
    /// The events that are complete with these further bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut complete = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.pop_if(|last| *last == b'\n').is_some() {
                let line = std::mem::take(&mut self.line);
                complete.extend(self.line(&String::from_utf8_lossy(&line)));
            }
        }
        complete
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        match line.split_once(": ") {
            Some(("id", id)) => id.clone_into(&mut self.id),
            Some(("event", event)) => event.clone_into(&mut self.next.event),
            Some(("data", data)) => data.clone_into(&mut self.next.data),
            // Comments, `retry`, and what is not known.
            Some(_) => {}
            None if line.is_empty() => {
                let message = std::mem::take(&mut self.next);
                return (!message.data.is_empty()).then(|| Message { id: self.id.clone(), ..message });
            }
            None => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_however_it_is_cut() {
        let mut text = b"retry: 1000\n\n".to_vec();
        write(&mut text, "7", "state", br#"{"a":"b: c"}"#);
        text.extend_from_slice(b": ping\n\n");
        write(&mut text, "", "", b"more");
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let read: Vec<Message> = text.chunks(size).flat_map(|chunk| parser.take(chunk)).collect();
            let message = |id: &str, event: &str, data: &str| Message {
                id: id.to_owned(),
                event: event.to_owned(),
                data: data.to_owned(),
            };
            assert_eq!(read, [message("7", "state", r#"{"a":"b: c"}"#), message("7", "", "more")], "{size}");
        }
    }
}
