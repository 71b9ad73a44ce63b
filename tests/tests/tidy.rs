//! The rules of the page that a machine can check.
//! Not here: what clippy checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LONGEST_FILE: usize = 500;

/// May be longer than that, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// What `ls` shows; tool files begin with a dot.
const TOP: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "docs",
    "install.sh",
    "logs",
    "services",
    "supervisor",
    "supervisor.toml",
    "tests",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the repository").to_owned()
}

/// Every file that belongs to the repository, by its path in it; what is ignored does not.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .ok()
        .filter(|done| done.status.success())
        .map(|done| String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect::<Vec<_>>());
    let mut all = listed.unwrap_or_else(|| walk(&repository(), &repository()));
    all.retain(|file| repository().join(file).is_file());
    all
}

/// An unpacked archive has no git.
fn walk(dir: &Path, root: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .filter(|path| !path.ends_with("target") && !path.ends_with(".git"))
        .flat_map(|path| {
            let name = path.strip_prefix(root).map(|path| path.display().to_string()).unwrap_or_default();
            if path.is_dir() { walk(&path, root) } else { vec![name] }
        })
        .collect()
}

fn modules() -> Vec<(String, String)> {
    let names =
        files().into_iter().filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "rs"));
    let read = |name: String| fs::read_to_string(repository().join(&name)).ok().map(|text| (name, text));
    let all: Vec<_> = names.filter_map(read).collect();
    assert!(all.len() > 50, "only {} modules were found", all.len());
    all
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn every_module_says_what_lives_in_it_and_what_must_not() {
    let header =
        |text: &str| text.lines().take_while(|line| line.starts_with("//!")).map(str::to_owned).collect::<Vec<_>>();
    let bad: Vec<String> = modules()
        .into_iter()
        .filter(|(_, text)| {
            let header = header(text);
            header.len() < 2 || !header.iter().any(|line| line.contains("ot here:") || line.contains("ever here:"))
        })
        .map(|(name, _)| name)
        .collect();
    assert_none("no `//!` header with a `Not here:`", &bad);
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_sitting() {
    let excused = |name: &str| LONG_FILES.iter().any(|(long, _)| *long == name);
    let long: Vec<String> = modules()
        .into_iter()
        .filter(|(name, text)| text.lines().count() > LONGEST_FILE && !excused(name))
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    assert_none("too long", &long);
}

#[test]
fn the_root_shows_the_architecture() {
    let mut top: Vec<String> = files().iter().map(|name| name.split('/').next().unwrap_or("").to_owned()).collect();
    top.sort();
    top.dedup();
    top.retain(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()));
    assert_none("not among the names of the root", &top);
}

#[test]
fn the_core_decides_and_does_nothing() {
    let effects =
        ["std::fs", "std::net", "std::process", "std::thread", "std::env", "Instant::now", "SystemTime", "println!"];
    let mut bad = Vec::new();
    for (name, text) in modules().into_iter().filter(|(name, _)| name.starts_with("supervisor/core/src")) {
        for (number, line) in code(&text) {
            bad.extend(
                effects
                    .iter()
                    .filter(|effect| line.contains(**effect))
                    .map(|effect| format!("{name}:{number}: {effect}")),
            );
        }
    }
    assert_none("the core does something", &bad);
}

#[test]
fn unsafe_lives_in_the_keeper_and_in_one_file_of_the_program() {
    let mut homes: Vec<String> = modules()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("supervisor/keeper/") && name != "tests/tests/tidy.rs")
        .filter(|(_, text)| {
            code(text).any(|(_, line)| {
                line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl")
            })
        })
        .map(|(name, _)| name)
        .collect();
    let in_program = homes.iter().filter(|name| name.starts_with("supervisor/src/")).count();
    assert!(in_program <= 1, "more than one file of the program: {homes:?}");
    homes.retain(|name| !name.starts_with("supervisor/src/"));
    assert_none("unsafe outside its rooms", &homes);
}

#[test]
fn nothing_is_left_to_be_done() {
    // Put together, so that this file does not find itself.
    let marks = ["TO", "FIX", "XX", "todo", "unimpl"].into_iter().zip(["DO", "ME", "X", "!(", "emented!("]);
    let marks: Vec<String> = marks.map(|(one, other)| format!("{one}{other}")).collect();
    let mut bad = Vec::new();
    for (name, text) in modules() {
        for (number, line) in text.lines().enumerate() {
            bad.extend(
                marks
                    .iter()
                    .filter(|mark| line.contains(mark.as_str()))
                    .map(|mark| format!("{name}:{}: {mark}", number + 1)),
            );
        }
    }
    assert_none("left to be done", &bad);
}

#[test]
fn no_folder_or_file_is_named_after_nothing() {
    let empty = ["utils", "util", "common", "helpers", "manager", "misc"];
    let bad: Vec<String> = files()
        .into_iter()
        .filter(|name| name.ends_with(".rs"))
        .filter(|name| name.split(['/', '.']).any(|part| empty.contains(&part)))
        .collect();
    assert_none("named after nothing", &bad);
}

#[test]
fn the_readme_names_every_command() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let section = |title: &str| {
        let (_, rest) = readme.split_once(&format!("\n## {title}\n")).expect("the README has it");
        rest.split("\n## ").next().unwrap_or(rest).to_owned()
    };
    let help = Command::new(e2e::supervisor()).arg("--help").output().expect("it runs").stdout;
    let help = String::from_utf8_lossy(&help).into_owned();
    let (_, list) = help.split_once("Commands:\n").expect("help lists the commands");
    let commands = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let named = words(&section("Commands"));
    let missing: Vec<String> = commands
        .filter(|command| *command != "help" && !named.iter().any(|word| word == command))
        .map(str::to_owned)
        .collect();
    assert_none("commands that the README does not name", &missing);
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
}

/// The lines that are no comment, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())).filter(|(_, line)| !line.starts_with("//"))
}
