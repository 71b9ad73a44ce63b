//! Lines found again with `supervisor logs` and over the API.
//! Not here: what one line matches, and files by themselves; the logs package shows those.

use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use e2e::{Setup, Stack, eventually};
use serde_json::Value;

const LINES: &str = r#"echo '{"level":"info","user":{"id":41},"msg":"hello"}'; echo 'level=warn user.id=42 msg="slow down"'; \
    echo 'ERROR it broke'; exec ./puppet wait"#;

fn stack() -> Stack {
    let script = |then: &str| format!("['sh', '-c', '''{}''']", then);
    let quiet = "echo first; sleep 0.3; echo last; exec ./puppet wait";
    let text = format!("[services.a]\ncommand = {}\n[services.b]\ncommand = {}", script(LINES), script(quiet));
    let stack = Setup::of(&text).start();
    stack.wait_log("a", "broke\n");
    stack.wait_log("b", "last\n");
    stack
}

fn shown(stack: &Stack, args: &[&str]) -> String {
    stack.cli(&[&["logs"], args].concat()).succeeded().stdout
}

#[test]
fn lines_are_found_by_pattern_level_and_field() {
    let stack = stack();
    assert_eq!(shown(&stack, &["a", "--level", "error"]), "ERROR it broke\n");
    assert_eq!(shown(&stack, &["a", "--level", "warn", "-n", "1"]), "ERROR it broke\n");
    assert_eq!(shown(&stack, &["a", "--field", "user.id=42"]), "level=warn user.id=42 msg=\"slow down\"\n");
    assert!(shown(&stack, &["a", "--field", "user.id=41", "--field", "level=info"]).contains("hello"));
    assert_eq!(shown(&stack, &["--grep", "^(first|ERROR)"]).lines().count(), 2);
    assert_eq!(shown(&stack, &["a", "--since", "10m", "--grep", "nothing like it"]), "");
    let wrong = stack.cli(&["logs", "a", "--grep", "a(b"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("`a(b` is no regular expression: unclosed group"), "{}", wrong.stderr);
    for args in [["--level", "loud"], ["--field", "x"], ["--since", "yesterday"]] {
        assert_eq!(stack.cli(&[&["logs", "a"], args.as_slice()].concat()).code, 2, "{args:?}");
    }
}

#[test]
fn several_logs_are_one_by_time_and_each_line_tells_where_it_belongs() {
    let stack = stack();
    let told = shown(&stack, &["--json", "--since", "10m"]);
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let texts: Vec<&str> = lines.iter().filter_map(|line| line["line"].as_str()).collect();
    let place = |text: &str| texts.iter().position(|line| *line == text);
    assert!(texts.len() == 5 && place("first") < place("last"), "{texts:?}");
    let times: Vec<&str> = lines.iter().filter_map(|line| line["time"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let first = lines.iter().find(|line| line["line"] == "first").expect("it is there");
    assert_eq!((&first["service"], &first["generation"], &first["seq"]), (&"b".into(), &1.into(), &0.into()));
    assert_eq!(first["stream"], "merged");
    stack.cli(&["restart", "b"]).succeeded();
    eventually("the second generation to speak", || {
        (shown(&stack, &["b", "--generation", "2"]) == "first\nlast\n").then_some(())
    });
    assert_eq!(shown(&stack, &["b", "--generation", "1"]), "first\nlast\n");
}

#[test]
fn the_api_finds_the_same_lines() {
    let stack = stack();
    let get = |query: &str| stack.get(&format!("/api/v1/services/a/logs?{query}"));
    assert_eq!(get("level=error").text(), "ERROR it broke\n");
    let json = get("json=true&grep=slow").text();
    let line: Value = serde_json::from_str(&json).expect("one line of JSON");
    assert_eq!((&line["service"], &line["generation"]), (&"a".into(), &1.into()));
    assert_eq!(get("since=10m&field=user.id=41").text().lines().count(), 1);
    assert_eq!(get("field=user.id=41&field=level=info&tail=5").text().lines().count(), 1);
    assert_eq!(get("field=user.id=41&field=level=warn").text(), "");
    for wrong in
        ["grep=a(b", "level=loud", "since=yesterday", "field=x", "field=a=1&field=x", "generation=-1", "tail=1&tail=2"]
    {
        assert_eq!(get(wrong).status, 400, "{wrong}");
    }
}

#[test]
fn a_follower_gets_only_what_it_wants_from_several_logs_across_rotations() {
    let stack = Setup::of(
        "[services.a]\ncommand = './puppet seq --rate 2000 --count 6000'\n[services.b]\ncommand = './puppet wait'",
    )
    .logs("max_size = '4KiB'\nkeep = 0\ncompress = 'none'")
    .start();
    let (mut follower, out, _) = stack.spawn(&["logs", "-f", "--since", "10m", "--grep", "00$"], Stdio::null());
    let wanted: Vec<String> = (1..=60).map(|number| format!("a | {number}00")).collect();
    let found = eventually("all that matches", || {
        let text = std::fs::read_to_string(&out).ok()?;
        text.ends_with("6000\n").then(|| text.lines().map(str::to_owned).collect::<Vec<_>>())
    });
    assert_eq!(found, wanted);
    follower.kill().expect("it runs");
    follower.wait().expect("it ends");
}

#[test]
fn following_ends_when_the_last_moment_that_is_wanted_has_passed() {
    let stack = stack();
    assert_eq!(shown(&stack, &["-f", "b", "--until", "2001-01-01T00:00:00Z"]), "");
    let now = || UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let end = now() + 2;
    let date = Command::new("date").args(["-u", "-d", &format!("@{end}"), "+%FT%TZ"]).output().expect("it runs");
    let until = String::from_utf8(date.stdout).expect("a time");
    assert_eq!(shown(&stack, &["-f", "b", "--until", until.trim()]), "first\nlast\n");
    assert!(now() >= end, "it ended too soon");
}

#[test]
fn who_follows_the_bytes_of_a_log_is_told_that_an_archive_is_damaged() {
    let stack = stack();
    std::fs::write(stack.path("logs/b.log.1.gz"), "no archive").expect("ours");
    let (mut follower, out, told) = stack.spawn(&["logs", "-f", "--raw", "b"], Stdio::null());
    eventually("its lines", || std::fs::read_to_string(&out).ok()?.ends_with("first\nlast\n").then_some(()));
    eventually("what is wrong", || {
        std::fs::read_to_string(&told).ok()?.contains("error: failed to read").then_some(())
    });
    follower.kill().expect("it runs");
    follower.wait().expect("it ends");
    assert_eq!(std::fs::read_to_string(&told).expect("there").lines().count(), 1);
}
