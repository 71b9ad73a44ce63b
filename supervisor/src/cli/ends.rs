//! Ends of runs in words.
//! Not here: where they come from.

use super::status::{bytes, span};
use crate::journal::Ended;

/// What an end says besides its cause: `pid 42, ran 3m 20s, cpu 1.2s, 12M`.
pub(crate) fn details(exit: &Ended) -> String {
    let Some(pid) = exit.pid else { return "no process came to be".to_owned() };
    let mut parts = vec![format!("pid {pid}"), format!("cpu {}", short(exit.cpu_ms)), bytes(exit.max_rss_bytes)];
    if exit.asked {
        parts.insert(0, "ended by us".to_owned());
    }
    if !exit.leftovers.is_empty() {
        let pids: Vec<String> = exit.leftovers.iter().map(ToString::to_string).collect();
        parts.push(format!("its leftovers had to be killed: {}", pids.join(", ")));
    }
    parts.join(", ")
}

/// `40ms`, `1.2s`, then as spans are told.
pub(crate) fn short(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 if ms % 1000 < 100 => format!("{}s", ms / 1000),
        1000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => span(i64::try_from(ms).unwrap_or(i64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        assert_eq!([0, 999, 1250, 3099, 61_000].map(short), ["0ms", "999ms", "1.2s", "3s", "1m 01s"]);
    }

    #[test]
    fn an_end_says_what_it_cost() {
        let exit = Ended { pid: Some(42), cpu_ms: 40, max_rss_bytes: 2048, asked: true, ..Ended::default() };
        assert_eq!(details(&exit), "ended by us, pid 42, cpu 40ms, 2K");
        assert_eq!(details(&Ended::default()), "no process came to be");
    }
}
