//! `logs`: the last lines of log files, or those that are looked for, read directly, so that it works when nothing runs.
//! Not here: following them (`follow`).

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use supervisor_logs::{Line, Mark, Merge, Query, Search, Unfinished, last};

use super::args::{Global, Logs};
use super::clock::{self, MOMENT};
use super::failure::{Exit, Failure};
use super::follow;
use super::locate;
use super::output::{Paper, Prefixer, clean};
use super::terminal::{Screen, write};
use crate::config::Service;
use crate::control::log_paths;
use crate::log_lines::{self, Output};

/// Of one log; a terminal shows no more.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Lines of each log, when nothing else limits them.
const LINES: usize = 100;
/// Written at once.
const PART: usize = 64 * 1024;
/// The name of the supervisor's own log.
pub(super) const OWN: &str = "supervisor";

/// A log, and how it is shown.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) output: Output,
    pub(crate) form: Form,
}

/// How lines are shown.
pub(crate) enum Form {
    /// The bytes as they are.
    Bytes,
    Prefixed(Prefixer),
    Json,
}

pub(crate) fn logs(global: &Global, screen: Screen, logs: &Logs) -> Result<Exit, Failure> {
    let written = written(global, screen)?;
    let query = query(logs)?;
    let mut sources = sources(&written, screen, logs)?;
    let of_any_time = query.since.is_none() && query.until.is_none() && query.generation.is_none();
    let plain = query.filter.passes_all() && of_any_time && !screen.json;
    if plain && sources.iter().all(is_silent) {
        tell_of_silence(&sources, screen);
    }
    if let ([source], true) = (sources.as_mut_slice(), plain && (logs.raw || !logs.follow)) {
        return match logs.follow {
            true => follow::bytes(source, screen, logs.lines.unwrap_or(LINES)),
            false => as_it_is(source, screen, logs.lines.unwrap_or(LINES)),
        };
    }
    let lines = logs.lines.or_else(|| query.since.is_none().then_some(LINES));
    let unfinished = if logs.follow { Unfinished::Left } else { Unfinished::Shown };
    let (ends, exit) = match lines {
        Some(lines) => newest(&mut sources, screen, &query, lines, unfinished),
        None => all(&mut sources, screen, &query, unfinished)?,
    };
    if logs.follow { follow::lines(sources, ends, &query) } else { Ok(exit) }
}

/// Nothing of it is on disk; what was rotated last is looked for, too.
fn is_silent(source: &Source) -> bool {
    ["", ".1", ".1.gz"].iter().all(|suffix| {
        let mut path = source.path.clone().into_os_string();
        path.push(suffix);
        std::fs::metadata(path).map_or(true, |meta| meta.len() == 0)
    })
}

/// An empty screen explains nothing.
fn tell_of_silence(sources: &[Source], screen: Screen) {
    let place = match sources {
        [] => return,
        [source] => clean(&source.path.display().to_string()),
        [_, _, ..] => "the logs".to_owned(),
    };
    screen.tell(&format!(
        "nothing is in {place} yet; a program may hold back what it prints while that is no terminal (as Python does \
         without `PYTHONUNBUFFERED`)\n"
    ));
}

fn query(logs: &Logs) -> Result<Query, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let filter = log_lines::filter(logs.grep.as_deref(), logs.level.as_deref(), &logs.fields);
    let moment = |flag: &str, text: &Option<String>| {
        let wrong = || usage(format!("`{flag}` takes {MOMENT}"));
        text.as_deref().map(|text| clock::moment(text).ok_or_else(wrong)).transpose()
    };
    Ok(Query {
        filter: filter.map_err(|error| usage(error.to_string()))?,
        since: moment("--since", &logs.since)?,
        until: moment("--until", &logs.until)?,
        generation: logs.generation,
    })
}

/// Where everything of a stack is written, service by service.
struct Written {
    services: Vec<(String, Vec<PathBuf>)>,
    /// The supervisor's own log.
    own: Option<PathBuf>,
}

/// What the file says; while that is nothing, what runs knows.
fn written(global: &Global, screen: Screen) -> Result<Written, Failure> {
    let failure = match locate::stack(global) {
        Ok(stack) => {
            let of = |service: &Service| (service.spec.name.to_string(), log_paths(&service.launch));
            let own = Some(stack.logs_dir.join(log_lines::OWN_FILE));
            return Ok(Written { services: stack.services.iter().map(of).collect(), own });
        }
        Err(failure) => failure,
    };
    let Ok(place) = locate::place(global) else { return Err(failure) };
    let Ok(status) = place.client.status() else { return Err(failure) };
    place.warn_of_rejection(&status, screen);
    let services = status.services.into_iter().map(|service| (service.name.to_string(), service.logs));
    Ok(Written { services: services.collect(), own: status.supervisor.log })
}

fn sources(written: &Written, screen: Screen, logs: &Logs) -> Result<Vec<Source>, Failure> {
    let files = chosen(written, &logs.services)?;
    let paper = if io::stdout().is_terminal() && !logs.raw { Paper::Terminal } else { Paper::File };
    let several = files.len() > 1;
    let width = files.iter().map(|(name, _, _)| name.len()).max().unwrap_or(0);
    let sources = files.into_iter().map(|(name, path, output)| {
        let place = written.services.iter().position(|(service, _)| *service == name);
        let form = match (several, place, paper) {
            _ if screen.json => Form::Json,
            (true, Some(place), _) => Form::Prefixed(Prefixer::new(&name, place, width, paper)),
            (true, None, _) => Form::Prefixed(Prefixer::own(width, paper)),
            (false, _, Paper::Terminal) => Form::Prefixed(Prefixer::nameless()),
            (false, _, Paper::File) => Form::Bytes,
        };
        Source { name, path, output, form }
    });
    Ok(sources.collect())
}

/// The last lines of one log with every byte of theirs.
fn as_it_is(source: &mut Source, screen: Screen, lines: usize) -> Result<Exit, Failure> {
    match supervisor_logs::tail_with_trouble(&source.path, lines, MAX_BYTES) {
        Ok((text, trouble)) => {
            let shown = match &mut source.form {
                Form::Bytes | Form::Json => text,
                Form::Prefixed(prefixer) => [prefixer.lines(&text), prefixer.finish()].concat(),
            };
            write(&shown);
            trouble.iter().for_each(|trouble| complain(screen, source, trouble));
            Ok(if trouble.is_some() { Exit::Failed } else { Exit::Done })
        }
        Err(error) => {
            complain(screen, source, &error.to_string());
            Ok(Exit::Failed)
        }
    }
}

/// The last lines of each log, by time; and where each log ended.
fn newest(
    sources: &mut [Source],
    screen: Screen,
    query: &Query,
    lines: usize,
    unfinished: Unfinished,
) -> (Vec<Option<Mark>>, Exit) {
    let (mut found, mut ends, mut exit): (Vec<(u64, usize, Line)>, _, _) = (Vec::new(), Vec::new(), Exit::Done);
    for (which, source) in sources.iter().enumerate() {
        let of_one = last(&source.path, query, (lines, MAX_BYTES), unfinished, &|| false);
        let of_one = of_one
            .unwrap_or_else(|error| supervisor_logs::Last { trouble: Some(error.to_string()), ..Default::default() });
        if let Some(trouble) = &of_one.trouble {
            exit = Exit::Failed;
            complain(screen, source, trouble);
        }
        // By the clock, lines of one log never change places.
        let mut time = 0;
        found.extend(of_one.lines.into_iter().map(|line| {
            time = line.time.max(time);
            (time, which, line)
        }));
        ends.push(of_one.end);
    }
    found.sort_by_key(|(time, which, _)| (*time, *which));
    let mut part = Vec::new();
    for (_, which, line) in found {
        sources[which].show(&line, &mut part);
        flush(&mut part, PART);
    }
    flush(&mut part, 0);
    (ends, exit)
}

/// Every line that is wanted, by time.
fn all(
    sources: &mut [Source],
    screen: Screen,
    query: &Query,
    unfinished: Unfinished,
) -> Result<(Vec<Option<Mark>>, Exit), Failure> {
    let failed = |path: &PathBuf, error: io::Error| {
        Failure::new(Exit::Failed, format!("failed to read {}: {error}", path.display()))
    };
    let search = |source: &Source| {
        Search::new(&source.path, query.clone(), unfinished).map_err(|error| failed(&source.path, error))
    };
    let searches: Vec<Search> = sources.iter().map(search).collect::<Result<_, _>>()?;
    let ends = searches.iter().map(Search::end).collect();
    let (mut merge, mut part) = (Merge::new(searches), Vec::new());
    while let Some((which, line)) = merge.next_line().map_err(|error| Failure::of_system("read a log", &error))? {
        sources[which].show(&line, &mut part);
        flush(&mut part, PART);
    }
    flush(&mut part, 0);
    let mut exit = Exit::Done;
    for (which, trouble) in merge.troubles() {
        exit = Exit::Failed;
        complain(screen, &sources[which], trouble);
    }
    Ok((ends, exit))
}

/// Writes what has come to more than `beyond` bytes. Whoever reads no more ends us.
fn flush(part: &mut Vec<u8>, beyond: usize) {
    if part.len() > beyond {
        write(part);
        part.clear();
    }
}

pub(super) fn complain(screen: Screen, source: &Source, trouble: &str) {
    screen.complain(&format!("error: failed to read {}: {trouble}", source.path.display()));
}

impl Source {
    /// Appends a line as it is shown.
    pub(crate) fn show(&mut self, line: &Line, shown: &mut Vec<u8>) {
        match &mut self.form {
            Form::Json => {
                shown.extend_from_slice(log_lines::json(&self.name, self.output, line).as_bytes());
                shown.push(b'\n');
            }
            Form::Bytes => {
                shown.extend_from_slice(&line.text);
                shown.extend_from_slice(if line.whole { b"\n" } else { b"" });
            }
            Form::Prefixed(prefixer) => {
                shown.extend(prefixer.lines(&line.text));
                shown.extend(prefixer.lines(b"\n"));
            }
        }
    }
}

/// Name, path and content of each log that is meant.
fn chosen(written: &Written, names: &[String]) -> Result<Vec<(String, PathBuf, Output)>, Failure> {
    let mut files = Vec::new();
    let mut add = |name: &str, paths: Vec<PathBuf>| {
        let count = paths.len();
        let numbered = paths.into_iter().enumerate();
        files.extend(numbered.map(|(place, path)| (name.to_owned(), path, Output::of(place, count))));
    };
    if names.is_empty() {
        written.services.iter().for_each(|(service, paths)| add(service, paths.clone()));
    }
    for name in names {
        let known = written.services.iter().find(|(service, _)| service == name);
        match (known, &written.own) {
            (Some((_, paths)), _) => add(name, paths.clone()),
            (None, Some(own)) if name == OWN => add(name, vec![own.clone()]),
            (None, _) => return Err(locate::unknown(name, written.services.iter().map(|(name, _)| name.as_str()))),
        }
    }
    Ok(files)
}
