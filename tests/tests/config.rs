//! What the file may say, how it is refused, and what `check` tells of it.
//! Not here: every key and every edge of the grammar; the config module's own tests show those.

use std::time::{Duration, Instant};

use e2e::{Done, Setup, Stack, free_port, is_root, skip};

/// Starting with this must fail, and do nothing else.
#[track_caller]
fn refused(services: &str) -> (Stack, Done) {
    let mut stack = Setup::of(services).prepare();
    let done = stack.cli(&["start"]).ended_with(2);
    stack.assert_nothing_left();
    let check = stack.cli(&["check"]).ended_with(2);
    assert!(!check.stderr.is_empty() || !check.stdout.is_empty());
    (stack, done)
}

#[test]
fn a_mistyped_key_is_refused_with_its_place_and_the_nearest_one() {
    let (_, done) = refused("[services.t]\ncommand = './puppet wait'\ncritcal = true");
    assert!(done.stderr.contains("supervisor.toml:"), "{}", done.stderr);
    assert!(done.stderr.contains("critcal") && done.stderr.contains("critical"), "{}", done.stderr);
}

#[test]
fn broken_toml_is_refused_with_its_place() {
    let (_, done) = refused("[services.t\ncommand = 'x'");
    assert!(done.stderr.contains("supervisor.toml:"), "{}", done.stderr);
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    let (_, done) = refused("[services.t]\ncommand = './puppet wait'\nport = 'eighty'");
    assert!(done.stderr.contains("port"), "{}", done.stderr);
}

#[test]
fn a_circle_of_dependencies_is_refused_and_drawn() {
    let (_, done) = refused(
        "[services.a]\ncommand = 'x'\ndepends_on = ['b']\n[services.b]\ncommand = 'x'\ndepends_on = ['c']\n\
         [services.c]\ncommand = 'x'\ndepends_on = ['a']",
    );
    assert!(done.stderr.contains("a -> b -> c -> a"), "{}", done.stderr);
}

#[test]
fn a_dependency_on_nothing_is_refused() {
    let (_, done) = refused("[services.a]\ncommand = 'x'\ndepends_on = ['ghost']");
    assert!(done.stderr.contains("ghost"), "{}", done.stderr);
}

#[test]
fn names_that_are_none_are_refused() {
    for name in ["../x", "a/b", "-rf", ".x", "A", "a b", "a\\nb", "%2e%2e", "\\u202eabc", &"x".repeat(64)] {
        let stack = Setup::of(&format!("[services.\"{name}\"]\ncommand = 'x'")).prepare();
        let done = stack.cli(&["check"]);
        assert_eq!(done.code, 2, "{name}: {}{}", done.stdout, done.stderr);
        assert!(!done.stderr.contains('\u{202e}'), "shown as it is");
    }
}

#[test]
fn a_check_of_a_held_listener_by_tcp_is_refused_as_it_would_always_pass() {
    let (_, done) = refused(&format!(
        "[services.t]\ncommand = './puppet wait'\nport = {}\nrollout = {{ handoff = 'socket' }}\nready = {{ tcp = true }}",
        free_port()
    ));
    assert!(done.stderr.contains("tcp"), "{}", done.stderr);
}

#[test]
fn listening_to_the_network_must_be_meant() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").http("listen = '0.0.0.0:0'").prepare();
    let done = stack.cli(&["start"]).ended_with(2);
    assert!(done.stderr.contains("expose"), "{}", done.stderr);
}

#[test]
fn a_good_file_is_checked_without_starting_anything() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet stamp started'").prepare();
    let done = stack.cli(&["check"]).succeeded();
    assert!(done.stdout.contains('t'), "{}", done.stdout);
    assert!(!stack.path("started").exists());
    stack.assert_nothing_left();
}

#[test]
fn logs_that_their_disk_cannot_hold_are_doubted() {
    for (logs, doubt) in [
        ("total = '1024TiB'", Some("warning: `[logs] total` is 1024.0T, and the disk of ")),
        (
            "total = '0'\nmax_size = '1024TiB'\nkeep = 1",
            Some("warning: t: `log`: `max_size`, kept `keep` times, is 2048.0T"),
        ),
        ("total = '1MiB'\nmax_size = '1024TiB'", None),
        ("total = '0'\nmax_size = '0'", None),
    ] {
        let stack = Setup::of("[services.t]\ncommand = './puppet wait'").logs(logs).prepare();
        let told = stack.cli(&["check"]).succeeded().stderr;
        let doubts: Vec<&str> = told.lines().filter(|line| line.contains("less is kept")).collect();
        assert_eq!(doubts.len(), usize::from(doubt.is_some()), "{told}");
        assert!(doubts.iter().all(|line| doubt.is_some_and(|doubt| line.starts_with(doubt))), "{told}");
    }
}

#[test]
fn the_file_is_found_from_below_and_paths_are_relative_to_it() {
    let stack = Setup::of("[services.t]\ncommand = './puppet stamp here'").prepare();
    std::fs::create_dir_all(stack.path("deep/er")).expect("ours");
    let config = stack.path("supervisor.toml").display().to_string();
    stack.cli(&["--config", &config, "start"]).succeeded();
    e2e::eventually("the stamp beside the file", || stack.path("here").exists().then_some(()));
    let below = std::process::Command::new(e2e::supervisor())
        .args(["status", "--json"])
        .current_dir(stack.path("deep/er"))
        .env("HOME", stack.root())
        .output()
        .expect("it runs");
    assert!(below.status.success(), "{}", String::from_utf8_lossy(&below.stderr));
}

#[test]
fn variables_are_expanded_with_their_defaults_and_nothing_else_is() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['echo', '${WHO:-nobody}', '${SET}', '$$HOME', '100%', 'generation ${generation}']\ntype = 'oneshot'",
    )
    .env("SET", "a b  c")
    .start();
    let text = stack.wait_log("t", "\n");
    assert_eq!(text, "nobody a b  c $HOME 100% generation 1\n");
}

#[test]
fn env_files_are_read_and_one_with_a_question_mark_may_be_missing() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'echo \"$ONE|$TWO|$THREE\"']\ntype = 'oneshot'\nenv_file = ['one.env', 'absent.env?']\nenv = { TWO = 'own' }",
    )
    .prepare();
    std::fs::write(stack.path("one.env"), "# comment\nONE='1 $X'\nTWO=file\nexport THREE=\"3\"\n").expect("ours");
    stack.cli(&["start"]).succeeded();
    assert_eq!(stack.wait_log("t", "\n"), "1 $X|own|3\n");
}

#[test]
fn secrets_reach_the_service_and_no_output_of_ours() {
    let canary = "c4n4ry-of-this-test";
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'test \"$A$B$C\" = \"$WANT\" && echo all there; exec ./puppet wait']\n\
         env = { WANT = 'c4n4ry-of-this-testc4n4ry-of-this-testc4n4ry-of-this-test' }\n\
         secrets = { A = { file = 'secret' }, B = { command = ['cat', 'secret'] }, C = { env = 'OUTER' } }",
    )
    .env("OUTER", canary)
    .http("listen = '127.0.0.1:0'")
    .prepare();
    std::fs::write(stack.path("secret"), format!("{canary}\n")).expect("ours");
    std::fs::set_permissions(stack.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    stack.cli(&["start"]).succeeded();
    stack.wait_log("t", "all there");
    let mut seen = Vec::new();
    for path in
        ["/status", "/api/v1/status", "/api/v1/services", "/api/v1/services/t", "/health", "/api/v1/services/t/logs"]
    {
        seen.push((path.to_owned(), stack.get(path).text()));
    }
    for words in [&["status"][..], &["status", "--json"], &["why", "t"], &["check"]] {
        let done = stack.cli(words);
        seen.push((words.join(" "), done.stdout + &done.stderr));
    }
    let own = std::fs::read(stack.path("logs/supervisor.log")).unwrap_or_default();
    seen.push(("supervisor.log".to_owned(), String::from_utf8_lossy(&own).into_owned()));
    for (from, text) in seen {
        assert!(!text.contains(canary), "{from} shows it: {text}");
    }
}

#[test]
fn a_port_held_by_another_fails_its_service_only_names_the_holder_and_is_taken_when_free() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = holder.local_addr().expect("bound").port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --inherited'\nport = {port}\nrollout = {{ handoff = 'socket' }}\n\
         [services.well]\ncommand = './puppet wait'"
    ))
    .prepare();
    let done = stack.cli(&["start"]).ended_with(1);
    let me = std::process::id().to_string();
    assert!((done.stdout + &done.stderr).contains(&format!("port {port} is held by pid {me}")));
    assert_eq!(stack.service("well").state(), "running");
    assert_eq!(stack.service("t").state(), "failed");
    // While it runs, too; what its own services are on is as it should be.
    let named = format!("port {port} is held by pid {me}");
    assert!(stack.cli(&["check"]).ended_with(1).stdout.contains(&named));
    drop(holder);
    stack.wait_for("t", "running");
    stack.cli(&["check"]).succeeded();
}

#[test]
fn a_thousand_services_are_read_in_time() {
    let services: String = (0..1000)
        .map(|number| {
            let on = if number % 10 == 0 { String::new() } else { format!("depends_on = ['s{}']\n", number - 1) };
            format!("[services.s{number}]\ncommand = ['./puppet', 'wait']\nenv = {{ A = 'x', B = '${{HOME}}' }}\nautostart = false\n{on}")
        })
        .collect();
    let stack = Setup::of(&services).prepare();
    let began = Instant::now();
    stack.cli(&["check"]).succeeded();
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
}

#[test]
fn a_value_of_a_megabyte_is_read_or_refused_cleanly() {
    let stack =
        Setup::of(&format!("[services.t]\ncommand = './puppet wait'\nenv = {{ A = '{}' }}", "x".repeat(1 << 20)))
            .prepare();
    let done = stack.cli(&["check"]);
    assert!(done.code == 0 || done.code == 2, "{}: {}", done.code, done.stderr);
}

#[test]
fn root_refuses_a_file_that_others_may_write() {
    let name = "root_refuses_a_file_that_others_may_write";
    if !is_root() {
        return skip(name, "only root is so careful");
    }
    use std::os::unix::fs::PermissionsExt;
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    let set = |path: std::path::PathBuf, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
    };
    set(stack.path("supervisor.toml"), 0o666);
    let done = stack.cli(&["start"]);
    assert_ne!(done.code, 0, "started from a file that anyone may write");
    assert!(done.stderr.contains("supervisor.toml"), "{}", done.stderr);
    set(stack.path("supervisor.toml"), 0o644);
    set(stack.root().to_owned(), 0o777);
    assert_ne!(stack.cli(&["start"]).code, 0, "started from a directory that anyone may write");
    set(stack.root().to_owned(), 0o700);
    stack.cli(&["start"]).succeeded();
    stack.stop();
}

#[test]
fn a_runtime_directory_that_is_not_ours_is_refused_and_left_alone() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    std::fs::create_dir(stack.path("elsewhere")).expect("ours");
    std::os::unix::fs::symlink(stack.path("elsewhere"), stack.path("run")).expect("ours");
    assert_ne!(stack.cli(&["start"]).code, 0);
    assert_eq!(std::fs::read_dir(stack.path("elsewhere")).expect("there").count(), 0);
}

#[test]
fn a_token_that_others_may_read_is_not_used() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    use std::os::unix::fs::PermissionsExt;
    let token = stack.path("run/token");
    let meta = std::fs::metadata(&token).expect("it was made");
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    stack.stop();
    std::fs::write(&token, "a".repeat(64)).expect("ours");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).expect("ours");
    let done = stack.cli(&["start"]);
    assert_ne!(done.code, 0, "started with a token that anyone may read");
    assert!(done.stderr.contains("token"), "{}", done.stderr);
}
