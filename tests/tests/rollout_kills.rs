//! Control is killed in each phase of a rollout, under load: nobody notices, and one generation is left.
//! Not here: rollouts that fail (`rollout_failures`), ports that move meanwhile (`moved_sockets`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use e2e::{DEADLINE, Setup, Signal, Stack, address, free_port, over_tcp, send};
use load::{Kind, Load};
use serde_json::Value;

/// Each phase takes a while: a start is prepared for as long as `slow` is there, and a generation comes up slowly.
fn stack(port: u16) -> Stack {
    let secret = "['/bin/sh', '-c', 'while test -e slow; do sleep 0.05; done; echo hush']";
    Setup::of(&format!(
        "[services.t]\ncommand = 'test $SUPERVISOR_GENERATION = 1 || sleep 1; exec ./exemplar'\nshell = true\n\
         port = {port}\nready = {{ notify = true, deadline = '20s' }}\nsecrets.S = {{ command = {secret} }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '2s', drain = '20s' }}\n"
    ))
    .start()
}

fn load(port: u16) -> Load {
    Load::of_threes(address(port), &[Kind::Fresh, Kind::KeepAlive, Kind::Http2], DEADLINE)
}

fn generation(port: u16) -> String {
    over_tcp(address(port), "GET", "/generation", &[]).unwrap().text()
}

fn ask(stack: &Stack) {
    assert_eq!(stack.post("/api/v1/services/t/restart").status, 202);
}

/// What came of the rollout, once one generation is left.
#[track_caller]
fn converged(stack: &Stack, port: u16, before: u64) -> String {
    let service = stack.wait_until("t", "one generation that serves", |t| {
        let one = t.0["generations"].as_array().map(Vec::len) == Some(1);
        t.state() == "running" && one && t.0["rollout"]["result"].is_string() && t.generation() > before
    });
    let serves = service.0["generations"][0]["generation"].as_u64().unwrap();
    assert_eq!(generation(port), serves.to_string());
    let exemplars = stack.processes().iter().filter(|one| one.command == "./exemplar" && one.state != 'Z').count();
    assert_eq!(exemplars, 1);
    service.0["rollout"]["result"].as_str().unwrap().to_owned()
}

#[test]
fn a_control_that_is_killed_in_any_phase_with_a_process_is_followed_by_one_that_ends_the_rollout() {
    let port = free_port();
    let stack = stack(port);
    let load = load(port);
    for (before, phase) in (1..).zip(["starting", "baking", "draining", "over"]) {
        // Something to finish, so that the drain takes a while, too.
        let mut begun = TcpStream::connect(address(port)).unwrap();
        begun.write_all(b"POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nab").unwrap();
        assert_eq!(generation(port), before.to_string(), "so the other one has been accepted, too");
        let finish = |mut upload: TcpStream| {
            upload.write_all(b"cd").unwrap();
            let mut answer = [0; 12];
            upload.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        };
        let upload = RefCell::new(Some(begun));
        ask(&stack);
        stack.wait_until("t", phase, |t| {
            let lives = |one: &Value| one["generation"] == before + 1 && one["pid"].is_number();
            let lives = t.0["generations"].as_array().is_some_and(|all| all.iter().any(lives));
            if t.0["rollout"]["phase"] == "draining" && phase == "over" {
                upload.borrow_mut().take().into_iter().for_each(finish);
            }
            lives && t.0["rollout"]["to"] == before + 1 && t.0["rollout"]["phase"] == phase
        });
        stack.kill_control();
        upload.borrow_mut().take().into_iter().for_each(finish);
        assert_eq!(converged(&stack, port, before), "done", "{phase}");
        assert_eq!(stack.service("t").generation(), before + 1, "{phase}: once");
    }
    load.lost_nothing(DEADLINE);
}

#[test]
fn a_control_that_is_killed_before_there_is_a_process_leaves_the_old_generation_and_the_next_restart_works() {
    let port = free_port();
    let stack = stack(port);
    let load = load(port);
    fs::write(stack.path("slow"), "").unwrap();
    ask(&stack);
    stack.wait_until("t", "its start to be prepared", |t| t.0["rollout"]["phase"] == "starting");
    stack.kill_control();
    fs::remove_file(stack.path("slow")).unwrap();
    assert_eq!(converged(&stack, port, 1), "rolled-back");
    assert_eq!(generation(port), "1");
    // Between the order to the keeper and what it says of it.
    let keeper = stack.keeper();
    for round in 0..3 {
        let before = stack.service("t").generation();
        ask(&stack);
        stack.wait_until("t", "its beginning", |t| t.generation() > before);
        send(keeper, Signal::SIGSTOP);
        std::thread::sleep(Duration::from_millis(round * 10));
        send(stack.control(), Signal::SIGKILL);
        send(keeper, Signal::SIGCONT);
        let result = converged(&stack, port, before);
        assert!(["done", "rolled-back"].contains(&result.as_str()), "{result}");
    }
    stack.cli(&["restart", "t"]).succeeded();
    load.lost_nothing(DEADLINE);
}
