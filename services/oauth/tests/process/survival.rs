//! What a kill leaves, and what two processes on one database do to each other: nothing.
//! Not here: drains; the kit's tests show those.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::child::Child;
use crate::visitor::{Site, code, redeem, refresh, register, text};

#[test]
fn a_kill_at_any_moment_loses_no_token_that_was_given_and_gives_none_twice() {
    let site = Site::new();
    // What Entra gave in the moment of the kill is lost; so it must not have taken the old one away, and does not.
    site.entra.set(|entra| entra.lenient = true);
    let mut child = site.start();
    let client = register(child.ready()).unwrap();
    let at = [child.ready(); 3];
    let first = redeem(child.ready(), &client, &code(&site, at, &client).unwrap()).unwrap().json();
    let (mut token, mut given) = (text(&first, "refresh_token"), vec![text(&first, "access_token")]);
    for round in 0..12 {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (over, running) = (&over, &child);
            scope.spawn(move || {
                // Spread over the time that one refresh takes, and what comes before and after it.
                std::thread::sleep(Duration::from_millis(3 * round));
                running.signal(Signal::SIGKILL);
                over.store(true, Ordering::Release);
            });
            while !over.load(Ordering::Acquire) {
                let Ok(answer) = refresh(running.ready(), &client, &token) else { break };
                assert_eq!(answer.status, 200, "{}", answer.body);
                token = text(&answer.json(), "refresh_token");
                given.push(text(&answer.json(), "access_token"));
            }
        });
        child = site.start();
        // The client does not know whether its last request was carried out; asking again is right in both cases.
        let answer = refresh(child.ready(), &client, &token).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        token = text(&answer.json(), "refresh_token");
        given.push(text(&answer.json(), "access_token"));
    }
    for access in &given {
        assert_eq!(site.introspect(&child, access)["active"], true, "lost");
    }
    let stored: i64 = site.database().query_row("SELECT count(*) FROM access_tokens", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(stored).unwrap(), given.len(), "each step of the chain has one token");
}

#[test]
fn a_kill_in_the_middle_of_a_redemption_gives_the_tokens_once_or_not_at_all() {
    let site = Site::new();
    let mut child = site.start();
    let client = register(child.ready()).unwrap();
    let mut given = Vec::new();
    for round in 0..16 {
        let code = code(&site, [child.ready(); 3], &client).unwrap();
        let answer = std::thread::scope(|scope| {
            let running = &child;
            scope.spawn(move || {
                // Spread over the time that it takes.
                std::thread::sleep(Duration::from_micros(500 * round));
                running.signal(Signal::SIGKILL);
            });
            redeem(running.ready(), &client, &code)
        });
        child = site.start();
        // A client that has its tokens does not ask again; one that lost the answer does.
        let answer = answer.or_else(|_| redeem(child.ready(), &client, &code)).unwrap();
        match answer.status {
            200 => given.push(text(&answer.json(), "access_token")),
            status => assert_eq!((status, answer.json()["error"].as_str()), (400, Some("invalid_grant"))),
        }
    }
    for access in &given {
        assert_eq!(site.introspect(&child, access)["active"], true, "lost");
    }
    let stored: i64 = site.database().query_row("SELECT count(*) FROM grants", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(stored).unwrap(), given.len(), "what nobody was given is good for nothing");
}

#[test]
fn a_login_goes_on_though_each_step_finds_another_process() {
    let site = Site::new();
    let [first, second, third] = [site.start(), site.start(), site.start()];
    let client = register(first.ready()).unwrap();
    let code = code(&site, [first.ready(), second.ready(), third.ready()], &client).unwrap();
    for child in [&first, &second, &third] {
        child.signal(Signal::SIGKILL);
    }
    let fourth = site.start();
    let tokens = redeem(fourth.ready(), &client, &code).unwrap().json();
    fourth.signal(Signal::SIGKILL);
    let fifth = site.start();
    assert_eq!(site.introspect(&fifth, &text(&tokens, "access_token"))["active"], true);
}

/// The same request at two processes at the same moment.
fn both<T: Send>(ask: impl Fn(&Child) -> T + Sync, one: &Child, other: &Child) -> [T; 2] {
    let start = Barrier::new(2);
    let ask = |child| {
        start.wait();
        ask(child)
    };
    std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(|| ask(one)), scope.spawn(|| ask(other)));
        [first.join().unwrap(), second.join().unwrap()]
    })
}

#[test]
fn of_two_processes_one_redeems_a_code_and_both_refresh_to_the_same_tokens() {
    let site = Site::new();
    let (one, other) = (site.start(), site.start());
    let client = register(one.ready()).unwrap();
    let wait = [one.ready(), other.ready(), one.ready()];
    for _ in 0..5 {
        let code = code(&site, wait, &client).unwrap();
        let answers = both(|child| redeem(child.ready(), &client, &code).unwrap().status, &one, &other);
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    }
    let fresh = code(&site, wait, &client).unwrap();
    let mut token = text(&redeem(one.ready(), &client, &fresh).unwrap().json(), "refresh_token");
    for _ in 0..5 {
        let answers = both(|child| refresh(child.ready(), &client, &token).unwrap(), &one, &other);
        assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200], "{answers:?}");
        let [first, second] = answers.map(|answer| answer.json());
        assert_eq!(first["access_token"], second["access_token"]);
        token = text(&second, "refresh_token");
    }
}

#[test]
fn a_process_answers_while_another_holds_the_database_for_a_moment() {
    let site = Site::new();
    let child = site.start();
    let client = register(child.ready()).unwrap();
    let database = site.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| register(child.ready()).unwrap());
        assert_eq!(crate::client::get(child.ready(), "/health").json()["db"], json!("ok"), "who reads does not wait");
        let page = crate::client::get(child.ready(), "/authorize?client_id=x&redirect_uri=y");
        assert_eq!(page.status, 400, "{}", page.body);
        database.execute_batch("COMMIT").unwrap();
        assert_ne!(waiting.join().unwrap(), client);
    });
}
