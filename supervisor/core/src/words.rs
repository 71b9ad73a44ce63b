//! Spans, ends and processes in words, as causes use them.
//! Not here: decisions.

use crate::snapshot::ExitReport;
use crate::time::Millis;

/// `350ms`, `1.2s`, `60s`, `2m5s`, `3h20m`, `4d3h`.
pub(crate) fn span(millis: Millis) -> String {
    let (seconds, tenths) = (millis / 1000, millis % 1000 / 100);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let pair = |large: u64, unit: &str, small: u64, smaller: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{smaller}") }
    };
    match seconds {
        0 => format!("{millis}ms"),
        1..120 if tenths == 0 => format!("{seconds}s"),
        1..120 => format!("{seconds}.{tenths}s"),
        120..7200 => pair(minutes, "m", seconds % 60, "s"),
        7200..172_800 => pair(hours, "h", minutes % 60, "m"),
        _ => pair(hours / 24, "d", hours % 24, "h"),
    }
}

/// How a run ended, or why we ended it.
pub(crate) fn exit(exit: &ExitReport) -> String {
    let how = match (&exit.reason, exit.code, exit.signal) {
        (Some(reason), _, _) => return reason.clone(),
        (None, Some(code), _) => format!("exited with code {code}"),
        (None, None, Some(signal)) if exit.core_dumped => {
            return format!("killed by {} after {}, core dumped", self::signal(signal), span(exit.ran));
        }
        (None, None, Some(signal)) => format!("killed by {}", self::signal(signal)),
        (None, None, None) => "ended, nobody saw how,".to_owned(),
    };
    let memory = exit.oom.map(|oom| format!(" ({})", oom.in_words())).unwrap_or_default();
    format!("{how} after {}{memory}", span(exit.ran))
}

/// The numbers that mean the same on every Unix; the others stay numbers.
fn signal(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}

/// `1 process is left: 12`, with `are` for several.
pub(crate) fn left(pids: &[i32]) -> String {
    if pids.len() == 1 {
        format!("1 process is left: {}", list(pids))
    } else {
        format!("{} processes are left: {}", pids.len(), list(pids))
    }
}

/// `2 processes will not die: 12, 13`.
pub(crate) fn undying(pids: &[i32]) -> String {
    let noun = if pids.len() == 1 { "process" } else { "processes" };
    format!("{} {noun} will not die: {}", pids.len(), list(pids))
}

/// The first ten; a cause is one line.
fn list(pids: &[i32]) -> String {
    let shown: Vec<_> = pids.iter().take(10).map(ToString::to_string).collect();
    let more = if pids.len() > 10 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_say_them() {
        let said = [0, 350, 1_000, 1_250, 60_000, 90_500, 125_000, 300_000, 12_000_000, 356_400_000];
        let words = ["0ms", "350ms", "1s", "1.2s", "60s", "90.5s", "2m5s", "5m", "3h20m", "4d3h"];
        assert_eq!(said.map(span), words);
    }

    #[test]
    fn an_end_tells_of_its_core() {
        let killed = ExitReport { signal: Some(11), ran: 5_000, ..ExitReport::default() };
        assert_eq!(exit(&killed), "killed by SIGSEGV after 5s");
        assert_eq!(exit(&ExitReport { core_dumped: true, ..killed }), "killed by SIGSEGV after 5s, core dumped");
    }

    #[test]
    fn a_long_list_of_processes_stays_one_line() {
        assert_eq!(left(&[12]), "1 process is left: 12");
        assert_eq!(undying(&[12, 13]), "2 processes will not die: 12, 13");
        let many: Vec<_> = (1..=12).collect();
        assert_eq!(left(&many), "12 processes are left: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …");
    }
}
