//! Files that include files, and records of what was read.
//! Not here: the patterns themselves (see `glob`).

use super::*;

const MAIN: &str = "include = [\"more/*.toml\", \"${DIR:-extra}.toml\"]\n[defaults]\nenv = { A = \"main\", B = \"main\" }\n[services.a]\ncommand = \"a\"\n";

#[test]
fn included_files_add_services_with_paths_of_their_own() {
    let files = [
        (
            "/stack/more/b.toml",
            "[defaults]\nenv.B = \"b\"\n[services.b]\ncommand = \"b\"\nenv_file = \"e\"\nlog.dir = \"l\"",
        ),
        ("/stack/more/e", "E=1"),
        ("/stack/extra.toml", "[services.c]\ncommand = \"c\""),
    ];
    let stack = load_with(MAIN, &files, &[]).unwrap();
    let names: Vec<&str> = stack.services.iter().map(|service| service.spec.name.as_str()).collect();
    assert_eq!(names, ["a", "c", "b"]);
    let launch = &stack.services[2].launch;
    assert_eq!(launch.cwd, Path::new("/stack/more"));
    assert_eq!(launch.base, Path::new("/stack/more"));
    assert_eq!(launch.log.dir, Path::new("/stack/more/l"));
    let env = |i: usize| stack.services[i].launch.env.values().map(|value| value.render(0)).collect::<Vec<_>>();
    assert_eq!(env(2), ["main", "b", "1"]);
    assert_eq!(env(1), ["main", "main"]);
}

#[test]
fn a_name_twice_is_told_with_both_places() {
    let files = [("/stack/extra.toml", "\n[services.a]\ncommand = \"other\"")];
    let error = load_with(MAIN, &files, &[]).unwrap_err();
    let expected = "\
error: a second service `a`
  --> /stack/extra.toml:2:11
  |
2 | [services.a]
  |           ^
help: the first is in /stack/supervisor.toml:4
";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_included_file_holds_services_only() {
    let text = "include = [\"x\"]\nhttp.listen = 1\nalerts = 1\ncolor = 1\nservices = {}";
    let found = problems_with("include = [\"extra.toml\"]", &[("/stack/extra.toml", text)], &[]);
    let help =
        "(an included file holds `services`, and `defaults` for these services; all else belongs in the main file)";
    assert_eq!(
        found,
        [
            format!("`include` in an included file {help}"),
            format!("`http` in an included file {help}"),
            format!("`alerts` in an included file {help}"),
            "unknown key `color` (known are `defaults`, `services`)".to_owned(),
        ]
    );
}

#[test]
fn a_named_file_must_exist_and_a_pattern_may_match_nothing() {
    assert_eq!(problems("include = [\"none.toml\"]"), ["there is no file `/stack/none.toml`"]);
    stack("include = [\"none/*.toml\"]");
    assert_eq!(problems("include = 5"), ["expected an array of strings, found integer"]);
}

#[test]
fn the_main_file_does_not_include_itself_and_no_file_twice() {
    let text = "include = [\"*.toml\", \"*.toml\", \"/stack/b.toml\"]\nservices.a.command = \"a\"";
    let stack = load_with(text, &[("/stack/b.toml", "services.b.command = \"b\"")], &[]).unwrap();
    assert_eq!(stack.services.len(), 2);
}

#[test]
fn a_record_gives_the_same_stack_without_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("supervisor.toml");
    let main = "include = [\"conf.d/*.toml\"]\n[services.a]\ncommand = \"a ${X}\"\nenv_file = [\"a.env\", \"none?\"]\n";
    std::fs::write(&file, main).unwrap();
    std::fs::write(dir.path().join("a.env"), "X='a b'\n").unwrap();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("conf.d/b.toml"), "services.b.command = \"b\"").unwrap();
    let mut recorder = Recorder::new(Disk);
    let around = surroundings(&[]);
    let stack = load(&file, &around, &mut recorder).unwrap();
    let bytes = serde_json::to_vec(&(recorder.into_recorded(), &around)).unwrap();
    let path = |name: &str| dir.path().join(name);
    let files = [path("a.env"), path("conf.d/b.toml"), file.clone()];
    drop(std::fs::remove_dir_all(dir.path()));
    let (mut recorded, around): (Recorded, Surroundings) = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(recorded.files().collect::<Vec<_>>(), files);
    assert_eq!(load(&file, &around, &mut recorded), Ok(stack));
}
