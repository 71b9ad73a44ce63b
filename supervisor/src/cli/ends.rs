//! Ends of runs in words.
//! Not here: where they come from.

use super::status::bytes;
use crate::journal::Ended;
use crate::spans::short;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_what_it_cost() {
        let exit = Ended { pid: Some(42), cpu_ms: 40, max_rss_bytes: 2048, asked: true, ..Ended::default() };
        assert_eq!(details(&exit), "ended by us, pid 42, cpu 40ms, 2K");
        assert_eq!(details(&Ended::default()), "no process came to be");
    }
}
