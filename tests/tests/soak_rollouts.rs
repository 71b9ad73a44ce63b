//! A great many rollouts under load, with control killed at every tenth: not one request is lost.
//! Not here: the short form (`rollouts`). The long form is for `tests/soak-rollouts`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::print_stdout, reason = "who waits for twenty minutes wants to see something")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use e2e::{DEADLINE, Setup, eventually, free_port};
use load::{Crowd, Kind, Load};

/// Forty requests for each client and second: 200 in all.
const CLIENTS: [(Kind, usize); 5] =
    [(Kind::Fresh, 1), (Kind::KeepAlive, 1), (Kind::Pool, 1), (Kind::Http2, 1), (Kind::Pipeline, 1)];
const PAUSE: Duration = Duration::from_millis(25);
/// No more rollouts are begun after this.
const LIMIT: Duration = Duration::from_secs(20 * 60);

#[test]
#[ignore = "takes up to twenty minutes: run tests/soak-rollouts"]
fn a_thousand_rollouts_lose_no_request() {
    let rounds: u64 = std::env::var("SOAK_ROLLOUTS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1000);
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.web]\ncommand = [\"./exemplar\"]\nport = {port}\n[services.web.ready]\nnotify = true\n\
         [services.web.rollout]\nhandoff = \"socket\"\ndrain_signal = \"USR2\"\nbake = \"0s\"\n"
    ))
    .start();
    let keeper = stack.keeper();
    let crowds = CLIENTS.map(|(kind, clients)| Crowd { kind, clients, pause: PAUSE });
    let load = Load::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), &crowds);
    let (began, mut done) = (Instant::now(), 0);
    while done < rounds && began.elapsed() < LIMIT {
        done += 1;
        if done % 10 == 0 {
            assert_eq!(stack.post("/api/v1/services/web/restart").status, 202);
            stack.kill_control();
            stack.wait_until("web", "the next generation serves", |web| {
                web.state() == "running" && web.generation() == done + 1
            });
        } else {
            stack.cli(&["restart", "web"]).succeeded();
        }
        if done % 100 == 0 {
            println!("{done} rollouts in {:.0?}: {} answers, {} lost", began.elapsed(), load.answered(), load.failed());
        }
        assert!(load.await_answers(5, DEADLINE), "nobody is answered any more");
        assert_eq!(load.failed(), 0, "after {done} rollouts");
    }
    let report = load.stop();
    println!("{done} rollouts in {:.0?}, control killed {} times\n{report}", began.elapsed(), done / 10);
    assert_eq!(report.failed(), 0);
    assert_eq!((stack.service("web").generation(), stack.keeper()), (done + 1, keeper));
    eventually("one process of the service to be left", || {
        (stack.processes().iter().filter(|one| one.command.contains("exemplar")).count() == 1).then_some(())
    });
}
