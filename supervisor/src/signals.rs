//! Signals by name, as people write them.
//! Not here: sending or handling them.

use nix::sys::signal::Signal;

/// The highest number that the kernel takes.
const MAX: i32 = if cfg!(target_os = "linux") { 64 } else { 31 };

/// Its name without `SIG`; the number where it has none.
pub(crate) fn name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) => number.to_string(),
    }
}

/// The number of a name with or without `SIG`, in any case, or of a number.
pub(crate) fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=MAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse::<Signal>().ok().map(|signal| signal as i32)
}

/// What `parse` takes, as a regular expression; it takes the names in lower case, too.
pub(crate) fn pattern() -> String {
    let names: Vec<&str> = Signal::iterator().map(|signal| signal.as_str().trim_start_matches("SIG")).collect();
    format!("^((SIG)?({})|[1-9]|[12][0-9]|3[01])$", names.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_form_and_written_in_one() {
        for text in ["TERM", "SIGTERM", "term", "15"] {
            assert_eq!(parse(text), Some(15), "{text}");
        }
        assert_eq!(name(15), "TERM");
        assert_eq!(name(40), "40");
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["", "SIG", "TERMINATE", "0", "-1", "65", "1e1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
