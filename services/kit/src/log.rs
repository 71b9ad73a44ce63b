//! The service's log: JSON lines on standard output.
//! Not here: files and rotation; the supervisor keeps those.

use tracing_subscriber::filter::LevelFilter;

use crate::env::{ConfigError, Env};

/// Logs from here on, at the level of `NAME_LOG`, or of `RUST_LOG` where that is a plain level.
pub(crate) fn start(service: &str, env: &Env) -> Result<(), ConfigError> {
    let level = level(service, env)?;
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        // A log that cannot be written must not become a panic about standard error.
        .log_internal_errors(false)
        .finish();
    // Fails only when there is a subscriber already, and then that one logs.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

fn level(service: &str, env: &Env) -> Result<LevelFilter, ConfigError> {
    let variable = format!("{}_LOG", service.to_uppercase());
    match (env.text(&variable), env.text("RUST_LOG")) {
        (Some(level), _) => level
            .trim()
            .parse()
            .map_err(|_| env.error(&variable, "is not a level; use error, warn, info, debug or trace")),
        (None, Some(level)) => Ok(level.trim().parse().unwrap_or(LevelFilter::INFO)),
        (None, None) => Ok(LevelFilter::INFO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_own_level_wins_and_a_wrong_one_is_refused() {
        let of = |variables: &[(&str, &str)]| level("mail", &Env::of(variables.iter().copied()));
        assert_eq!(of(&[]).unwrap(), LevelFilter::INFO);
        assert_eq!(of(&[("RUST_LOG", "warn")]).unwrap(), LevelFilter::WARN);
        assert_eq!(of(&[("RUST_LOG", "warn"), ("MAIL_LOG", "DEBUG")]).unwrap(), LevelFilter::DEBUG);
        assert_eq!(of(&[("RUST_LOG", "mail=debug,warn")]).unwrap(), LevelFilter::INFO);
        assert!(of(&[("MAIL_LOG", "loud")]).unwrap_err().to_string().contains("`loud` is not a level"));
    }
}
