//! Each kind of client beside each fault: not one request is lost. As a table:
//! `cargo build --workspace --bins && cargo test -p e2e --test rollout_table -- --nocapture`.
//! Not here: many rounds of each (`rollouts`, `soak_rollouts`); a generation that is killed takes with it what it had accepted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::print_stdout, reason = "the table is for whoever wants to see it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use e2e::{DEADLINE, Setup, Signal, Stack, free_port, send};
use load::{Crowd, Kind, Load, Report};

const KINDS: [Kind; 9] = [
    Kind::Fresh,
    Kind::KeepAlive,
    Kind::Pool,
    Kind::Http2,
    Kind::Pipeline,
    Kind::Upload,
    Kind::Slow,
    Kind::Events,
    Kind::WebSocket,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The new generation ends before it is ready.
    Exits,
    /// It is never ready.
    Hangs,
    /// It is ready, and leaves in its bake.
    Leaves,
    ControlKilled,
    /// Everything of the supervisor stands still during the switch.
    ControlStopped,
    /// The newest of three requests wins.
    AskedThrice,
}

const FAULTS: [(Fault, &str); 7] = [
    (Fault::None, "a plain restart"),
    (Fault::Exits, "the new one exits at once"),
    (Fault::Hangs, "the new one is never ready"),
    (Fault::Leaves, "the new one leaves in its bake"),
    (Fault::ControlKilled, "control is killed over it"),
    (Fault::ControlStopped, "control stands still for a while"),
    (Fault::AskedThrice, "asked for three times at once"),
];

fn stack(port: u16) -> Stack {
    Setup::of(&format!(
        "[services.web]\ncommand = ['./exemplar']\nport = {port}\nenv = {{ EXEMPLAR_FAULT = '${{FAULT:-}}' }}\n\
         env_file = ['fault.env?']\nready = {{ notify = true, deadline = '2s' }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '800ms', drain = '5s', \
         long_lived = {{ close_after = '200ms', spread = '200ms' }} }}\n"
    ))
    .supervisor("auto_reload = false")
    .start()
}

/// Until the one generation that is left serves.
fn inflict(stack: &Stack, fault: Fault) {
    let bad = |word: &str| {
        std::fs::write(stack.path("fault.env"), format!("FAULT={word}\n")).unwrap();
        stack.cli(&["reload"]).ended_with(1);
    };
    let ask = || assert_eq!(stack.post("/api/v1/services/web/restart").status, 202);
    match fault {
        Fault::None => drop(stack.cli(&["restart", "web"]).succeeded()),
        Fault::Exits => bad("exit"),
        Fault::Hangs => bad("hang"),
        Fault::Leaves => bad("leave"),
        Fault::ControlKilled => {
            ask();
            stack.kill_control();
        }
        Fault::ControlStopped => {
            ask();
            let control = stack.control();
            send(control, Signal::SIGSTOP);
            std::thread::sleep(Duration::from_secs(1));
            send(control, Signal::SIGCONT);
        }
        Fault::AskedThrice => (0..3).for_each(|_| ask()),
    }
    stack.wait_until("web", "one generation", |web| {
        web.state() == "running" && web.0["generations"].as_array().map(Vec::len) == Some(1)
    });
}

fn row(name: &str, report: &Report) {
    let cell = |kind: &Kind| {
        let tally = &report.kinds[kind];
        format!(" {}/{} |", tally.took.len(), tally.failed())
    };
    println!("| {name} |{}", KINDS.iter().map(cell).collect::<String>());
}

#[test]
fn no_kind_of_client_loses_a_request_whatever_fails() {
    let head = KINDS.iter().map(|kind| format!(" {kind} |")).collect::<String>();
    println!("Answered/lost\n\n| |{head}\n|---|{}", "---|".repeat(KINDS.len()));
    for (fault, name) in FAULTS {
        let port = free_port();
        let stack = stack(port);
        let crowds = KINDS.map(|kind| Crowd { kind, clients: 2, pause: Duration::from_millis(20) });
        let load = Load::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), &crowds);
        assert!(load.await_answers(50, DEADLINE), "nobody is answered");
        inflict(&stack, fault);
        assert!(load.await_answers(50, DEADLINE), "nobody is answered any more");
        let report = load.stop();
        row(name, &report);
        assert_eq!(report.failed(), 0, "{name}\n{report}");
        assert!(KINDS.iter().all(|kind| !report.kinds[kind].took.is_empty()), "{name}\n{report}");
    }
}
