//! Too little memory for the supervisor and its services together.
//! Not here: limits of single services (`limits`).

use std::fs;

use e2e::{Group, Setup, eventually, is_root, skip};

fn oom_score_adj(pid: i32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("it lives");
    text.trim().parse().expect("a number")
}

#[test]
fn where_memory_is_short_for_all_together_the_service_dies_and_never_the_supervisor() {
    let name = "where_memory_is_short_for_all_together_the_service_dies_and_never_the_supervisor";
    let Some(container) = is_root().then(|| Group::of_memory(200)).flatten() else {
        return skip(name, "only root with control groups of memory can make it short");
    };
    let words = container.words();
    let mut stack = Setup::of(
        "[services.fat]\ncommand = './puppet hog 600 --after grow'\nrestart = { delay = '60s', max_delay = '60s' }\n\
         [services.thin]\ncommand = './puppet wait'",
    )
    .before(&words.each_ref().map(String::as_str))
    .start();
    let (keeper, control, thin) = (stack.keeper(), stack.control(), stack.pid("thin"));
    for pid in [thin, stack.pid("fat")] {
        let least = oom_score_adj(keeper).max(oom_score_adj(control));
        assert!(oom_score_adj(pid) > least, "it goes before the supervisor");
    }
    fs::write(stack.path("grow"), "").expect("the directory can be written");
    let service = stack.wait_for("fat", "backoff");
    assert_eq!(service.last_exit()["signal"], "KILL", "{:#}", service.0);
    assert!(!service.last_exit()["oom"].is_null(), "{:#}", service.0);
    // Whether it was this one, only the kernel's own log tells, which not every root may read.
    if service.last_exit()["oom"] == "machine" {
        let told = stack.cli(&["events", "fat", "--kind", "limit"]).succeeded().stdout;
        assert!(told.contains("was killed, as the machine was short of memory; it had used "), "{told}");
    }
    let why = stack.cli(&["why", "fat"]).stdout;
    assert!(why.contains("out of memory"), "{why}");
    assert_eq!((stack.keeper(), stack.control(), stack.pid("thin")), (keeper, control, thin));
    stack.stop();
    eventually("its group to be empty", || container.is_empty().then_some(()));
}
