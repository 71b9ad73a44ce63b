//! Storms of errors: whatever goes wrong again and again, the supervisor's own files stay small.
//! Not here: the files themselves (`supervisor-logs`, the journal's own tests), what services print.

use std::fs;
use std::path::Path;

use e2e::{Setup, Stack, eventually, raw_over_tcp};

/// Of a directory, with all below it.
fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// What the supervisor has written about itself.
fn own_bytes(stack: &Stack) -> u64 {
    let logs = fs::read_dir(stack.path("logs")).into_iter().flatten().flatten();
    let own = logs.filter(|entry| entry.file_name().to_string_lossy().starts_with("supervisor.log"));
    let log: u64 = own.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum();
    log + bytes_below(&stack.path("state"))
}

#[test]
fn what_strangers_and_services_say_wrong_leaves_no_word_in_the_supervisors_own_files() {
    let garbage = vec!["garbage"; 1_000].join(" ");
    let stack = Setup::of(&format!(
        "[services.loud]\ncommand = './puppet notify ready {garbage} over'\nready = {{ notify = true }}"
    ))
    .http("listen = 0")
    .start();
    stack.wait_log("loud", "sent over");
    let (address, before) = (stack.http_address(), own_bytes(&stack));
    for _ in 0..300 {
        for request in
            ["GET /nowhere HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "\0\u{1}not http\r\n\r\n"]
        {
            let _refused = raw_over_tcp(address, request.as_bytes());
        }
    }
    assert_eq!(stack.get("/livez").status, 200);
    let grown = own_bytes(&stack) - before;
    assert!(grown < 4096, "{grown} bytes more after 600 wrong requests");
    let log = fs::read_to_string(stack.path("logs/supervisor.log")).expect("it is there");
    assert!(log.lines().count() < 50, "{log}");
}

#[test]
fn a_service_that_fails_without_rest_costs_so_much_of_the_disk_and_no_more() {
    let storm: String = (0..4)
        .map(|number| format!("[services.s{number}]\ncommand = './puppet exit-code 1'\nrestart.delay = '0s'\n"))
        .collect();
    let stack = Setup::of(&storm).start_no_wait();
    let failed = || (0..4).map(|number| stack.service(&format!("s{number}")).restarts()).sum::<u64>();
    let first = eventually("the storm to begin", || Some(failed()).filter(|failed| *failed > 200));
    let before = own_bytes(&stack);
    let reports = || fs::read_dir(stack.path("state/exits")).into_iter().flatten().count();
    eventually("a thousand more to fail", || (failed() > first + 1_000).then_some(()));
    let (grown, more) = (own_bytes(&stack).saturating_sub(before), failed() - first);
    // Until their files are full, which are then reused: four events and three lines for each end.
    assert!(grown / more < 2048, "{} bytes for each of {more} failures", grown / more);
    assert!(reports() <= 4 * 21, "{} reports", reports());
    stack.cli(&["stop", "--now"]).succeeded();
}
