//! Ends of runs and sizes in words.
//! Not here: where they come from.

use super::status::span;
use crate::journal::Ended;

/// What an end says besides its cause: `pid 42, ran 3m 20s, cpu 1.2s, 12.1 MiB`.
pub(crate) fn details(exit: &Ended) -> String {
    let Some(pid) = exit.pid else { return "no process came to be".to_owned() };
    let mut parts = vec![format!("pid {pid}"), format!("cpu {}", short(exit.cpu_ms)), bytes(exit.max_rss_bytes)];
    if exit.asked {
        parts.insert(0, "as asked".to_owned());
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
        1000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => span(i64::try_from(ms).unwrap_or(i64::MAX)),
    }
}

/// `512 B`, `12.1 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let power = (count.max(1).ilog2() / 10).min(4) as usize;
    let Some(unit) = power.checked_sub(1).and_then(|power| units.get(power)) else { return format!("{count} B") };
    let tenths = u128::from(count) * 10 / (1 << (10 * power));
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_short() {
        let sizes = [0, 1023, 1024, 12_687_769, u64::MAX];
        assert_eq!(sizes.map(bytes), ["0 B", "1023 B", "1.0 KiB", "12.0 MiB", "16777215.9 TiB"]);
        assert_eq!([0, 999, 1250, 61_000].map(short), ["0ms", "999ms", "1.2s", "1m 01s"]);
    }

    #[test]
    fn an_end_says_what_it_cost() {
        let exit = Ended { pid: Some(42), cpu_ms: 40, max_rss_bytes: 2048, asked: true, ..Ended::default() };
        assert_eq!(details(&exit), "as asked, pid 42, cpu 40ms, 2.0 KiB");
        assert_eq!(details(&Ended::default()), "no process came to be");
    }
}
