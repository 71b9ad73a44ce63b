//! Where a service's environment comes from: env files, `env`, `secrets`, `inherit_env`.
//! Not here: the environment itself, which only a launch makes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::env_file;
use super::expand::is_variable_name;
use super::files::{Files, Mark};
use super::model::{InheritEnv, SecretSource, Template};
use super::reader::Reader;
use super::section::Section;
use super::source::{FileId, Problems, Quoting, Sources, Span};
use super::surroundings::Surroundings;
use super::tree::Node;
use super::withheld::{Withheld, guarded, withhold};

/// What a service inherits unless it says otherwise.
const BASE_SET: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];

/// Names that we set ourselves; whoever sets them lies to the service.
const RESERVED: [&str; 5] = ["SUPERVISOR_", "LISTEN_FD", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_"];

/// Every env file is read once, and every combination of them evaluated once.
#[derive(Debug, Default)]
pub(super) struct EnvFiles {
    texts: HashMap<PathBuf, Result<FileId, Unreadable>>,
    values: HashMap<Vec<Wanted>, Rc<BTreeMap<String, String>>>,
    pub(super) withheld: BTreeSet<Withheld>,
}

#[derive(Debug, Clone)]
enum Unreadable {
    Missing,
    Failed(String),
}

/// One entry of `env_file`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    path: PathBuf,
    presence: Presence,
    named_by: FileId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Presence {
    Required,
    /// The name ended in `?`.
    Optional,
}

/// What env files are read with.
pub(super) struct Desk<'a> {
    pub(super) files: &'a mut dyn Files,
    pub(super) surroundings: &'a Surroundings,
    pub(super) sources: &'a mut Sources,
    pub(super) problems: &'a mut Problems,
}

impl EnvFiles {
    /// The values of the env files of `paths`, a later file over an earlier one.
    pub(super) fn values(&mut self, paths: Vec<(Span, PathBuf)>, desk: &mut Desk<'_>) -> Rc<BTreeMap<String, String>> {
        let wanted: Vec<(Span, Wanted)> =
            paths.into_iter().map(|(span, path)| (span, Wanted::new(path, span.file))).collect();
        let key: Vec<Wanted> = wanted.iter().map(|(_, wanted)| wanted.clone()).collect();
        if let Some(values) = self.values.get(&key) {
            return Rc::clone(values);
        }
        let mut values = BTreeMap::new();
        for (span, wanted) in &wanted {
            if let Some(file) = self.open(*span, wanted, desk) {
                self.withheld.extend(evaluate(&mut values, file, wanted.named_by, desk));
            }
        }
        let values = Rc::new(values);
        self.values.insert(key, Rc::clone(&values));
        values
    }

    fn open(&mut self, span: Span, wanted: &Wanted, desk: &mut Desk<'_>) -> Option<FileId> {
        let path = &wanted.path;
        let opened = self.texts.entry(path.clone()).or_insert_with(|| match desk.files.read(path) {
            Ok(text) => Ok(desk.sources.add(path, text, Quoting::Nothing)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unreadable::Missing),
            Err(error) => Err(Unreadable::Failed(error.to_string())),
        });
        match (opened, wanted.presence) {
            (Ok(file), _) => Some(*file),
            (Err(Unreadable::Missing), Presence::Optional) => None,
            (Err(Unreadable::Missing), Presence::Required) => {
                let message = format!("there is no env file `{}`", path.display());
                desk.problems.add_with_help(span, message, "end the name in `?` if it may be missing");
                None
            }
            (Err(Unreadable::Failed(why)), _) => {
                desk.problems.add(span, format!("the env file `{}` cannot be read: {why}", path.display()));
                None
            }
        }
    }
}

/// The path of an env file, without the `?` that says that it may be missing.
pub(super) fn required(path: &Path) -> PathBuf {
    without_mark(path.to_owned()).0
}

impl Wanted {
    fn new(path: PathBuf, named_by: FileId) -> Self {
        let (path, presence) = without_mark(path);
        Self { path, presence, named_by }
    }
}

fn without_mark(path: PathBuf) -> (PathBuf, Presence) {
    match path.to_str().and_then(|path| path.strip_suffix('?')) {
        Some(path) => (PathBuf::from(path), Presence::Optional),
        None => (path, Presence::Required),
    }
}

/// Says what it left out.
fn evaluate(
    values: &mut BTreeMap<String, String>,
    file: FileId,
    named_by: FileId,
    desk: &mut Desk<'_>,
) -> BTreeSet<Withheld> {
    let guarded = guarded(values);
    match env_file::read_into(values, &desk.surroundings.env, &desk.sources.of(file).text) {
        Ok(assigned) => {
            for assigned in &assigned {
                refuse_reserved(&assigned.name, Span::new(file, assigned.at.clone()), desk.problems);
            }
            let paths = (desk.sources.of(file).path.as_path(), desk.sources.of(named_by).path.as_path());
            withhold(values, &guarded, &assigned, paths, desk.files)
        }
        Err(error) => {
            desk.problems.add(Span::new(file, error.at), error.message);
            BTreeSet::new()
        }
    }
}

fn refuse_reserved(name: &str, at: Span, problems: &mut Problems) {
    if RESERVED.iter().any(|reserved| name.starts_with(reserved)) {
        problems.add(at, format!("`{name}` is set by the supervisor"));
    }
}

fn check_name(name: &str, at: Span, problems: &mut Problems) {
    if is_variable_name(name) {
        refuse_reserved(name, at, problems);
    } else {
        let help = "letters, digits and `_`, not beginning with a digit";
        problems.add_with_help(at, format!("`{name}` is no name of a variable"), help);
    }
}

/// `env`, over the values of the env files.
pub(super) fn env(service: &Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Template> {
    let files = reader.scope.env_files;
    let mut env: BTreeMap<String, Template> =
        files.iter().map(|(name, value)| (name.clone(), Template::of_text(value))).collect();
    for (name, entry) in service.table("env", reader.problems).entries() {
        check_name(name, entry.key, reader.problems);
        let value = match entry.node.value.as_scalar() {
            Some(text) => reader.expanded(entry.node.span, &text),
            None => reader.wrong_type(&entry.node, "a string"),
        };
        env.extend(value.map(|value| (name.to_owned(), value)));
    }
    env
}

pub(super) fn secrets(service: &Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, SecretSource> {
    let env = service.table_if_any("env");
    let mut secrets = BTreeMap::new();
    for (name, entry) in service.table("secrets", reader.problems).entries() {
        check_name(name, entry.key, reader.problems);
        if env.get(name).is_some() {
            reader.problems.add(entry.key, format!("`{name}` is in `env` and in `secrets`"));
        }
        secrets.extend(secret(&entry.node, reader).map(|source| (name.to_owned(), source)));
    }
    secrets
}

pub(super) fn secret(node: &Node, reader: &mut Reader<'_>) -> Option<SecretSource> {
    const EXPECTED: &str = "`{ file = … }`, `{ command = … }` or `{ env = … }`";
    let Some(table) = node.value.as_table() else { return reader.wrong_type(node, EXPECTED) };
    let section = Section::new([table]);
    match (section.get("file"), section.get("command"), section.get("env")) {
        (Some(file), None, None) => reader.path(file).map(|path| SecretSource::File { path, mark: Mark::default() }),
        (None, Some(command), None) => {
            let words = reader.command(command);
            if words.is_empty() {
                reader.problems.add(command.span, "a command is missing");
            }
            let words = words.iter().map(|word| reader.plain(command.span, word)).collect::<Option<_>>()?;
            Some(SecretSource::Command(words))
        }
        (None, None, Some(env)) => {
            let name = reader.text(env)?;
            if !is_variable_name(&name) {
                reader.problems.add(env.span, "this is no name of a variable");
            }
            Some(SecretSource::Env(name))
        }
        _ => {
            reader.problems.add(node.span, format!("expected exactly one of {EXPECTED}"));
            None
        }
    }
}

pub(super) fn inherit_env(service: &Section<'_>, reader: &mut Reader<'_>) -> InheritEnv {
    let Some(names) = reader.texts(service, "inherit_env") else {
        return InheritEnv::Names(BASE_SET.map(str::to_owned).to_vec());
    };
    if names.iter().any(|(_, name)| name == "*") {
        return InheritEnv::All;
    }
    for (span, name) in &names {
        if !is_variable_name(name) {
            let message = format!("`{name}` is no name of a variable");
            reader.problems.add_with_help(*span, message, "`*` alone passes everything on");
        }
    }
    InheritEnv::Names(names.into_iter().map(|(_, name)| name).collect())
}
