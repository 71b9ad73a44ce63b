//! How problems are shown, and that they come all at once.
//! Not here: the rules that find them.

use super::*;

#[track_caller]
fn rendered(text: &str) -> String {
    load_with(text, &[], &[]).expect_err("this should be refused").to_string()
}

#[test]
fn a_problem_shows_its_line_and_what_to_do() {
    let text = "[services.mail]\ncomand = [\"target/release/mail\"]\ncommand = \"x\"\n";
    let expected = "\
error: unknown key `comand` in `services.mail`
  --> /stack/supervisor.toml:2:1
  |
2 | comand = [\"*******************\"]
  | ^^^^^^
help: did you mean `command`?
";
    assert_eq!(rendered(text), expected);
}

#[test]
fn a_wrong_type_is_marked_at_the_value() {
    let text = "[services.mail]\ncommand = \"x\"\n\n\n\n\n\n\n[services.mail.stop]\n\ttimeout = 10 # seconds";
    let expected = "\
error: expected a duration like `10s`, found integer
  --> /stack/supervisor.toml:10:12
   |
10 |  timeout = 10 # seconds
   |            ^^
";
    assert_eq!(rendered(text), expected);
}

#[test]
fn a_missing_variable_is_named() {
    let expected = "\
error: `${MAIL_PORT}` is not set
  --> /stack/supervisor.toml:1:42
  |
1 | services.mail = { command = \"******\", port = \"${MAIL_PORT}\" }
  |                                              ^^^^^^^^^^^^^^
help: set it in the environment or in an env file, or give a default: `${MAIL_PORT:-…}`
";
    assert_eq!(rendered("services.mail = { command = \"메일\", port = \"${MAIL_PORT}\" }"), expected);
}

#[test]
fn a_cycle_is_told_as_a_path() {
    let service = |name: &str, on: &str| format!("[services.{name}]\ncommand = \"x\"\ndepends_on = [\"{on}\"]\n");
    let text = [service("a", "b"), service("b", "c"), service("c", "a")].concat();
    let expected = "\
error: services depend on each other: a -> b -> c -> a
  --> /stack/supervisor.toml:3:15
  |
3 | depends_on = [\"b\"]
  |               ^^^
";
    assert_eq!(rendered(&text), expected);
    let found = problems(&service("a", "a"));
    assert_eq!(found, ["services depend on each other: a -> a"]);
}

#[test]
fn a_syntax_error_stands_alone() {
    let expected = "\
error: string values must be quoted, expected literal string
  --> /stack/supervisor.toml:1:19
  |
1 | supervisor.name = mcp
  |                   ^^^
";
    assert_eq!(rendered("supervisor.name = mcp\nunknown = 1\n"), expected);
    assert_eq!(problems("a = 1\na = 2"), ["duplicate key"]);
    assert_eq!(problems("http.listen = 99999999999999999999"), ["this number is out of range"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once_in_order() {
    let text = "
        color = \"red\"
        [supervisor]
        name = \"Mein Projekt\"
        [defaults]
        restart.delay = \"soon\"
        [services.a]
        port = \"${NONE}\"
        depends_on = [\"nobody\"]
        [services.b]
        command = [\"b\"]
        port = 8001
        instances = 2
        [services.b.stop]
        signal = \"SIGHUP\"
        [services.c]
        command = 5
    ";
    let found = problems(text);
    let begins = [
        "unknown key `color`",
        "`Mein Projekt` is no name of a stack",
        "`soon` is not a duration like `10s`: a number is missing",
        "service `a` has no `command`",
        "`${NONE}` is not set",
        "service `a` depends on `nobody`, which does not exist",
        "several instances cannot bind one port",
        "`SIGHUP` is no signal",
        "expected an array of strings, or a string, found integer",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (found, begin) in found.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}");
    }
}

#[test]
fn unknown_keys_are_told_where_they_belong() {
    for (text, problem) in [
        ("[service.a]\n", "unknown key `service` (did you mean `services`?)"),
        ("[oauth]\ncommand = \"x\"", "unknown key `oauth` (services are written as `[services.oauth]`)"),
        ("port = 1", "unknown key `port` (`port` is a key of `services.NAME`)"),
        ("[http]\nlisen = 1", "unknown key `lisen` in `http` (did you mean `listen`?)"),
        (
            "[defaults]\nzzz = 1\n[defaults.stop]\nzzzzzz = 1",
            "unknown key `zzzzzz` in `defaults.stop` (known are `command`, `signal`, `timeout`)",
        ),
        (
            "[services.a]\ncommand = \"x\"\ntimeout = \"1s\"",
            "unknown key `timeout` in `services.a` (`timeout` is a key of `services.NAME.stop`, `services.NAME.ready`, `services.NAME.live`)",
        ),
        (
            "color = 1",
            "unknown key `color` (known are `alerts`, `defaults`, `gateway`, `http`, `include`, `logs`, `services`, `supervisor`)",
        ),
        ("defaults.ready.http.pth = 1", "unknown key `pth` in `defaults.ready.http` (did you mean `path`?)"),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|found| found == problem), "{text}: {found:?}");
    }
}

#[test]
fn the_file_cannot_move_the_readers_cursor() {
    let text = rendered("\"a\\u001b[2Jb\" = \"\u{9b}31m\u{202e}\"");
    assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{text:?}");
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let text = format!(
        "services.a = {{ command = \"{}\", prot = 1, cwd = \"{}\" }}",
        "x".repeat(500_000),
        "y".repeat(500_000)
    );
    let shown = rendered(&text);
    assert!(shown.contains("prot = *"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
    let mark = |line: &str| line.chars().position(|c| c == '^');
    let lines: Vec<&str> = shown.lines().collect();
    let at = lines.iter().find_map(|line| mark(line)).unwrap();
    let quoted = lines.iter().find(|line| line.contains("prot = *")).unwrap();
    assert_eq!(quoted.chars().skip(at).take(4).collect::<String>(), "prot");
}

#[test]
fn many_problems_are_counted_and_not_all_shown() {
    let text: String = (0..150).map(|i| format!("key{i} = 1\n")).collect();
    let error = load_with(&text, &[], &[]).unwrap_err();
    assert_eq!((error.list.len(), error.more), (100, 50));
    assert!(error.to_string().ends_with("\nand 50 more\n"));
}

#[test]
fn a_program_reads_file_line_and_column_and_no_source() {
    let error = load_with("\nenv = 1 # hunter2", &[], &[]).unwrap_err();
    let json = serde_json::to_string(&error).unwrap();
    assert_eq!(
        json,
        "{\"list\":[{\"file\":\"/stack/supervisor.toml\",\"line\":2,\"column\":1,\"message\":\"unknown key `env`\",\
         \"help\":\"`env` is a key of `services.NAME`, `services.NAME.secrets.NAME`\"}],\"more\":0}"
    );
    let back: Diagnostics = serde_json::from_str(&json).unwrap();
    assert_eq!(back.list[0].line, Some(2));
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let error = load(Path::new("/none.toml"), &surroundings(&[]), &mut Memory::default()).unwrap_err();
    assert_eq!(error.to_string(), "error: there is no such file\n  --> /none.toml\n");
}
