//! The command line, as clap reads it.
//! Not here: what a command does.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::complete;
use super::roles::{Control, Keeper};
use crate::journal::Kind;

/// Starts the services of a `supervisor.toml` and keeps them alive.
#[derive(Debug, Parser)]
#[command(name = "supervisor", version, max_term_width = 100, after_help = AFTER)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str = "\
Exit codes: 0 done or healthy, 1 failed or degraded, 2 wrong usage or
configuration, 3 no supervisor runs, 4 timed out while waiting.";

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Else `supervisor.toml` here or in a directory above
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start services, in the background, and wait until they are ready
    Start(Start),
    /// The same in the foreground; with one NAME, ends as it does
    Run(Run),
    /// Stop services; without NAME everything and the supervisor
    Stop(Stop),
    /// Replace what runs; without NAME all services that should run
    Restart(Restart),
    /// Read the file again and do what differs
    #[command(visible_alias = "update")]
    Reload(Reload),
    /// Show each service, its state and why
    #[command(visible_aliases = ["ps", "ls"])]
    Status(Status),
    /// Explain one service, and what to do about it
    Why(Why),
    /// Show what services print; works when nothing runs, too
    Logs(Logs),
    /// Show what happened, with causes; works when nothing runs, too
    Events(Events),
    /// Show whom alerts go to; `alerts test` sends one
    Alerts(Alerts),
    /// Send a signal to the main process of a service
    Signal(Signal),
    /// Run a command in the environment and directory of a service
    Exec(Exec),
    /// Check the file and the machine, and say what would be started
    Check,
    /// List every stack of this user that runs
    List,
    /// Print the JSON Schema of `supervisor.toml`, for editors
    Schema,
    /// Print a script for a shell, which completes what is typed
    Completions(Completions),
    /// Print the manual page
    Man(Man),
    #[command(hide = true)]
    Keeper(Keeper),
    #[command(hide = true)]
    Control(Control),
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Services, with all they depend on; without one, all with `autostart`
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) services: Vec<String>,
    /// Stay in the foreground and show what services print
    #[arg(long)]
    pub(crate) foreground: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Wait until each service is ready, and what it replaces is gone (the default)
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,
    /// Do not wait for that
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) timeout: Timeout,
}

#[derive(Debug, Args)]
pub(crate) struct Timeout {
    /// Wait at most this long
    #[arg(long = "timeout", value_name = "DURATION", default_value = "120s", value_parser = duration)]
    pub(crate) limit: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Services, with all they depend on; without one, all with `autostart`
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) services: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Services; without one everything, and the supervisor
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) services: Vec<String>,
    /// Kill at once
    #[arg(long)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) timeout: Timeout,
}

#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// Services; without one all that should run
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) services: Vec<String>,
    /// Stop them all, sockets too, before any is started
    #[arg(long)]
    pub(crate) hard: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Services; without one all
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) services: Vec<String>,
    /// Go on, and show what changes; `q` or ^C ends it
    #[arg(long, short)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// A service
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) service: String,
    /// One of its last 20 ends, whole, with its last output; the numbers stand at the ends that `why` tells
    #[arg(long, value_name = "NUMBER")]
    pub(crate) exit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Services, or `supervisor` for the supervisor's own log; without one, all services
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::sources))]
    pub(crate) services: Vec<String>,
    /// Go on as the logs grow
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many of the last lines of each; 100 by default, all with `--since`
    #[arg(long = "lines", short = 'n', value_name = "LINES")]
    pub(crate) lines: Option<usize>,
    /// From then on: how long ago (10m), or a time (14:30, 2026-11-23T14:30:00, 2026-11-23T13:30:00Z)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Up to then; following ends there
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Lines that match a regular expression
    #[arg(long, value_name = "PATTERN")]
    pub(crate) grep: Option<String>,
    /// Lines of this level or a worse one: trace, debug, info, warn, error, fatal
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<String>,
    /// Lines with this field, in JSON or logfmt; may be given several times
    #[arg(long = "field", value_name = "NAME=VALUE")]
    pub(crate) fields: Vec<String>,
    /// Lines of this generation; of each supervisor that there was, unless `--since` says otherwise
    #[arg(long, value_name = "NUMBER")]
    pub(crate) generation: Option<u64>,
    /// The bytes as they are, on a terminal too; of several logs, each line after its service's name
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Of these services only
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) services: Vec<String>,
    /// Go on as things happen
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many of the last events
    #[arg(long = "lines", short = 'n', value_name = "EVENTS", default_value = "50", value_parser = events)]
    pub(crate) lines: usize,
    /// All from then on: the number of an event, how long ago (10m), or a time (14:30, 2026-11-23T14:30:00Z)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Of these kinds only
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kind())]
    pub(crate) kinds: Vec<Kind>,
}

#[derive(Debug, Args)]
pub(crate) struct Alerts {
    #[command(subcommand)]
    pub(crate) deed: Option<AlertDeed>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertDeed {
    /// Send a test; without NAME to all
    Test {
        /// Names of alerts
        #[arg(value_name = "NAME")]
        alerts: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Signal {
    /// A service
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) service: String,
    /// HUP, SIGHUP or a number
    #[arg(value_name = "SIGNAL", add = ArgValueCandidates::new(complete::signals))]
    pub(crate) signal: String,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// A service
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::services))]
    pub(crate) service: String,
    /// A program and its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which one
    pub(crate) shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where the pages go; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Help, completion and errors name all of them.
fn kind() -> impl TypedValueParser<Value = Kind> {
    let words = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str));
    words.try_map(|word| Kind::parse(&word).ok_or("a kind that is none"))
}

fn events(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= 1000);
    number.ok_or_else(|| "at most 1000; `--since` shows all from some time on".to_owned())
}

/// `90s`, `1500ms`, `2m`, `1h`, or seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_ms = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("use a number with ms, s, m or h, as in 90s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "use a number with ms, s, m or h, as in 90s".to_owned())?;
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| "this is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once("supervisor").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn what_there_is_fits_a_terminal() {
        for line in Line::command().render_help().to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn every_command_and_each_of_its_words_is_explained() {
        for command in Line::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for word in command.get_arguments() {
                assert!(word.get_help().is_some(), "{} {}", command.get_name(), word.get_id());
            }
        }
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in ["--config x --json status", "status --json --config x"] {
            let line = parse(line).unwrap();
            assert!(line.global.json);
            assert_eq!(line.global.config, Some(PathBuf::from("x")));
        }
    }

    #[test]
    fn the_last_of_wait_and_no_wait_counts() {
        let no_wait = |line: &str| {
            let Command::Start(start) = parse(line).unwrap().command else { panic!("{line}") };
            start.wait.no_wait
        };
        assert!(no_wait("start --no-wait"));
        assert!(!no_wait("start --no-wait --wait"));
        assert!(!no_wait("start a b --timeout 5s"));
    }

    #[test]
    fn aliases_lead_to_status() {
        for line in ["ps", "ls", "status mail"] {
            assert!(matches!(parse(line).unwrap().command, Command::Status(_)), "{line}");
        }
    }

    #[test]
    fn exec_takes_everything_after_the_dashes_as_it_is() {
        let Command::Exec(exec) = parse("exec mail -- printenv --null -0").unwrap().command else { panic!("exec") };
        assert_eq!(exec.command, ["printenv", "--null", "-0"]);
        assert!(parse("exec mail printenv").is_err());
        assert!(parse("exec mail --").is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "1d", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_roles_are_not_shown_to_people() {
        let help = Line::command().render_long_help().to_string();
        assert!(!help.contains("keeper") && !help.contains("runtime-dir"), "{help}");
        for command in
            ["start", "run", "stop", "restart", "reload", "status", "why", "logs", "signal", "exec", "check", "list"]
        {
            assert!(help.contains(command), "{command}");
        }
    }
}
