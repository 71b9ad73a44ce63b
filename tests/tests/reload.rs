//! A changed configuration is put in force: just what differs, whatever services are about, or nothing at all.
//! Not here: how a change is noticed (`reload_watch`).

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::{Done, Setup, Signal, Stack, User, eventually, free_port, send, variable};

/// Reloads happen when they are asked for.
fn by_hand(services: &str) -> Setup {
    Setup::of(services).supervisor("auto_reload = false")
}

/// In one step: who reads meanwhile reads all of it.
fn save(stack: &Stack, text: &str) {
    fs::write(stack.path("new.toml"), text).expect("it can be written");
    fs::rename(stack.path("new.toml"), stack.path("supervisor.toml")).expect("it can be renamed");
}

#[track_caller]
fn reloaded(stack: &Stack) -> Done {
    stack.cli(&["reload"]).succeeded()
}

fn revision(stack: &Stack) -> u64 {
    stack.status()["config"]["revision"].as_u64().expect("there is one")
}

const TWO: &str = "[services.a]\ncommand = './puppet wait'\nenv = { LEVEL = 'one' }\n\
                   [services.b]\ncommand = './puppet wait'\n";

#[test]
fn a_comment_or_another_order_restarts_nothing_and_one_variable_one_service() {
    let stack = by_hand(TWO).start();
    let (a, b) = (stack.pid("a"), stack.pid("b"));
    let (head, a_and_b) = stack.text().split_once("[services.a]").map(|(h, t)| (h.to_owned(), t.to_owned())).unwrap();
    let (a_text, b_text) = a_and_b.split_once("[services.b]").unwrap();
    let other = format!("# new\n{head}[services.b]{b_text}# c\n[services.a]{a_text}");
    stack.save(&other);
    let done = reloaded(&stack);
    assert!(done.stderr.contains("nothing was done"), "{}", done.stderr);
    assert_eq!((stack.pid("a"), stack.pid("b"), revision(&stack)), (a, b, 1));

    stack.edit("LEVEL = 'one'", "LEVEL = 'two'");
    let done = reloaded(&stack);
    assert!(done.stdout.contains("env.LEVEL") && !done.stdout.contains("two"), "{}", done.stdout);
    assert_ne!(stack.pid("a"), a);
    assert_eq!((stack.pid("b"), revision(&stack)), (b, 2));
    assert_eq!((stack.service("a").generation(), stack.service("b").generation()), (2, 1));
}

#[test]
fn what_a_dry_run_says_is_what_a_reload_does() {
    let stack = by_hand(TWO).start();
    let pids = (stack.pid("a"), stack.pid("b"));
    stack.edit("LEVEL = 'one'", "LEVEL = 'two'");
    stack.edit("[services.b]", "[services.c]");
    let dry = stack.cli(&["reload", "--dry-run", "--json"]).succeeded();
    let plan: serde_json::Value = serde_json::from_str(&dry.stdout).expect("it is JSON");
    let deeds: Vec<(&str, &str)> = plan["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["deed"].as_str().unwrap()))
        .collect();
    assert_eq!(deeds, [("a", "restart"), ("c", "start"), ("b", "remove")]);
    assert_eq!(plan["result"], "planned");
    assert_eq!((stack.pid("a"), stack.pid("b"), revision(&stack)), (pids.0, pids.1, 1), "nothing was done");

    let done = stack.cli(&["reload", "--json"]).succeeded();
    let report: serde_json::Value = serde_json::from_str(&done.stdout).expect("it is JSON");
    assert_eq!(report["result"], "applied");
    assert_eq!(report["services"][0]["keys"][0]["key"], "env.LEVEL");
    assert_eq!(report["services"][0]["state"], "running");
    stack.wait_for("c", "running");
    eventually("the removed one to be gone", || (stack.get("/api/v1/services/b").status == 404).then_some(()));
    assert_eq!(stack.processes().iter().filter(|one| one.command.contains("puppet wait")).count(), 2);
}

#[test]
fn a_rejected_file_changes_nothing_and_heads_the_status_until_it_is_mended() {
    let stack = by_hand(TWO).start();
    let pids = (stack.pid("a"), stack.pid("b"));
    let good = stack.text();
    let a = "[services.a]\n";
    for (what, bad) in [
        ("a syntax error", good.replace(a, "[services.a\n")),
        ("a wrong type", good.replace(a, "[services.a]\nport = 'x'\n")),
        ("an unknown key", good.replace(a, "[services.a]\ncritcal = true\n")),
        ("a circle", good.replace(a, "[services.a]\ndepends_on = ['a']\n")),
        ("a missing program", good.replace("command = './puppet wait'\nenv", "command = './nothing'\nenv")),
        ("a missing directory", good.replace(a, "[services.a]\ncwd = 'nowhere'\n")),
    ] {
        stack.save(&bad);
        let done = stack.cli(&["reload"]).ended_with(2);
        assert!(done.stderr.contains("supervisor.toml:"), "{what}: {}", done.stderr);
        let status = stack.status();
        let first = &status["config"]["rejected"]["errors"][0];
        assert!(first["line"].as_u64() > Some(1) && first["message"].as_str() > Some(""), "{what}: {first}");
        for command in [&["status"][..], &["why", "a"]] {
            let head = stack.cli(command).succeeded().stderr;
            assert!(head.starts_with("warning: the configuration was rejected"), "{what}: {head}");
            assert!(head.contains(first["message"].as_str().unwrap()), "{what}: {head}");
        }
        assert_eq!((stack.pid("a"), stack.pid("b"), revision(&stack)), (pids.0, pids.1, 1), "{what}");
    }
    stack.save(&good);
    reloaded(&stack);
    assert!(stack.status()["config"]["rejected"].is_null());
    assert_eq!(stack.cli(&["status"]).succeeded().stderr, "");
    assert_eq!((stack.pid("a"), stack.pid("b")), pids);
}

#[test]
fn a_signal_reloads_too() {
    let stack = by_hand(TWO).start();
    stack.edit("LEVEL = 'one'", "LEVEL = 'two'");
    send(stack.keeper(), Signal::SIGHUP);
    eventually("the new configuration", || (revision(&stack) == 2).then_some(()));
    stack.wait_until("a", "running anew", |a| a.state() == "running" && a.generation() == 2);
}

#[test]
fn what_only_the_supervisor_goes_by_restarts_nothing() {
    let stack = by_hand(TWO).start();
    let pids = (stack.pid("a"), stack.pid("b"));
    stack
        .edit("[services.b]", "[services.b]\ncritical = false\nstop = { signal = 'INT' }\nlog = { max_size = '1KiB' }");
    let done = reloaded(&stack);
    assert!(done.stdout.contains("critical, stop.signal, log.max_size"), "{}", done.stdout);
    assert_eq!((stack.pid("a"), stack.pid("b"), revision(&stack)), (pids.0, pids.1, 2));
    assert_eq!(stack.service("b").0["critical"], false);
    stack.cli(&["stop", "b"]).succeeded();
    assert_eq!(stack.service("b").last_exit()["signal"], "INT", "the new signal is used");
}

#[test]
fn services_that_are_down_starting_stopping_or_failing_end_as_the_new_file_says() {
    let services = "[services.down]\ncommand = './puppet wait'\nautostart = false\n\
        [services.starting]\ncommand = './puppet ready-after never'\nready.notify = true\n\
        [services.failing]\ncommand = './puppet exit-code 3'\nrestart = { delay = '1h', max_delay = '1h' }\n\
        [services.stopping]\ncommand = './puppet ignore-term'\nstop.timeout = '2s'\n\
        [services.going]\ncommand = './puppet ignore-term'\nstop.timeout = '1s'\n";
    let stack = by_hand(services).start_no_wait();
    stack.wait_for("starting", "starting");
    stack.wait_for("failing", "backoff");
    stack.wait_for("going", "running");
    stack.wait_log("stopping", "deaf");
    stack.wait_log("going", "deaf");
    stack.post("/api/v1/services/stopping/restart");
    stack.wait_for("stopping", "stopping");
    let file = stack.text();
    let (head, _) = file.split_once("[services.down]").unwrap();
    let new = ["down", "starting", "failing", "stopping"]
        .map(|name| format!("[services.{name}]\ncommand = './puppet wait'\nautostart = false\nenv.NEW = '1'\n"));
    stack.save(&format!("{head}{}", new.concat()));
    reloaded(&stack);
    for name in ["starting", "failing", "stopping"] {
        stack.wait_until(name, "running with what is new", |service| {
            service.state() == "running" && service.0["revision"] == 2
        });
    }
    assert_eq!(stack.service("down").state(), "stopped", "nobody wanted it up");
    assert_eq!(stack.get("/api/v1/services/going").status, 404);
    let left = stack.processes().iter().filter(|one| one.command.contains("puppet")).count();
    assert_eq!(left, 3, "nothing of the old is left");
}

fn the_configuration_in_force_survives_control(user: User) {
    let stack = by_hand(TWO).as_user(user).start();
    stack.edit("LEVEL = 'one'", "LEVEL = 'two'");
    stack.edit("[services.b]", "[services.c]");
    reloaded(&stack);
    let pids = (stack.pid("a"), stack.pid("c"));
    // What is not in force does not count, however often control dies.
    stack.edit("LEVEL = 'two'", "LEVEL = three");
    for _ in 0..3 {
        stack.kill_control();
        stack.wait_for("a", "running");
        stack.wait_for("c", "running");
        assert_eq!((stack.pid("a"), stack.pid("c"), revision(&stack)), (pids.0, pids.1, 2));
        assert_eq!(stack.get("/api/v1/services/b").status, 404);
    }
    stack.edit("LEVEL = three", "LEVEL = 'three'");
    reloaded(&stack);
    assert_eq!((stack.pid("c"), revision(&stack)), (pids.1, 3));
    assert_ne!(stack.pid("a"), pids.0);
}

#[test]
fn the_configuration_in_force_survives_the_death_of_control() {
    the_configuration_in_force_survives_control(User::Current);
}

#[test]
fn it_survives_for_an_ordinary_user_too() {
    the_configuration_in_force_survives_control(User::Ordinary);
}

#[test]
fn a_control_that_dies_while_it_reloads_leaves_the_old_or_the_new_never_half() {
    let stack = by_hand(TWO).start();
    for round in 0_u64..6 {
        let (old, new) = if round % 2 == 0 { ("one", "other") } else { ("other", "one") };
        stack.edit(&format!("LEVEL = '{old}'"), &format!("LEVEL = '{new}'"));
        let before = revision(&stack);
        let (mut child, ..) = stack.spawn(&["reload", "--no-wait"], Stdio::null());
        std::thread::sleep(Duration::from_millis(round));
        send(stack.control(), Signal::SIGKILL);
        let _ = child.wait();
        eventually("control to answer", || (stack.get("/livez").status == 200).then_some(()));
        let now = revision(&stack);
        assert!(now == before || now == before + 1, "{before} -> {now}");
        reloaded(&stack);
        for name in ["a", "b"] {
            stack.wait_until(name, "running as it should", |service| {
                service.state() == "running" && service.0["revision"] == service.0["wanted_revision"]
            });
        }
        assert_eq!(revision(&stack), before + 1);
    }
    assert_eq!(stack.service("b").generation(), 1, "it was never touched");
}

#[test]
fn a_storm_of_requests_becomes_few_reloads_and_everyone_is_answered() {
    let stack = by_hand(TWO).start();
    let socket = stack.socket();
    let ask = move || e2e::over_unix(&socket, "POST", "/api/v1/reload", &[]).expect("it answers").status;
    let storm = || {
        let ask = ask.clone();
        std::thread::spawn(move || (0..5).map(|_| ask()).collect::<Vec<u16>>())
    };
    let asking: Vec<_> = (0..200).map(|_| storm()).collect();
    let began = Instant::now();
    let mut last = "one".to_owned();
    while began.elapsed() < Duration::from_secs(4) {
        let next = format!("after {} ms", began.elapsed().as_millis());
        save(&stack, &stack.text().replace(&last, &next));
        last = next;
        let asked = Instant::now();
        assert!(revision(&stack) <= 4, "three reloads in ten seconds");
        assert!(asked.elapsed() < Duration::from_secs(2), "the operator gets in");
    }
    let answers: Vec<u16> = asking.into_iter().flat_map(|thread| thread.join().expect("it ended")).collect();
    assert_eq!(answers.len(), 1000);
    let later: Vec<u16> = answers.into_iter().filter(|status| *status != 200).collect();
    assert!(later.iter().all(|status| [429, 503].contains(status)), "{later:?}");
    let patient = || {
        let ask = ask.clone();
        std::thread::spawn(move || eventually("its turn", || (ask() == 200).then_some(())))
    };
    let patient: Vec<_> = (0..20).map(|_| patient()).collect();
    patient.into_iter().for_each(|thread| thread.join().expect("whoever asks again has its turn"));
    reloaded(&stack);
    assert_eq!(variable(stack.pid("a"), "LEVEL"), Some(last.to_string()), "the last content wins");
}

#[test]
fn a_program_that_was_built_anew_counts_when_it_is_asked_for() {
    let stack = by_hand("[services.a]\ncommand = './own wait'\n[services.b]\ncommand = './puppet wait'\n");
    let stack = stack.prepare();
    let build = || {
        fs::copy(e2e::puppet(), stack.path("own.new")).unwrap();
        fs::rename(stack.path("own.new"), stack.path("own")).unwrap();
    };
    build();
    stack.cli(&["start"]).succeeded();
    let (a, b) = (stack.pid("a"), stack.pid("b"));
    build();
    let done = reloaded(&stack);
    assert!(done.stdout.contains("executable"), "{}", done.stdout);
    assert_ne!(stack.pid("a"), a);
    assert_eq!(stack.pid("b"), b);
}

#[test]
fn env_files_and_secrets_count_by_their_content() {
    let services = "[services.a]\ncommand = './puppet wait'\nenv_file = ['e?']\nsecrets.S = { file = 's' }\n";
    let stack = by_hand(services).prepare();
    fs::write(stack.path("s"), "hush").unwrap();
    stack.cli(&["start"]).succeeded();
    let mut pid = stack.pid("a");
    for (file, content, key) in [("e", "A=1", "env.A"), ("e", "A=2", "env.A"), ("s", "quiet", "secrets.S")] {
        fs::write(stack.path(file), content).unwrap();
        let done = reloaded(&stack);
        assert!(done.stdout.contains(key), "{}", done.stdout);
        assert_ne!(stack.pid("a"), pid);
        pid = stack.pid("a");
    }
    fs::write(stack.path("s"), "quiet").unwrap();
    reloaded(&stack);
    assert_eq!(stack.pid("a"), pid);
    let log = fs::read_to_string(stack.path("logs/supervisor.log")).unwrap();
    assert!(!log.contains("quiet") && !log.contains("hush"));
}

#[test]
fn a_renamed_service_takes_its_socket_along() {
    let port = free_port();
    let service = |name: &str| {
        format!(
            "[services.{name}]\ncommand = './puppet listen --inherited'\nport = {port}\nrollout.handoff = 'socket'\n"
        )
    };
    let stack = by_hand(&service("old")).start();
    stack.edit("[services.old]", "[services.new]");
    let connecting = std::thread::spawn(move || {
        let began = Instant::now();
        let mut tries = 0;
        while began.elapsed() < Duration::from_secs(2) {
            TcpStream::connect(("127.0.0.1", port)).expect("it is never refused");
            tries += 1;
        }
        tries
    });
    reloaded(&stack);
    stack.wait_for("new", "running");
    assert!(connecting.join().expect("never refused") > 10);
    eventually("the old one to be gone", || (stack.get("/api/v1/services/old").status == 404).then_some(()));
    stack.kill_control();
    stack.cli(&["restart", "new"]).succeeded();
    TcpStream::connect(("127.0.0.1", port)).expect("it is still held");
}

#[test]
fn another_port_is_listened_on_by_the_next_process() {
    let (one, other) = (free_port(), free_port());
    let stack = by_hand(&format!(
        "[services.a]\ncommand = './puppet listen --inherited'\nport = {one}\nrollout.handoff = 'socket'\n"
    ))
    .start();
    stack.edit(&format!("port = {one}"), &format!("port = {other}"));
    reloaded(&stack);
    TcpStream::connect(("127.0.0.1", other)).expect("the new one");
    eventually("the old one to be closed", || TcpStream::connect(("127.0.0.1", one)).is_err().then_some(()));
}

#[test]
fn the_api_moves_to_another_address_and_back() {
    let (one, other) = (free_port(), free_port());
    let stack = by_hand("[services.a]\ncommand = './puppet wait'\n").http(&format!("listen = {one}")).start();
    let health = |port: u16| e2e::over_tcp(("127.0.0.1", port), "GET", "/health", &[]).map(|answer| answer.status);
    assert_eq!(health(one).ok(), Some(200));
    stack.edit(&format!("listen = {one}"), &format!("listen = {other}\nopen = []"));
    let done = reloaded(&stack);
    assert!(done.stdout.contains("http.listen, http.open"), "{}", done.stdout);
    assert_eq!(health(other).ok(), Some(401), "nothing is open any more");
    eventually("the old address to be closed", || health(one).is_err().then_some(()));
    stack.kill_control();
    assert_eq!(health(other).ok(), Some(401));
    let busy = TcpListener::bind(("127.0.0.1", one)).unwrap();
    stack.edit(&format!("listen = {other}"), &format!("listen = {one}"));
    let refused = stack.cli(&["reload"]).ended_with(2);
    assert!(refused.stderr.contains("held by pid"), "{}", refused.stderr);
    assert_eq!(health(other).ok(), Some(401), "the old one goes on");
    drop(busy);
    reloaded(&stack);
    assert_eq!(health(one).ok(), Some(401));
    stack.edit(&format!("listen = {one}"), "listen = 'off'");
    reloaded(&stack);
    eventually("no address", || health(one).is_err().then_some(()));
}
