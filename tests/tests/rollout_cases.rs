//! Rollouts beside awkward clients, and new versions that cannot come up: each loses nothing that need not be lost.
//! Not here: restarts one after the other under load (`rollouts`), kinds of clients beside faults (`rollout_table`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use e2e::{DEADLINE, Done, Setup, Stack, User, address, eventually, exemplar, free_port, is_root, over_tcp};
use load::{Kind, Load};

fn service(port: u16, more: &str) -> String {
    format!(
        "[services.t]\ncommand = './exemplar'\nport = {port}\nready = {{ notify = true, deadline = '3s' }}\n\
         stop = {{ timeout = '1s' }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '0s', drain = '5s' }}\n{more}"
    )
}

fn load(port: u16) -> Load {
    Load::of_threes(address(port), &[Kind::Fresh, Kind::KeepAlive], DEADLINE)
}

#[track_caller]
fn rolled_back(stack: &Stack, old: i32, done: &Done, why: &str) {
    assert!(done.stderr.contains("rolled back: generation 2") && done.stderr.contains(why), "{why}: {}", done.stderr);
    assert_eq!((stack.pid("t"), stack.service("t").state()), (old, "running"), "the old one serves on");
}

/// As the ordinary user that the supervisor runs as: root may be refused the limits of others.
fn as_its_user(words: &[&str]) -> Command {
    let setpriv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let all: Vec<&str> = setpriv.iter().filter(|_| is_root()).chain(words).copied().collect();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]);
    command
}

/// A request on a connection that stays open, and the answer's body.
fn ask(stream: &mut TcpStream, path: &str) -> (String, String) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes()).unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "it ends after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..count]);
        let all = String::from_utf8_lossy(&text);
        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if length.is_some_and(|length: usize| body.len() >= length) {
            return (head.to_owned(), body.to_owned());
        }
    }
}

#[test]
fn case_5_a_connection_that_says_nothing_before_500_ms_of_the_drain_is_served_by_the_one_that_took_it() {
    let port = free_port();
    let stack = Setup::of(&service(port, "")).start();
    let mut silent = TcpStream::connect(address(port)).unwrap();
    // It waited behind the silent one: once it is answered, both have been accepted.
    assert_eq!(ask(&mut TcpStream::connect(address(port)).unwrap(), "/generation").1, "1");
    stack.cli(&["restart", "t", "--no-wait"]).succeeded();
    stack.wait_until("t", "a drain", |t| t.0["rollout"]["phase"] == "draining");
    std::thread::sleep(Duration::from_millis(500));
    let (head, generation) = ask(&mut silent, "/generation");
    assert_eq!(generation, "1");
    assert!(head.contains("connection: close"), "{head}");
    drop(silent);
    stack.wait_until("t", "the end of it", |t| t.0["rollout"]["phase"] == "over");
}

#[test]
fn case_10_a_client_that_never_takes_its_answer_is_cut_at_the_end_of_the_drain_and_disturbs_nobody() {
    let port = free_port();
    let stack = Setup::of(&service(port, "").replace("'5s'", "'3s'")).start();
    let mut deaf = TcpStream::connect(address(port)).unwrap();
    // More than all buffers on the way hold.
    deaf.write_all(b"GET /much/64 HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    deaf.read_exact(&mut [0; 64]).unwrap();
    let load = load(port);
    let done = stack.cli(&["restart", "t"]).succeeded();
    let row: Vec<&str> = done.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[1], row.last()), ("rolled", Some(&"1")), "one is cut: {}", done.stdout);
    assert!(done.took >= Duration::from_secs(2), "it had the time of the drain: {:?}", done.took);
    load.lost_nothing(DEADLINE);
}

#[test]
fn case_11_a_burst_during_a_restart_that_stops_first_waits_in_the_queue_and_is_served() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(12_000), most).unwrap();
    let burst = usize::try_from(most.min(12_000)).unwrap().saturating_sub(1_000).min(10_000);
    let port = free_port();
    // The next one comes up when all have knocked.
    let command = "command = 'test $SUPERVISOR_GENERATION = 1 || until test -e knocked; do sleep 0.05; done; exec ./exemplar'\n\
                   shell = true";
    let toml = service(port, "").replace("command = './exemplar'", command).replace("'3s'", "'60s'");
    let stack = Setup::of(&toml.replace("handoff", "overlap = false, handoff")).start();
    assert_eq!(stack.post("/api/v1/services/t/restart").status, 202);
    stack.wait_until("t", "stopped, and to start", |t| t.generation() == 2 && t.state() == "starting");
    // The queue holds what the kernel allows; whoever finds it full knocks again by itself, and is not refused either.
    let queue: usize = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    let first = burst.min(queue.min(4096));
    let knock = move || {
        let mut stream = TcpStream::connect(address(port)).expect("nobody is refused");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    let waiting: Vec<TcpStream> = (0..first).map(|_| knock()).collect();
    let others = std::thread::spawn(move || (first..burst).map(|_| knock()).collect::<Vec<_>>());
    fs::write(stack.path("knocked"), "").unwrap();
    let mut answered = 0;
    let mut serve = |streams: Vec<TcpStream>| {
        for mut stream in streams {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            answered += 1;
        }
    };
    serve(waiting);
    serve(others.join().unwrap());
    assert_eq!(answered, burst);
    stack.wait_for("t", "running");
}

#[test]
fn case_14_a_link_that_is_flipped_to_a_bad_release_is_rolled_back_to_the_file_that_ran() {
    let port = free_port();
    let toml = service(port, "autostart = false\n").replace("'./exemplar'", "['current/program']");
    let stack = Setup::of(&toml.replace("autostart = false\n", "").replace("port =", "autostart = false\nport ="));
    let stack = stack.start();
    let release = |name: &str| {
        fs::create_dir(stack.path(name)).unwrap();
        fs::copy(exemplar(), stack.path(name).join("program")).unwrap();
    };
    let flip = |name: &str| {
        symlink(name, stack.path("next")).unwrap();
        fs::rename(stack.path("next"), stack.path("current")).unwrap();
    };
    release("one");
    flip("one");
    stack.cli(&["start", "t"]).succeeded();
    let old = stack.pid("t");
    fs::create_dir(stack.path("two")).unwrap();
    fs::write(stack.path("two/program"), "#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(stack.path("two/program"), fs::Permissions::from_mode(0o755)).unwrap();
    let load = load(port);
    flip("two");
    let done = stack.cli(&["restart", "t"]).ended_with(1);
    rolled_back(&stack, old, &done, "exited with code 7");
    // The release that runs is cleared away, too: it is pinned.
    fs::remove_dir_all(stack.path("one")).unwrap();
    e2e::send(old, e2e::Signal::SIGKILL);
    stack.wait_until("t", "the next one", |t| t.state() == "running" && t.generation() == 3);
    drop(load.stop());
    release("three");
    flip("three");
    stack.cli(&["restart", "t"]).succeeded();
    assert_eq!(over_tcp(address(port), "GET", "/generation", &[]).unwrap().text(), "4");
}

#[test]
fn case_15_another_port_answers_before_the_old_one_is_closed_and_one_that_is_taken_changes_nothing() {
    let (one, other) = (free_port(), free_port());
    let toml = service(one, "").replace("bake = '0s'", "bake = '3s'");
    let stack = Setup::of(&toml).supervisor("auto_reload = false").start();
    let edit = |from: u16, to: u16| stack.edit(&format!("port = {from}"), &format!("port = {to}"));
    let old = stack.pid("t");
    let clients = load(one);
    let stranger = TcpListener::bind(address(other)).unwrap();
    edit(one, other);
    let refused = stack.cli(&["reload"]).ended_with(2);
    assert!(refused.stderr.contains("is held by pid"), "{}", refused.stderr);
    assert_eq!((stack.pid("t"), stack.service("t").state()), (old, "running"), "the old one serves on");
    drop(stranger);
    let (mut reload, _, _) = stack.spawn(&["reload"], std::process::Stdio::null());
    let first = eventually("an answer on the other port", || over_tcp(address(other), "GET", "/generation", &[]).ok());
    assert_eq!(first.status, 200);
    assert_ne!(first.text(), "1", "the next generation answers there");
    clients.lost_nothing(DEADLINE);
    assert!(reload.wait().unwrap().success());
    eventually("the old port to be closed", || TcpStream::connect(address(one)).is_err().then_some(()));
}

#[test]
fn case_16_a_new_file_that_cannot_be_executed_is_rolled_back_and_told_with_the_step_that_failed() {
    for (content, mode, why) in
        [("#!/no/such/interpreter\n", 0o755, "no such file"), ("#!/bin/sh\n", 0o644, "permission denied")]
    {
        let port = free_port();
        let toml =
            service(port, "").replace("'./exemplar'", "['./program']").replace("port =", "autostart = false\nport =");
        let stack = Setup::of(&toml).start();
        fs::copy(exemplar(), stack.path("program")).unwrap();
        stack.cli(&["start", "t"]).succeeded();
        let (old, clients) = (stack.pid("t"), load(port));
        fs::write(stack.path("new"), content).unwrap();
        fs::set_permissions(stack.path("new"), fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(stack.path("new"), stack.path("program")).unwrap();
        let done = stack.cli(&["restart", "t"]).ended_with(1);
        let told = done.stderr.to_lowercase();
        assert!(told.contains(why) && told.contains("exec"), "{why}: {}", done.stderr);
        assert_eq!((stack.pid("t"), stack.service("t").state()), (old, "running"));
        clients.lost_nothing(DEADLINE);
    }
}

#[test]
fn case_31_a_successor_that_the_kernel_grants_no_process_is_rolled_back_and_the_next_one_comes_up() {
    let port = free_port();
    let stack = Setup::of(&service(port, "")).as_user(User::Ordinary).start();
    let (old, clients, keeper) = (stack.pid("t"), load(port), stack.keeper().to_string());
    let processes = |soft: &str| {
        let status = as_its_user(&["prlimit", "--pid", &keeper, &format!("--nproc={soft}:")]).status().unwrap();
        assert!(status.success());
    };
    let before = as_its_user(&["prlimit", "--pid", &keeper, "--nproc", "--noheadings", "--output=SOFT"]).output();
    let before = String::from_utf8(before.unwrap().stdout).unwrap().trim().to_owned();
    // The roles and the service are more than that already.
    processes("1");
    let done = stack.cli(&["restart", "t"]).ended_with(1);
    rolled_back(&stack, old, &done, "");
    processes(&before);
    stack.cli(&["restart", "t"]).succeeded();
    clients.lost_nothing(DEADLINE);
}
