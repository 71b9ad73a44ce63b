//! Held sockets that move to another port, or cannot: what serves goes on, and what was moved can be moved back.
//! Not here: a socket that stays where it is over a restart (`rollouts`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use e2e::{DEADLINE, Setup, Signal, Stack, address, eventually, free_port, over_tcp, send};
use load::{Kind, Load};

fn service(name: &str, port: u16, more: &str) -> String {
    format!(
        "[services.{name}]\ncommand = './exemplar'\nport = {port}\nready = {{ notify = true, deadline = '3s' }}\n\
         stop = {{ timeout = '1s' }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '0s', drain = '5s' }}\n{more}"
    )
}

/// Reloads happen when they are asked for.
fn by_hand(services: &str) -> Setup {
    Setup::of(services).supervisor("auto_reload = false")
}

#[track_caller]
fn move_port(stack: &Stack, from: u16, to: u16) {
    stack.edit(&format!("port = {from}"), &format!("port = {to}"));
}

#[track_caller]
fn rejected(stack: &Stack, why: &[&str]) {
    let before = (stack.status()["config"]["revision"].as_u64(), stack.pid("t"));
    let done = stack.cli(&["reload"]).ended_with(2);
    assert!(why.iter().all(|why| done.stderr.contains(why)), "{why:?}: {}", done.stderr);
    assert_eq!((stack.status()["config"]["revision"].as_u64(), stack.pid("t")), before, "nothing changes");
}

fn load(port: u16) -> Load {
    Load::of_threes(address(port), &[Kind::Fresh, Kind::KeepAlive], DEADLINE)
}

fn generation(port: u16) -> Option<String> {
    over_tcp(address(port), "GET", "/generation", &[]).ok().map(|answer| answer.text())
}

#[track_caller]
fn is_closed(port: u16) {
    eventually("the port to be closed", || TcpStream::connect(address(port)).is_err().then_some(()));
}

#[test]
fn a_port_that_is_taken_rejects_the_reload_and_the_old_one_can_be_gone_on_with_at_once() {
    let (one, other) = (free_port(), free_port());
    let stack = by_hand(&service("t", one, "")).start();
    let clients = load(one);
    let stranger = TcpListener::bind(address(other)).unwrap();
    move_port(&stack, one, other);
    rejected(&stack, &[&format!("port {other}"), &format!("held by pid {}", std::process::id())]);
    stack.cli(&["reload", "--dry-run"]).ended_with(2);
    move_port(&stack, other, one);
    assert!(stack.cli(&["reload"]).succeeded().stderr.contains("nothing was done"));
    stack.cli(&["restart", "t"]).succeeded();
    assert_eq!(generation(one).as_deref(), Some("2"));
    clients.lost_nothing(DEADLINE);
    drop(stranger);
    move_port(&stack, one, other);
    stack.cli(&["reload"]).succeeded();
    assert_eq!(generation(other).as_deref(), Some("3"));
    is_closed(one);
}

#[test]
fn a_generation_that_fails_on_another_port_leaves_the_old_port_held_and_the_other_one_free() {
    let (one, other) = (free_port(), free_port());
    let fails = format!("command = 'test $PORT != {other} || exit 3; exec ./exemplar'\nshell = true");
    let stack = by_hand(&service("t", one, "").replace("command = './exemplar'", &fails)).start();
    let clients = load(one);
    let old = stack.pid("t");
    move_port(&stack, one, other);
    let done = stack.cli(&["reload"]).ended_with(1);
    assert!(done.stderr.contains("rolled back: generation 2"), "{}", done.stderr);
    assert_eq!(stack.pid("t"), old, "the old one serves on");
    is_closed(other);
    stack.kill_control();
    move_port(&stack, other, one);
    stack.cli(&["reload"]).succeeded();
    assert_eq!(generation(one).as_deref(), Some("3"));
    clients.lost_nothing(DEADLINE);
}

#[test]
fn a_move_is_taken_back_while_its_old_generation_drains_and_nobody_is_refused() {
    let (one, other) = (free_port(), free_port());
    let stack = by_hand(&service("t", one, "")).start();
    // Something to finish.
    let mut upload = TcpStream::connect(address(one)).unwrap();
    upload.write_all(b"POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nab").unwrap();
    assert_eq!(generation(one).as_deref(), Some("1"));
    move_port(&stack, one, other);
    stack.cli(&["reload", "--no-wait"]).succeeded();
    stack.wait_until("t", "a drain", |t| t.0["rollout"]["phase"] == "draining");
    assert_eq!(generation(other).as_deref(), Some("2"));
    let waiting = std::thread::spawn(move || generation(one));
    // A new control knows which sockets are still of use, too.
    stack.kill_control();
    move_port(&stack, other, one);
    stack.cli(&["reload", "--no-wait"]).succeeded();
    assert_eq!(waiting.join().unwrap().as_deref(), Some("3"), "who came meanwhile waited in the queue");
    upload.write_all(b"cd").unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('4'), "{answer}");
    is_closed(other);
    assert_eq!(generation(one).as_deref(), Some("3"));
}

#[test]
fn a_control_that_is_killed_while_a_port_moves_leaves_just_the_socket_of_what_serves() {
    let (one, other) = (free_port(), free_port());
    let stack = by_hand(&service("t", one, "").replace("'5s' }", "'5s', warm = '0s' }")).start();
    let (mut from, mut to) = (one, other);
    for after in [0, 3, 8, 15, 25, 40, 70, 120, 200, 350] {
        move_port(&stack, from, to);
        let (mut asking, _, _) = stack.spawn(&["reload", "--no-wait"], Stdio::null());
        std::thread::sleep(Duration::from_millis(after));
        send(stack.control(), Signal::SIGKILL);
        asking.wait().unwrap();
        // Whether it was in force yet or not: it is now.
        eventually("the reload", || {
            let done = stack.cli(&["reload"]);
            (done.code == 0 || done.stderr.contains("rolled back: generation")).then_some(())
        });
        let settled = || {
            stack.wait_until("t", "running on", |t| {
                t.state() == "running" && t.0["generations"].as_array().map(Vec::len) == Some(1)
            })
        };
        let mut serves = settled();
        if serves.0["revision"] != serves.0["wanted_revision"] {
            // It was killed before there was a process, and the old generation was gone back to.
            let left = &serves.0["generations"][0]["generation"];
            assert_eq!(generation(from), Some(left.to_string()), "after {after} ms");
            is_closed(to);
            stack.cli(&["restart", "t"]).succeeded();
            serves = settled();
        }
        assert_eq!(generation(to), Some(serves.generation().to_string()), "after {after} ms");
        is_closed(from);
        (from, to) = (to, from);
    }
}

#[test]
fn services_that_swap_their_ports_are_told_to_move_one_after_the_other() {
    let (one, other, third) = (free_port(), free_port(), free_port());
    let stack = by_hand(&(service("t", one, "") + &service("u", other, ""))).start();
    let clients = load(one);
    let names = [format!("port = {one}"), format!("port = {other}"), format!("port = {third}")];
    stack.edit(&names[0], "port = X");
    stack.edit(&names[1], &names[0]);
    stack.edit("port = X", &names[1]);
    let of_u = stack.pid("u");
    rejected(&stack, &["generation of `u` is on it", "generation of `t` is on it", "reload again"]);
    assert_eq!(stack.pid("u"), of_u);
    clients.lost_nothing(DEADLINE);
    // The file says what is wanted in the end: by way of a third port it gets there.
    stack.edit(&names[1], &names[2]);
    stack.edit(&names[0], &names[1]);
    stack.cli(&["reload"]).succeeded();
    is_closed(one);
    stack.edit(&names[1], &names[0]);
    stack.cli(&["reload"]).succeeded();
    is_closed(other);
    stack.edit(&names[2], &names[1]);
    stack.cli(&["reload"]).succeeded();
    assert_eq!((generation(one), generation(other)), (Some("2".to_owned()), Some("3".to_owned())));
}

#[test]
fn named_ports_move_each_for_itself_and_a_name_may_change_while_it_is_served() {
    let (main, admin, other) = (free_port(), free_port(), free_port());
    let stack = by_hand(&service("t", main, &format!("ports = {{ admin = {admin} }}\ninstances = 2\n"))).start();
    let clients = load(main);
    let stranger = TcpListener::bind(address(other)).unwrap();
    stack.edit(&format!("admin = {admin}"), &format!("admin = {other}"));
    rejected(&stack, &[&format!("port {other}")]);
    TcpStream::connect(address(admin)).unwrap();
    stack.edit(&format!("admin = {other}"), &format!("metrics = {admin}"));
    let knocking = std::thread::spawn(move || {
        for _ in 0..100 {
            TcpStream::connect(address(admin)).expect("it is held all the time");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    stack.cli(&["reload"]).succeeded();
    knocking.join().unwrap();
    drop(stranger);
    stack.edit(&format!("metrics = {admin}"), &format!("metrics = {other}"));
    stack.cli(&["reload"]).succeeded();
    TcpStream::connect(address(other)).unwrap();
    is_closed(admin);
    clients.lost_nothing(DEADLINE);
}

#[test]
fn an_address_that_overlaps_the_old_one_is_told_and_taken_when_the_service_is_stopped() {
    let port = free_port();
    let stack = by_hand(&service("t", port, "bind = '127.0.0.1'\n")).start();
    stack.edit("bind = '127.0.0.1'", "bind = '0.0.0.0'");
    rejected(&stack, &[&format!("a generation of `t` is on 127.0.0.1:{port}"), "stop `t`, reload, and start `t`"]);
    stack.cli(&["stop", "t"]).succeeded();
    stack.cli(&["reload"]).succeeded();
    stack.cli(&["start", "t"]).succeeded();
    assert!(over_tcp((Ipv4Addr::new(127, 0, 0, 2), port), "GET", "/generation", &[]).is_ok());
}

#[test]
fn a_new_service_on_a_port_that_is_taken_is_refused_and_one_that_comes_back_finds_its_socket() {
    let (one, other) = (free_port(), free_port());
    let (t, new) = (service("t", one, ""), service("new", other, ""));
    let stack = by_hand(&t).start();
    let stranger = TcpListener::bind(address(other)).unwrap();
    stack.edit(&t, &(t.clone() + &new));
    rejected(&stack, &["service `new`", &format!("held by pid {}", std::process::id())]);
    drop(stranger);
    stack.cli(&["reload"]).succeeded();
    // It has something to finish while it is taken out of the file and comes back.
    let mut upload = TcpStream::connect(address(other)).unwrap();
    upload.write_all(b"POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nab").unwrap();
    assert_eq!(generation(other).as_deref(), Some("1"));
    stack.edit(&new, "");
    stack.cli(&["reload", "--no-wait"]).succeeded();
    stack.edit(&t, &(t.clone() + &new));
    stack.cli(&["reload"]).succeeded();
    stack.wait_for("new", "running");
    assert!(generation(other).is_some());
}

#[test]
fn a_way_back_to_a_port_that_was_taken_meanwhile_is_told_and_gone_once_the_port_is_free() {
    let (one, other) = (free_port(), free_port());
    let stack = by_hand(&service("t", one, "")).start();
    move_port(&stack, one, other);
    stack.cli(&["reload"]).succeeded();
    is_closed(one);
    let stranger = TcpListener::bind(address(one)).unwrap();
    send(stack.pid("t"), Signal::SIGKILL);
    let told = stack.wait_for("t", "failed");
    let why = format!("rolled back, and port {one} is held by pid {}", std::process::id());
    assert!(told.cause().starts_with(&why), "{}", told.cause());
    let page = stack.cli(&["why", "t"]).stdout;
    assert!(page.contains("end what holds it, or `supervisor restart t` tries what"), "{page}");
    drop(stranger);
    let back = stack.wait_for("t", "running");
    assert!(generation(one).is_some(), "it answers where it was before");
    assert_eq!((back.0["port"].as_u64(), back.0["revision"].as_u64()), (Some(u64::from(one)), Some(1)), "{:#}", back.0);
}
