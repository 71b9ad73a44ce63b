//! From files to a `Stack`, or to everything that is wrong with them.
//! Not here: the meaning of single keys.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use supervisor_core::ServiceName;

use super::across::{Across, first_of_each};
use super::alerts;
use super::diagnostics::Diagnostics;
use super::environment::{Desk, EnvFiles};
use super::expand::{Own, Scope};
use super::files::Files;
use super::glob;
use super::model::Stack;
use super::reader::Reader;
use super::section::Section;
use super::service::{self, Built, Declared, Logs};
use super::source::{FileId, Problems, Quoting, Sources, Span};
use super::stack;
use super::surroundings::Surroundings;
use super::tree::{self, Table};
use super::vocabulary::{Role, Vocabulary};

/// So many files may be included.
const MAX_INCLUDED: usize = 1_000;
/// So many services may there be.
const MAX_SERVICES: usize = 10_000;

/// The name that the file is searched under.
const FILE_NAME: &str = "supervisor.toml";

/// Finds `supervisor.toml` in `from` or the nearest directory above it.
pub(crate) fn find(from: &Path) -> Option<PathBuf> {
    let from = std::path::absolute(from).ok()?;
    from.ancestors().map(|dir| dir.join(FILE_NAME)).find(|file| file.is_file()).map(|file| located(&file))
}

/// The one path of a file, however it was named: absolute, the links and `..` of its directory resolved. A stack is
/// known by this path, so two names must not make two stacks. The file itself may be a link; its name stays.
pub(crate) fn located(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(dir)), Some(name)) => dir.join(name),
        _ => absolute,
    }
}

/// Loads `file`, a path that `find` or `located` gave, with all that it includes. Nothing is made or changed.
pub(crate) fn load(file: &Path, surroundings: &Surroundings, files: &mut dyn Files) -> Result<Stack, Diagnostics> {
    let mut sources = Sources::default();
    let mut problems = Problems::default();
    let desk = Desk { files, surroundings, sources: &mut sources, problems: &mut problems };
    match (Load { desk }).run(file) {
        Some(stack) if problems.is_empty() => Ok(stack),
        Some(_) | None => Err(Diagnostics::new(problems, &sources)),
    }
}

struct Load<'a> {
    desk: Desk<'a>,
}

impl Load<'_> {
    /// A stack that may be wrong where there are problems; `None` when there is nothing to go on with.
    fn run(&mut self, file: &Path) -> Option<Stack> {
        let main = self.open_main(file)?;
        let included = self.open_included(&main, file);
        if !self.desk.problems.is_empty() {
            return None;
        }
        let vocabulary = Vocabulary::new();
        vocabulary.check(&main, Role::Main, self.desk.problems);
        for table in &included {
            vocabulary.check(table, Role::Included, self.desk.problems);
        }
        let declared = self.declared(&main, &included);
        Some(self.build(file, &main, &declared))
    }

    fn open_main(&mut self, file: &Path) -> Option<Table> {
        match self.desk.files.read(file) {
            Ok(text) => {
                let id = self.desk.sources.add(file, text, Quoting::Lines);
                tree::parse(id, self.desk.sources, self.desk.problems)
            }
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let why = if missing {
                    "there is no such file".to_owned()
                } else {
                    format!("the file cannot be read: {error}")
                };
                self.desk.problems.add_for_file(file, why);
                None
            }
        }
    }

    fn open_included(&mut self, main: &Table, file: &Path) -> Vec<Table> {
        let nothing = BTreeMap::new();
        let scope = Scope { env_files: &nothing, environment: &self.desk.surroundings.env, own: Own::Outside };
        let mut reader = Reader { scope, sources: &*self.desk.sources, problems: &mut *self.desk.problems };
        let patterns = reader.texts(&Section::new([main]), "include").unwrap_or_default();
        let mut ids: BTreeMap<PathBuf, FileId> = BTreeMap::new();
        for (span, pattern) in patterns {
            for path in self.matching(span, &pattern) {
                if path == file || ids.contains_key(&path) {
                    continue;
                }
                if ids.len() == MAX_INCLUDED {
                    self.desk.problems.add(span, format!("more than {MAX_INCLUDED} files are included"));
                    break;
                }
                if let Some(id) = self.open_one_included(span, &path) {
                    ids.insert(path, id);
                }
            }
        }
        let parse = |id: FileId| tree::parse(id, self.desk.sources, self.desk.problems);
        ids.into_values().filter_map(parse).collect()
    }

    /// The files that `include` names; a name without a pattern is a file that must be there.
    fn matching(&mut self, span: Span, pattern: &str) -> Vec<PathBuf> {
        let base = self.desk.sources.dir(span.file);
        if !glob::is_pattern(Path::new(pattern)) {
            return vec![base.join(pattern).components().collect()];
        }
        let full: PathBuf = glob::escape(base).join(pattern).components().collect();
        match self.desk.files.glob(&full) {
            Ok(found) => found,
            Err(error) => {
                self.desk.problems.add(span, format!("`{pattern}` cannot be looked up: {error}"));
                Vec::new()
            }
        }
    }

    fn open_one_included(&mut self, span: Span, path: &Path) -> Option<FileId> {
        match self.desk.files.read(path) {
            Ok(text) => Some(self.desk.sources.add(path, text, Quoting::Lines)),
            Err(error) => {
                let path = path.display();
                let missing = error.kind() == io::ErrorKind::NotFound;
                let why = if missing {
                    format!("there is no file `{path}`")
                } else {
                    format!("`{path}` cannot be read: {error}")
                };
                self.desk.problems.add(span, why);
                None
            }
        }
    }

    /// Every service of every file, in order.
    fn declared<'t>(&mut self, main: &'t Table, included: &'t [Table]) -> Vec<Declared<'t>> {
        let mut declared = Vec::new();
        let main_defaults = Section::new([main]).table("defaults", self.desk.problems);
        self.declare(main, &main_defaults, &mut declared);
        for file in included {
            let own = Section::new([file]).table("defaults", self.desk.problems);
            self.declare(file, &own.over(&main_defaults), &mut declared);
        }
        if let Some(beyond) = declared.get(MAX_SERVICES) {
            self.desk.problems.add(beyond.at, format!("more than {MAX_SERVICES} services"));
            declared.truncate(MAX_SERVICES);
        }
        first_of_each(declared, self.desk.sources, self.desk.problems)
    }

    fn declare<'t>(&mut self, file: &'t Table, defaults: &Section<'t>, declared: &mut Vec<Declared<'t>>) {
        Section::new([file]).table("services", self.desk.problems);
        let services = file.get("services").and_then(|entry| entry.node.value.as_table());
        for (name, entry) in services.map(Table::in_order).unwrap_or_default() {
            let Some(own) = entry.node.value.as_table() else {
                let message = format!("expected a table, found {}", entry.node.value.kind());
                self.desk.problems.add(entry.node.span, message);
                continue;
            };
            match ServiceName::new(name) {
                Ok(name) if name.as_str() == "supervisor" => {
                    self.desk.problems.add(entry.key, "`supervisor` is the name of the supervisor's own log");
                }
                Ok(name) => {
                    declared.push(Declared { name, at: entry.key, own, defaults: defaults.layers().to_vec() });
                }
                Err(why) => {
                    let message = format!("`{}` is no name of a service", name.escape_debug());
                    self.desk.problems.add_with_help(entry.key, message, why.to_string());
                }
            }
        }
    }

    fn build(&mut self, file: &Path, main: &Table, declared: &[Declared<'_>]) -> Stack {
        let main = Section::new([main]);
        let [supervisor, http, logs] = ["supervisor", "http", "logs"].map(|key| main.table(key, self.desk.problems));
        let nothing = BTreeMap::new();
        let surroundings = self.desk.surroundings;
        let scope = Scope { env_files: &nothing, environment: &surroundings.env, own: Own::Outside };
        let mut reader = Reader { scope, sources: &*self.desk.sources, problems: &mut *self.desk.problems };
        let whole = stack::whole(file, &supervisor, surroundings, &mut reader);
        let http = stack::http(&http, &mut reader);
        let default_dir = file.parent().unwrap_or(Path::new("/")).join("logs");
        let logs_dir = service::log_settings(&logs, &default_dir, &mut reader).dir;
        let log_budget = service::log_budget(&logs, &mut reader);
        let alerts = alerts::alerts(&main, declared, &mut reader);
        let logs = Logs { section: logs, default_dir };
        let mut env_files = EnvFiles::default();
        let built: Vec<Built> =
            declared.iter().map(|service| service::build(service, &logs, &mut env_files, &mut self.desk)).collect();
        let across = Across { services: &built, listen: http.listen, sources: self.desk.sources };
        across.check(self.desk.problems);
        Stack {
            file: file.to_owned(),
            name: whole.name,
            runtime_dir: whole.runtime_dir,
            state_dir: whole.state_dir,
            auto_reload: whole.auto_reload,
            shutdown_timeout: whole.shutdown_timeout,
            max_parallel_starts: whole.max_parallel_starts,
            max_parallel_launches: whole.max_parallel_launches,
            http,
            logs_dir,
            log_budget,
            services: built.into_iter().map(|built| built.service).collect(),
            alerts,
            withheld: env_files.withheld,
        }
    }
}
