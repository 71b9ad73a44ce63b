//! Webhooks: what is in them, how often they are tried, and what they survive.
//! Not here: other ways.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{User, eventually, free_port, holds_for};

use super::receiver::{Receiver, Reply};
use super::{alert, setup, webhook};

#[test]
fn a_crash_loop_is_told_with_its_cause_and_the_last_words_and_so_is_its_end() {
    let hook = Receiver::start();
    let stack =
        setup(&webhook(&hook.url("/alerts"), "headers = { X-Key = 'k1' }")).as_user(User::Ordinary).start_no_wait();
    let told = hook.wait_for("crash-loop");
    assert_eq!(told["service"], "sick");
    assert_eq!(told["stack"], "t");
    assert_eq!(told["alert"], "hook");
    assert_eq!(told["state"], "crash-loop");
    assert_eq!(told["title"], "sick crashes again and again");
    assert!(told["cause"].as_str().unwrap_or_default().contains("exited with code 3"), "{told:#}");
    let log: Vec<&str> = told["log"].as_array().into_iter().flatten().filter_map(|line| line.as_str()).collect();
    assert!(!log.is_empty() && log.len() <= 20 && log.iter().all(|line| *line == "no database"), "{told:#}");
    let post = &hook.posts()[0];
    assert_eq!(post.path, "/alerts");
    for header in ["x-key: k1", "content-type: application/json"] {
        assert!(post.headers.iter().any(|line| line == header), "{:?}", post.headers);
    }
    std::fs::write(stack.path("well"), "").expect("the directory can be written");
    let told = hook.wait_for("recovered");
    assert_eq!((&told["service"], told["log"].as_array().map(Vec::len)), (&"sick".into(), Some(0)), "{told:#}");
    eventually("both to count", || (alert(&stack, "hook")["sent"] == 2).then_some(()));
    let metrics = stack.get("/metrics").text();
    assert!(metrics.contains("supervisor_alerts_sent_total{alert=\"hook\"} 2"), "{metrics}");
    let shown = stack.cli(&["alerts"]).succeeded().stdout;
    assert!(shown.starts_with("hook (webhook): 2 sent, 0 on the way, 0 lost; the last at "), "{shown}");
}

#[test]
fn the_same_is_not_told_again_soon_and_only_what_was_asked_for_is_told() {
    let hook = Receiver::start();
    let stack = setup(&webhook(&hook.url("/"), "on = ['crash']\nservices = ['s*']")).start_no_wait();
    hook.wait_for("crash");
    stack.wait_until("sick", "restarted often", |service| service.restarts() > 10);
    assert_eq!(hook.posts().len(), 1);
}

#[test]
fn what_fails_for_now_is_tried_again_and_arrives_once() {
    let hook = Receiver::start();
    hook.answer_next(&[500, 429]);
    let stack = setup(&webhook(&hook.url("/"), "")).start_no_wait();
    let told = hook.wait_for("crash-loop");
    let posts = hook.posts();
    assert_eq!(posts.len(), 3, "{posts:#?}");
    assert!(posts.iter().all(|post| post.body["id"] == told["id"]));
    eventually("it to count", || (alert(&stack, "hook")["sent"] == 1).then_some(()));
    assert_eq!(alert(&stack, "hook")["error"], serde_json::Value::Null);
}

#[test]
fn what_is_refused_for_good_is_given_up_and_told_so() {
    let hook = Receiver::start();
    hook.answer_always(Reply::Status(404));
    let stack = setup(&webhook(&hook.url("/"), "")).start_no_wait();
    let state = eventually("it to be given up", || Some(alert(&stack, "hook")).filter(|state| state["lost"] == 1));
    assert_eq!(state["error"], format!("`{}` answers 404: plain", hook.address));
    assert_eq!(state["queued"], 0);
    assert_eq!(hook.posts().len(), 1);
    stack.cli(&["alerts"]).ended_with(1);
}

#[test]
fn a_server_that_is_down_or_never_answers_delays_nobody_else() {
    let port = free_port();
    let (silent, well) = (Receiver::start(), Receiver::start());
    silent.answer_always(Reply::Silence);
    let alerts = format!(
        "[[alerts]]\nname = 'dead'\nwebhook = 'http://127.0.0.1:{port}/'\n[[alerts]]\nname = 'silent'\nslack = '{}'\n{}",
        silent.url("/"),
        webhook(&well.url("/"), ""),
    );
    let stack = setup(&alerts).start_no_wait();
    well.wait_for("crash-loop");
    silent.wait("the silent one to be asked", |_| true);
    let state =
        eventually("the dead one to fail", || Some(alert(&stack, "dead")).filter(|state| !state["error"].is_null()));
    assert_eq!(state["queued"], 1, "{state}");
    let before = stack.pid("good");
    stack.cli(&["restart", "good"]).succeeded();
    assert_ne!(stack.pid("good"), before);
    let dead = Receiver::at(&format!("127.0.0.1:{port}"));
    dead.wait_for("crash-loop");
}

#[test]
fn what_waits_outlives_control_and_the_whole_supervisor() {
    let hook = Receiver::start();
    hook.answer_always(Reply::Status(503));
    let stack = setup(&webhook(&hook.url("/"), "on = ['crash-loop']")).start_no_wait();
    hook.wait("a first try", |_| true);
    stack.kill_control();
    eventually("the new control to know of it", || (alert(&stack, "hook")["queued"] == 1).then_some(()));
    stack.cli(&["stop"]).succeeded();
    hook.answer_always(Reply::Status(200));
    std::fs::write(stack.path("well"), "").expect("the directory can be written");
    stack.cli(&["start"]).succeeded();
    hook.wait_for("crash-loop");
    let ids: BTreeSet<String> = hook.posts().iter().map(|post| post.body["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(hook.taken().len(), 1);
}

#[test]
fn what_happens_while_nobody_is_to_be_told_is_told_to_nobody_later() {
    let hook = Receiver::start();
    let stack = setup(&webhook(&hook.url("/"), "on = ['crash']")).start_no_wait();
    hook.wait_for("crash");
    stack.cli(&["stop"]).succeeded();
    let text = stack.text();
    let (without, alerts) = text.split_once("[[alerts]]").expect("there is one");
    stack.save(without);
    stack.cli(&["start", "--no-wait"]).succeeded();
    stack.wait_for("sick", "crash-loop");
    eventually("the supervisor to forget", || (!stack.path("state/alerts.json").exists()).then_some(()));
    stack.cli(&["stop"]).succeeded();
    std::fs::write(stack.path("well"), "").expect("the directory can be written");
    let late = "[services.late]\ncommand = ['sh', '-c', 'exit 3']\n";
    stack.save(&format!("{without}{late}[[alerts]]{alerts}"));
    let before = hook.posts().len();
    stack.cli(&["start", "--no-wait"]).succeeded();
    hook.wait("news of the late one", |post| post.body["service"] == "late");
    let old: Vec<_> = hook.posts().into_iter().skip(before).filter(|post| post.body["service"] == "sick").collect();
    assert!(old.is_empty(), "{old:#?}");
}

#[test]
fn through_many_deaths_of_control_nothing_is_lost_and_twice_comes_under_the_same_id() {
    let hook = Receiver::start();
    let services: String = (0..8)
        .map(|number| {
            format!("[services.s{number}]\ncommand = ['sh', '-c', 'sleep 0.{number}; exit 3']\nrestart.policy = 'no'\n")
        })
        .collect();
    let alerts = webhook(&hook.url("/"), "on = ['crash']");
    let stack = e2e::Setup::of(&format!("{services}{alerts}")).start_no_wait();
    for _ in 0..5 {
        stack.kill_control();
    }
    eventually("all eight to be told of", || {
        let told: BTreeSet<String> = hook.taken().iter().map(|message| message["service"].to_string()).collect();
        (told.len() == 8).then_some(())
    });
    let about: BTreeSet<(String, String)> =
        hook.taken().iter().map(|message| (message["service"].to_string(), message["id"].to_string())).collect();
    assert_eq!(about.len(), 8, "one id for each: {about:?}");
}

#[test]
fn a_reload_changes_whom_alerts_reach_and_restarts_nothing() {
    let (one, other) = (Receiver::start(), Receiver::start());
    let stack = setup("").start_no_wait();
    stack.wait_for("sick", "crash-loop");
    let pid = stack.pid("good");
    let text = stack.text();
    let with = |alerts: String| stack.save(&format!("{text}{alerts}"));
    with(webhook(&one.url("/"), "on = ['crash']"));
    stack.cli(&["reload", "--no-wait"]).succeeded();
    one.wait_for("crash");
    with(webhook(&other.url("/"), "on = ['crash']").replace("'hook'", "'other'"));
    stack.cli(&["reload", "--no-wait"]).succeeded();
    other.wait_for("crash");
    with(String::new());
    stack.cli(&["reload", "--no-wait"]).succeeded();
    eventually("nobody to be left", || stack.status()["alerts"].as_array().is_some_and(Vec::is_empty).then_some(()));
    let before = other.posts().len();
    holds_for(Duration::from_millis(500), "silence", || other.posts().len() <= before + 1);
    assert_eq!(stack.pid("good"), pid);
}

#[test]
fn damage_to_what_waits_is_put_aside_and_alerts_go_on() {
    let hook = Receiver::start();
    let stack = setup(&webhook(&hook.url("/"), "")).prepare();
    std::fs::create_dir(stack.path("state")).expect("the directory can be written");
    std::fs::write(stack.path("state/alerts.json"), "{\"version\":1,\"ledger\":[")
        .expect("the directory can be written");
    stack.cli(&["start", "--no-wait"]).succeeded();
    hook.wait_for("crash-loop");
    assert!(stack.path("state/alerts.damaged").exists());
}

#[test]
fn a_new_generation_that_is_no_good_is_told() {
    let hook = Receiver::start();
    let port = free_port();
    let service = |program: &str| {
        format!(
            "[services.web]\ncommand = {program}\nport = {port}\nready = {{ notify = true }}\n\
             rollout = {{ handoff = 'socket', bake = '100ms' }}\n{}",
            webhook(&hook.url("/"), "")
        )
    };
    let stack = e2e::Setup::of(&service("['./exemplar']")).supervisor("auto_reload = false").start();
    stack.edit("['./exemplar']", "['sh', '-c', 'echo bad luck; exit 4']");
    stack.cli(&["reload"]).ended_with(1);
    let told = hook.wait_for("rolled-back");
    assert_eq!(told["service"], "web");
    assert!(told["cause"].as_str().unwrap_or_default().contains("exited with code 4"), "{told:#}");
}
