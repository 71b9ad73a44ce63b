//! Control killed again and again, at every moment of its life: nothing is lost, doubled or left over.
//! Not here: single deaths (`crash_of_control`). The long form is for `tests/soak`.

use std::fs;
use std::time::Duration;

use e2e::{Setup, Signal, Stack, child_pids, eventually, open_files, send};

/// A control that dies young is started later each time, so several stacks take turns at waiting.
const STACKS: u64 = 8;
const STEADY: usize = 18;

#[test]
fn control_is_killed_in_sixteen_moments() {
    soak(16);
}

#[test]
#[ignore = "takes minutes: run tests/soak"]
fn control_is_killed_in_as_many_moments_as_asked_for() {
    soak(std::env::var("SOAK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(500));
}

fn soak(rounds: u64) {
    std::thread::scope(|scope| {
        for seed in 0..STACKS {
            scope.spawn(move || one_stack(rounds.div_ceil(STACKS), seed));
        }
    });
}

fn one_stack(rounds: u64, seed: u64) {
    let steady: String =
        (0..STEADY).map(|number| format!("[services.s{number}]\ncommand = './puppet wait'\n")).collect();
    let restless = "[services.talking]\ncommand = './puppet seq --rate 200'\n\
         [services.looping]\ncommand = './puppet stamp stamps --exit 1'\n\
         restart = { delay = '200ms', max_delay = '200ms', crash_loop = 1000000 }\n";
    let mut stack = Setup::of(&format!("{steady}{restless}")).start_no_wait();
    let names: Vec<String> = (0..STEADY).map(|number| format!("s{number}")).chain(["talking".to_owned()]).collect();
    names.iter().for_each(|name| drop(stack.wait_for(name, "running")));
    let pids: Vec<i32> = names.iter().map(|name| stack.pid(name)).collect();
    let (keeper, descriptors) = (stack.keeper(), open_files(stack.keeper()));
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for round in 0..rounds {
        let old = stack.control();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // From before its first word until after its last step.
        std::thread::sleep(Duration::from_millis(random % 80));
        send(old, Signal::SIGKILL);
        eventually("another control", || (stack.control() != old).then_some(()));
        assert_one_of_each(&stack, &pids, round);
    }
    stack.get("/livez");
    assert_eq!(stack.keeper(), keeper);
    for (name, pid) in names.iter().zip(&pids) {
        let service = stack.wait_for(name, "running");
        assert_eq!((service.pid(), service.restarts()), (Some(*pid), 0), "{name}");
    }
    let tried = stack.service("looping").generation();
    stack.wait_until("looping", "tried again", |service| service.generation() > tried);
    stack.cli(&["stop", "looping"]).succeeded();
    eventually("the keeper to hold what it held", || (open_files(keeper) <= descriptors).then_some(()));
    stack.stop();
    let log = String::from_utf8_lossy(&stack.log("talking")).into_owned();
    let numbers: Vec<u64> = log.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "a line is lost or doubled");
    let stamps = fs::read_to_string(stack.path("stamps")).expect("it was started");
    assert!(stamps.lines().count() as u64 >= tried, "a start that was counted did not happen");
}

/// Every steady service is the process that it was, and nothing else is there but control and one that comes and goes.
#[track_caller]
fn assert_one_of_each(stack: &Stack, pids: &[i32], round: u64) {
    let children = child_pids(stack.keeper());
    assert!(pids.iter().all(|pid| children.contains(pid)), "round {round}: a service is gone");
    // Control, its predecessor that is being reaped, and the restless one.
    assert!(children.len() <= pids.len() + 3, "round {round}: {} children of {}", children.len(), pids.len());
}
