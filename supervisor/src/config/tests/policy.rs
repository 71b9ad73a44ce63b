//! `restart`, `stop`, `ready`, `live`, `rollout`.
//! Not here: other keys of a service.

use std::time::Duration;

use supervisor_core::{Check, CheckId, Liveness, Policy, Readiness, RestartPolicy, StopPolicy};

use super::*;

#[test]
fn restarts_are_as_the_documentation_says() {
    let default = RestartPolicy {
        policy: Policy::Always,
        delay: 500,
        factor: 2.0,
        max_delay: 30_000,
        jitter: 0.5,
        reset_after: 30_000,
        crash_loop: 5,
        max_restarts: 0,
        success_exit_codes: vec![0],
    };
    assert_eq!(service("").spec.restart, default);
    let keys = "restart = { policy = \"on-failure\", delay = 0, factor = 1, max_delay = \"1m30s\", jitter = \"0.25\", reset_after = \"200ms\", crash_loop = 0, max_restarts = 3, success_exit_codes = [0, 3] }";
    let said = RestartPolicy {
        policy: Policy::OnFailure,
        delay: 0,
        factor: 1.0,
        max_delay: 90_000,
        jitter: 0.25,
        reset_after: 200,
        crash_loop: 0,
        max_restarts: 3,
        success_exit_codes: vec![0, 3],
    };
    assert_eq!(service(keys).spec.restart, said);
}

#[test]
fn restarts_out_of_bounds_are_refused() {
    for (keys, problem) in [
        ("restart = \"always\"", "expected a table, found string"),
        ("restart.policy = \"never\"", "`never` is not `always`, `on-failure` or `no`"),
        ("restart.delay = 10", "expected a duration like `10s`, found integer"),
        (
            "restart.delay = \"10\"",
            "`10` is not a duration like `10s`: its units must be among `ms`, `s`, `m`, `h` and `d`",
        ),
        ("restart.delay = \"31s\"", "`delay` (31000ms) is longer than `max_delay` (30000ms)"),
        ("restart.factor = 0.5", "`0.5` is not a number from 1 to 1000"),
        ("restart.factor = nan", "`NaN` is not a number from 1 to 1000"),
        ("restart.jitter = 2", "`2` is not a number from 0 to 1"),
        ("restart.reset_after = 0", "`0` is not a duration like `10s`: it must be at least `1ms`"),
        ("restart.crash_loop = -1", "`-1` is not an integer from 0 to 4294967295"),
        ("restart.success_exit_codes = [256]", "`256` is not an integer from 0 to 255"),
    ] {
        assert_eq!(service_problems(keys), [problem], "{keys}");
    }
}

#[test]
fn stopping_names_a_signal_without_sig() {
    assert_eq!(service("").spec.stop, StopPolicy { signal: 15, timeout: 10_000 });
    let stop = service("stop = { signal = \"INT\", timeout = \"0\" }").spec.stop;
    assert_eq!(stop, StopPolicy { signal: 2, timeout: 0 });
    for (name, help) in [
        ("SIGTERM", "write `TERM`"),
        ("term", "write `TERM`"),
        ("TREM", "write `TERM`"),
        ("", "write it without `SIG`, like `TERM`"),
        ("15", "write it without `SIG`, like `TERM`"),
    ] {
        assert_eq!(service_problems(&format!("stop.signal = \"{name}\"")), [format!("`{name}` is no signal ({help})")]);
    }
}

#[test]
fn nothing_said_is_ready_at_once_and_never_checked() {
    let spec = service("").spec;
    assert_eq!(
        spec.ready,
        Readiness { signs: BTreeMap::new(), delay: None, checks: vec![], interval: 100, deadline: 60_000 }
    );
    assert_eq!(spec.live, None);
    assert_eq!(service("live.interval = \"1s\"").spec.live, None);
}

#[test]
fn checks_are_numbered_readiness_first() {
    let keys = "port = 80
        ready = { notify = true, http = \"/r\", tcp = true, command = \"/opt/true x\", delay = \"1s\", interval = \"50ms\", timeout = \"3s\", deadline = 0 }
        live = { http = { path = \"/l?x=1\", status = [200, 204], headers = { X-Probe = \"1\" }, host = \"h\" }, tcp = false, interval = \"1s\", failures = 2, watchdog = \"5s\" }";
    let service = service(keys);
    let check = |id, title: &str| Check { id: CheckId(id), title: title.to_owned() };
    let checks = vec![check(0, "http /r"), check(1, "tcp 80"), check(2, "command true")];
    let signs = BTreeMap::from([(Sign::Notify, "no READY=1".to_owned())]);
    let ready = Readiness { signs, delay: Some(1000), checks, interval: 50, deadline: 0 };
    assert_eq!(service.spec.ready, ready);
    let live = Liveness { checks: vec![check(3, "http /l")], interval: 1000, failures: 2, watchdog: Some(5000) };
    assert_eq!(service.spec.live, Some(live));
    let probes = &service.launch.probes;
    assert_eq!(probes.len(), 4);
    assert_eq!(probes[&CheckId(1)], Probe { how: ProbeHow::Tcp, timeout: Duration::from_secs(3) });
    let how = ProbeHow::Http {
        path: "/l?x=1".to_owned(),
        status: vec![200, 204],
        headers: BTreeMap::from([("X-Probe".to_owned(), "1".to_owned())]),
        host: Some("h".to_owned()),
        tls: None,
    };
    assert_eq!(probes[&CheckId(3)], Probe { how, timeout: Duration::from_secs(2) });
    assert!(service.launch.notify);
    assert_eq!(service.launch.watchdog, Some(Duration::from_secs(5)));
}

#[test]
fn a_check_over_tls_asks_for_its_host_or_for_this_machine() {
    for (more, asked) in [
        ("", "localhost"),
        (", host = 'a.test:8443'", "a.test"),
        (", host = '127.0.0.2'", "127.0.0.2"),
        (", host = '[::1]:1'", "::1"),
    ] {
        let service = service(&format!("port = 80\nready.http = {{ path = '/x', tls = true{more} }}"));
        assert_eq!(service.spec.ready.checks[0].title, "https /x");
        let ProbeHow::Http { tls, .. } = &service.launch.probes[&CheckId(0)].how else { panic!("not http") };
        assert_eq!(tls.as_ref().map(|name| name.to_str().into_owned()).as_deref(), Some(asked));
    }
    let clear = service("port = 80\nready.http = { path = '/x', tls = false, host = 'a_b!' }");
    assert_eq!(clear.spec.ready.checks[0].title, "http /x");
}

#[test]
fn what_a_service_says_by_itself_is_named_when_it_is_missing() {
    let service = service("ready = { log = 'listening on \\d+$', fd = 3 }");
    let missing: Vec<&str> = service.spec.ready.signs.values().map(String::as_str).collect();
    assert_eq!(missing, [r"no line of its output matches `listening on \d+$`", "no newline on descriptor 3"]);
    assert_eq!((service.launch.ready_line.as_deref(), service.launch.ready_fd), (Some(r"listening on \d+$"), Some(3)));
    assert!(!service.launch.notify);
    assert!(self::service("ready.log = ''").spec.ready.signs.is_empty());
}

#[test]
fn a_pattern_that_holds_a_variable_is_not_shown() {
    let service = service("port = 80\nready.log = 'port ${port}'");
    assert_eq!(service.launch.ready_line.as_deref(), Some("port 80"));
    assert_eq!(service.spec.ready.signs[&Sign::Line], "no line of its output matches `ready.log`");
}

#[test]
fn a_check_of_the_defaults_can_be_switched_off() {
    let text = "[defaults]\nready = { notify = true, http = \"/h\", command = \"x\" }\nlive = { http = \"/h\", watchdog = \"1s\" }\n[services.a]\ncommand = \"a\"\nready = { notify = false, http = \"\", command = [] }\nlive = { http = \"\", watchdog = 0 }";
    let service = stack(text).services.remove(0);
    assert!(!service.launch.notify && service.launch.probes.is_empty());
    assert_eq!(service.spec.live, None);
}

#[test]
fn a_oneshot_takes_no_checks_from_the_defaults() {
    let text = "[defaults]\nready.notify = true\nlive.http = \"/h\"\n[services.a]\ncommand = \"a\"\ntype = \"oneshot\"";
    let service = stack(text).services.remove(0);
    assert!(service.spec.ready.signs.is_empty() && service.spec.live.is_none() && service.launch.probes.is_empty());
}

#[test]
fn checks_that_cannot_work_are_refused() {
    let no_port = "an http check has no port to ask (give the service a `port`, or let it inherit a probe socket with `rollout.handoff = \"socket\"`)";
    let held = "a tcp check cannot be used with `handoff = \"socket\"` (the supervisor holds the port, so it accepts with nobody behind it; use `notify` or `http`)";
    for (keys, problem) in [
        ("live.http = \"/\"", no_port),
        ("ready.tcp = true", "a tcp check has no port to ask (give the service a `port`)"),
        ("port = 70000\nready.tcp = true\nlive.http = \"/\"", "`70000` is not an integer from 1 to 65535"),
        ("port = 80\nrollout.handoff = \"socket\"\nlive.tcp = true", held),
        ("port = 80\nlive.http = \"health\"", "a path begins with `/` and has no blanks"),
        ("port = 80\nlive.http = \"/a b\"", "a path begins with `/` and has no blanks"),
        ("port = 80\nlive.http = \"/\\r\\nX: y\"", "a path begins with `/` and has no blanks"),
        ("port = 80\nlive.http = { status = [200] }", "`path` is missing"),
        ("port = 80\nlive.http = { path = \"/\", status = [] }", "no answer would pass"),
        ("port = 80\nlive.http = { path = \"/\", status = [20] }", "`20` is not an integer from 100 to 599"),
        ("port = 80\nlive.http = { path = \"/\", headers = { \"a b\" = \"c\" } }", "`a b` is no name of a header"),
        (
            "port = 80\nlive.http = { path = \"/\", headers = { a = \"b\\r\\nc: d\" } }",
            "a control character in a header",
        ),
        ("port = 80\nlive.http = { path = \"/\", host = \"a b\" }", "this is no name of a host"),
        ("port = 80\nlive.http = { path = '/', tls = true, host = 'a!b' }", "this is no name that TLS can ask for"),
        ("port = 80\nlive.http = \"/${generation}\"", "`${generation}` can stand only in `env` and in commands"),
        ("live = { command = \"x\", failures = 0 }", "`0` is not an integer from 1 to 1000000"),
        ("live = { command = \"x\", interval = 0 }", "`0` is not a duration like `10s`: it must be at least `10ms`"),
        ("live.watchdog = \"1ms\"", "a watchdog needs at least `100ms`"),
        ("ready.log = '('", "`(` is not a regular expression: unclosed group"),
        (
            "ready.log = '(?=x)'",
            "`(?=x)` is not a regular expression: look-around, including look-ahead and look-behind, is not supported",
        ),
        ("ready.log = '${generation}'", "`${generation}` can stand only in `env` and in commands"),
        ("ready.log = 7", "expected a regular expression, found integer"),
        ("ready.fd = 2", "`2` is not an integer from 3 to 255"),
        (
            "port = 80\nports.x = 81\nrollout.handoff = \"socket\"\nlive.http = \"/\"\nready.fd = 5",
            "descriptor 5 is a socket that it inherits (take one from 6 on)",
        ),
    ] {
        assert_eq!(service_problems(keys), [problem], "{keys}");
    }
    assert_eq!(service("rollout.handoff = \"socket\"\nlive.http = \"/\"").launch.probes.len(), 1);
    assert_eq!(service("port = 80\nrollout.handoff = \"socket\"\nready.fd = 4").launch.ready_fd, Some(4));
    let huge = service_problems("ready.log = '(\\w{200}){200}'").remove(0);
    assert!(huge.contains("exceeds size limit"), "{huge}");
}

#[test]
fn handoff_is_socket_or_own() {
    assert_eq!(service("rollout = { handoff = \"auto\", drain_signal = \"\" }").launch.handoff, Handoff::Own);
    assert_eq!(service("rollout = { handoff = \"socket\", drain_signal = \"USR2\" }").launch.handoff, Handoff::Socket);
    assert_eq!(
        service_problems("rollout.handoff = \"proxy\""),
        ["`proxy` is not available in this version (use `socket` or `own`)"]
    );
    assert_eq!(service_problems("rollout.handoff = \"magic\""), ["`magic` is not `socket`, `own` or `auto`"]);
    assert_eq!(service_problems("rollout.drain_signal = \"USR3\"").len(), 1);
}

#[test]
fn two_generations_may_overlap_only_on_a_held_port() {
    let rollout = |keys: &str| service(keys).spec.rollout;
    let held =
        "rollout = { handoff = \"socket\", drain_signal = \"USR2\", bake = \"1s\", warm = \"2s\", drain = \"3s\" }";
    let expected = supervisor_core::RolloutPolicy {
        overlap: true,
        drain_signal: Some(nix::libc::SIGUSR2),
        bake: 1000,
        warm: 2000,
        drain: 3000,
    };
    assert_eq!(rollout(held), expected);
    assert!(!rollout("").overlap && !rollout("rollout.overlap = true").overlap, "nothing is held");
    assert!(!rollout("rollout = { handoff = \"socket\", overlap = false }").overlap);
    assert!(!rollout("type = \"oneshot\"\nrollout.handoff = \"socket\"").overlap);
    let defaults = rollout("");
    assert_eq!((defaults.bake, defaults.warm, defaults.drain), (2000, 30_000, 30_000));
    let long_lived = service("rollout.long_lived = { spread = \"9s\" }").launch.long_lived;
    assert_eq!((long_lived.close_after.as_secs(), long_lived.spread.as_secs()), (5, 9));
}
