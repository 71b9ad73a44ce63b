//! Signals to the supervisor, terminals, and life as PID 1.
//! Not here: what a service inherits (`inheritance`).

use std::io::Write;
use std::time::{Duration, Instant};

use e2e::{Cell, Setup, Signal, alive, child_pids, eventually, holds_for, inner_number, send, skip, within};

#[test]
fn term_to_the_keeper_stops_everything_in_order() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet tell-signals --until SIGTERM'").start();
    stack.wait_log("t", "listening");
    send(stack.keeper(), Signal::SIGTERM);
    eventually("everything to end", || stack.processes().is_empty().then_some(()));
    stack.assert_nothing_left();
    assert_eq!(String::from_utf8_lossy(&stack.log("t")), "listening\nSIGTERM\n", "one TERM, and time to answer it");
}

#[test]
fn a_second_term_kills_what_would_not_end() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet ignore-term'\nstop = { timeout = '60s' }")
        .supervisor("shutdown_timeout = '60s'")
        .start();
    stack.wait_log("t", "deaf");
    let keeper = stack.keeper();
    send(keeper, Signal::SIGTERM);
    stack.wait_for("t", "stopping");
    send(keeper, Signal::SIGTERM);
    within(Duration::from_secs(5), "everything to end", || stack.processes().is_empty().then_some(()));
    stack.assert_nothing_left();
}

#[test]
fn a_hangup_in_the_middle_of_a_shutdown_changes_nothing() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet ignore-term'\nstop = { timeout = '1s' }").start();
    stack.wait_log("t", "deaf");
    let keeper = stack.keeper();
    send(keeper, Signal::SIGTERM);
    stack.wait_for("t", "stopping");
    send(keeper, Signal::SIGHUP);
    within(Duration::from_secs(10), "everything to end", || stack.processes().is_empty().then_some(()));
    stack.assert_nothing_left();
}

#[test]
fn a_term_during_a_slow_start_of_many_services_starts_no_further_one() {
    let services: String = (0..40)
        .map(|number| format!("[services.s{number}]\ncommand = './puppet stamp stamps'\nready = {{ notify = true }}\n"))
        .collect();
    let mut stack = Setup::of(&services).supervisor("max_parallel_starts = 2").start_no_wait();
    let starts = || std::fs::read_to_string(stack.path("stamps")).map_or(0, |text| text.lines().count());
    eventually("some to start", || (starts() >= 2).then_some(()));
    send(stack.keeper(), Signal::SIGTERM);
    eventually("everything to end", || stack.processes().is_empty().then_some(()));
    assert!(starts() < 40, "all {} were started", starts());
    let after = starts();
    holds_for(Duration::from_millis(500), "no start after the end", || starts() == after);
    stack.assert_nothing_left();
}

#[test]
fn one_interrupt_at_the_terminal_is_one_graceful_stop() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet tell-signals --until SIGTERM'").prepare();
    let (mut terminal, out, _) = stack.spawn_in_terminal(&["start", "--foreground"]);
    stack.wait_log("t", "listening");
    let keys = terminal.stdin.as_mut().expect("it was asked for");
    keys.write_all(b"\x03").expect("the terminal is there");
    eventually("everything to end", || stack.processes().is_empty().then_some(()));
    let status = terminal.wait().expect("it is our child");
    assert_eq!(status.code(), Some(0), "{}", std::fs::read_to_string(out).unwrap_or_default());
    assert_eq!(String::from_utf8_lossy(&stack.log("t")), "listening\nSIGTERM\n", "the key reached the supervisor only");
    stack.assert_nothing_left();
}

#[test]
fn a_stack_in_the_foreground_ends_with_its_terminal() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    let (mut terminal, ..) = stack.spawn_in_terminal(&["start", "--foreground"]);
    stack.wait_for("t", "running");
    terminal.kill().expect("it is our child");
    terminal.wait().expect("it is our child");
    eventually("everything to end", || stack.processes().is_empty().then_some(()));
    stack.assert_nothing_left();
}

#[test]
fn a_stack_in_the_background_outlives_its_terminal() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    let (mut terminal, ..) = stack.spawn_in_terminal(&["start"]);
    stack.wait_for("t", "running");
    let pid = stack.pid("t");
    eventually("`start` to end by itself", || terminal.try_wait().expect("it is our child"));
    holds_for(Duration::from_millis(500), "the service lives on", || alive(pid));
    assert_eq!(stack.service("t").pid(), Some(pid));
}

#[test]
fn as_pid_1_it_reaps_every_orphan() {
    let Some(cell) = Cell::available() else {
        return skip("as_pid_1_it_reaps_every_orphan", "no process namespaces here");
    };
    let stack = Setup::of("[services.t]\ncommand = './puppet orphans 1000'").in_cell(&cell).run();
    stack.wait_log("t", "orphaned");
    let keeper = stack.keeper();
    eventually("no zombie to be left", || {
        let zombies = child_pids(keeper).into_iter().filter(|pid| !alive(*pid)).count();
        (zombies == 0).then_some(())
    });
    assert_eq!(stack.service("t").restarts(), 0);
}

#[test]
fn as_pid_1_no_signal_but_the_documented_ones_ends_it() {
    let Some(cell) = Cell::available() else {
        return skip("as_pid_1_no_signal_but_the_documented_ones_ends_it", "no process namespaces here");
    };
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").in_cell(&cell).run();
    let pid = stack.wait_for("t", "running").pid();
    let keeper = stack.keeper();
    let documented = [Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
    for signal in Signal::iterator().filter(|signal| !documented.contains(signal)) {
        send(keeper, signal);
        assert_eq!(stack.get("/livez").status, 200, "after {signal}");
    }
    assert_eq!(stack.service("t").pid(), pid);
    assert!(alive(keeper));
}

#[test]
fn as_pid_1_it_ends_within_the_ten_seconds_that_containers_get() {
    let Some(cell) = Cell::available() else {
        return skip("as_pid_1_it_ends_within_the_ten_seconds_that_containers_get", "no process namespaces here");
    };
    let mut stack = Setup::of("[services.t]\ncommand = './puppet ignore-term'").in_cell(&cell).run();
    stack.wait_log("t", "deaf");
    let began = Instant::now();
    send(stack.keeper(), Signal::SIGTERM);
    stack.foreground_code();
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    stack.assert_nothing_left();
}

#[test]
fn a_process_that_got_the_number_of_a_dead_service_is_left_alone() {
    let name = "a_process_that_got_the_number_of_a_dead_service_is_left_alone";
    if !e2e::is_root() {
        return skip(name, "only root may choose the next process number");
    }
    let Some(cell) = Cell::available() else {
        return skip(name, "no process namespaces here");
    };
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet wait'\nrestart = { delay = '30s', jitter = 0.0, reset_after = '1h' }\n\
         [services.other]\ncommand = './puppet wait'",
    )
    .in_cell(&cell)
    .run();
    let inner = stack.wait_for("t", "running").pid().expect("it runs");
    // A death is followed by a wait, in which somebody else can take the number.
    send(stack.pid("t"), Signal::SIGKILL);
    stack.wait_for("t", "backoff");
    let keeper = stack.keeper().to_string();
    let puppet = stack.path("puppet");
    let words = format!("echo {} > /proc/sys/kernel/ns_last_pid && {} wait; exit", inner - 1, puppet.display());
    let mut enter = std::process::Command::new("nsenter");
    enter.args(["-t", &keeper, "-p", "-m", "sh", "-c", &words]);
    let mut stranger = enter.spawn().expect("nsenter runs");
    let taken = eventually("the stranger to run", || {
        let shells = child_pids(i32::try_from(stranger.id()).ok()?);
        shells.into_iter().flat_map(child_pids).find(|pid| inner_number(*pid) == Some(inner))
    });
    stack.cli(&["signal", "t", "USR1"]);
    stack.cli(&["stop", "t"]).succeeded();
    holds_for(Duration::from_millis(300), "the stranger lives", || alive(taken));
    stranger.kill().expect("it is our child");
    send(taken, Signal::SIGKILL);
    stranger.wait().expect("it is our child");
}
