//! What differs between two configurations, and what that asks for.
//! Not here: what is done about it.

use super::*;

const COMMAND: &str = "[services.a]\ncommand = [\"/bin/a\"]\n";

/// `key: effect` for each difference between two files.
#[track_caller]
fn between(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (stack(&format!("{COMMAND}{old}")), stack(&format!("{COMMAND}{new}")));
    said(&service_changes(&old.services[0], &new.services[0]))
}

fn said(changes: &[Changed]) -> Vec<String> {
    let effect = |effect| match effect {
        Effect::Live => "live",
        Effect::Restart => "restart",
        Effect::NextStart => "next start",
    };
    changes.iter().map(|changed| format!("{}: {}", changed.key, effect(changed.effect))).collect()
}

#[test]
fn comments_order_and_other_words_for_the_same_are_no_change() {
    let one = "env = { A = '1', B = '2' }\nport = 80\n[services.a.stop]\ntimeout = '1s'\n";
    let other = "# a comment\nstop.timeout = \"1000ms\"\nport = \"80\"\nenv.B = '2'\nenv.A = \"1\"\n";
    assert_eq!(between(one, other), [""; 0]);
}

#[test]
fn what_a_process_gets_at_its_start_needs_another_process() {
    for (old, new, key) in [
        ("", "env.A = '1'", "env.A"),
        ("env.A = '1'", "env.A = '2'", "env.A"),
        ("env.A = '1'", "", "env.A"),
        ("", "secrets.S = { env = 'X' }", "secrets.S"),
        ("", "inherit_env = '*'", "inherit_env"),
        ("", "cwd = '/'", "cwd"),
        ("", "user = 'u'", "user"),
        ("", "group = 'g'", "group"),
        ("", "umask = '077'", "umask"),
        ("", "port = 80", "port"),
        ("", "bind = '::1'", "bind"),
        ("", "ports.x = 81", "ports.x"),
        ("", "limits.nofile = 5000", "limits.nofile"),
        ("", "rollout.long_lived.close_after = '1s'", "rollout.long_lived.close_after"),
        ("", "rollout.long_lived.spread = '1s'", "rollout.long_lived.spread"),
        ("", "ready.notify = true", "ready.notify"),
        ("", "ready.fd = 3", "ready.fd"),
        ("ready.fd = 3", "ready.fd = 4", "ready.fd"),
        ("", "live.watchdog = '1s'", "live.watchdog"),
        ("", "log.streams = 'split'", "log.streams"),
        ("", "type = 'oneshot'", "type"),
    ] {
        assert_eq!(between(old, new), [format!("{key}: restart")], "{old} -> {new}");
    }
    let handed_over = ["rollout.overlap: live", "rollout.handoff: restart"];
    assert_eq!(between("", "rollout.handoff = 'socket'"), handed_over);
    let (old, new) = (stack(COMMAND), stack("[services.a]\ncommand = '/bin/a -v'"));
    assert_eq!(said(&service_changes(&old.services[0], &new.services[0])), ["command: restart"]);
}

#[test]
fn what_only_we_go_by_counts_at_once() {
    for (new, key) in [
        ("limits.memory = '64MiB'", "limits.memory"),
        ("limits.memory_soft = '64MiB'", "limits.memory_soft"),
        ("limits.pids = 10", "limits.pids"),
        ("autostart = false", "autostart"),
        ("critical = false", "critical"),
        ("restart.policy = 'no'", "restart.policy"),
        ("restart.delay = '1s'", "restart.delay"),
        ("restart.factor = 3", "restart.factor"),
        ("restart.max_delay = '1m'", "restart.max_delay"),
        ("restart.jitter = 0.1", "restart.jitter"),
        ("restart.reset_after = '1m'", "restart.reset_after"),
        ("restart.crash_loop = 9", "restart.crash_loop"),
        ("restart.max_restarts = 9", "restart.max_restarts"),
        ("restart.success_exit_codes = [1]", "restart.success_exit_codes"),
        ("stop.signal = 'INT'", "stop.signal"),
        ("stop.timeout = '1s'", "stop.timeout"),
        ("ready.delay = '1s'", "ready.delay"),
        ("ready.interval = '1s'", "ready.interval"),
        ("ready.deadline = '1s'", "ready.deadline"),
        ("ready.command = ['x']", "ready.command"),
        ("ready.log = 'x'", "ready.log"),
        ("live.command = ['x']", "live.command"),
        ("rollout.drain_signal = 'USR2'", "rollout.drain_signal"),
        ("rollout.bake = '1s'", "rollout.bake"),
        ("rollout.warm = '1s'", "rollout.warm"),
        ("rollout.drain = '1s'", "rollout.drain"),
        ("log.max_size = '1KiB'", "log.max_size"),
        ("log.keep = 1", "log.keep"),
        ("log.compress = 'none'", "log.compress"),
        ("log.max_age = '7h'", "log.max_age"),
        ("log.on_full = 'block'", "log.on_full"),
    ] {
        assert_eq!(between("", new), [format!("{key}: live")], "{new}");
    }
    assert_eq!(between("", "log.dir = 'elsewhere'"), ["log.dir: next start"]);
}

#[test]
fn an_http_check_counts_at_once_unless_its_socket_is_missing() {
    let at_port = |path: &str| format!("port = 80\nready.http = '{path}'\n");
    assert_eq!(between("port = 80", &at_port("/x")), ["ready.http: live"]);
    assert_eq!(between(&at_port("/x"), &at_port("/y")), ["ready.http: live"]);
    let held = "port = 80\nrollout.handoff = 'socket'\n";
    assert_eq!(between(held, &format!("{held}ready.http = '/x'")), ["ready.http: restart"]);
    let checked = format!("{held}ready.http = '/x'\n");
    assert_eq!(between(&checked, &format!("{checked}live.http = '/x'")), ["live.http: live"]);
    assert_eq!(between(&checked, held), ["ready.http: live"]);
    assert_eq!(between(&checked, &format!("{checked}ready.timeout = '1s'")), ["ready.timeout: live"]);
}

#[test]
fn the_content_of_env_files_and_secret_files_counts_but_not_that_one_cannot_be_read() {
    let text = format!("{COMMAND}env_file = ['e']\nsecrets.S = {{ file = 's' }}");
    let with = |env: &str, secret: Option<&str>| {
        let files = [Some(("/stack/e", env)), secret.map(|secret| ("/stack/s", secret))];
        let files: Vec<(&str, &str)> = files.into_iter().flatten().collect();
        load_with(&text, &files, &[]).unwrap_or_else(|error| panic!("{error}")).services.remove(0)
    };
    let before = with("A=1\nB=2", Some("hush"));
    let changed = |after: &Service| said(&service_changes(&before, after));
    assert_eq!(changed(&with("B=2\n# c\nA=1", Some("hush"))), [""; 0]);
    assert_eq!(changed(&with("A=1\nB=3", Some("hush"))), ["env.B: restart"]);
    assert_eq!(changed(&with("A=1\nB=2", Some("hush!"))), ["secrets.S: restart"]);
    assert_eq!(changed(&with("A=1\nB=2", None)), [""; 0]);
}

#[test]
fn what_only_another_start_can_change_is_told_so() {
    let old = stack("");
    let of = |text: &str| said(&supervisor_changes(&old, &stack(text)));
    assert_eq!(of("logs.dir = 'l'"), ["logs.dir: next start"]);
    assert_eq!(of("logs.total = '1MiB'"), ["logs.total: live"]);
    assert_eq!(of("logs.min_free = 0"), ["logs.min_free: live"]);
    assert_eq!(of("supervisor.runtime_dir = 'r'"), ["supervisor.runtime_dir: next start"]);
    assert_eq!(of("supervisor.auto_reload = false"), ["supervisor.auto_reload: live"]);
    assert_eq!(of("supervisor.shutdown_timeout = '1s'"), ["supervisor.shutdown_timeout: live"]);
    assert_eq!(of("supervisor.max_parallel_starts = 1"), ["supervisor.max_parallel_starts: live"]);
    assert_eq!(of("http.listen = 'off'"), ["http.listen: live"]);
    assert_eq!(of("http.open = []"), ["http.open: live"]);
    assert_eq!(of("http.allowed_hosts = ['h']"), ["http.allowed_hosts: live"]);
}
