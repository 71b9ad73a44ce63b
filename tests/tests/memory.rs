//! Too little memory for the supervisor and its services together.
//! Not here: limits of single services (`limits`).

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{Setup, eventually, is_root, skip};

/// A control group of the test's own with a limit of memory; removed when this is dropped.
struct Container(PathBuf);

impl Container {
    fn of(megabytes: u64) -> Option<Self> {
        let bytes = (megabytes << 20).to_string();
        let name = format!("e2e-memory-{}", std::process::id());
        let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        places.into_iter().find_map(|(place, limit)| {
            let dir = Path::new(place).join(&name);
            fs::create_dir(&dir).ok()?;
            let container = Self(dir);
            // A file that is not there is not made: the kernel's alone are here.
            fs::OpenOptions::new().write(true).open(container.0.join(limit)).ok()?;
            fs::write(container.0.join(limit), &bytes).ok()?;
            let _no_swap_here = fs::write(container.0.join("memory.memsw.limit_in_bytes"), &bytes);
            let _no_swap_here = fs::write(container.0.join("memory.swap.max"), "0");
            Some(container)
        })
    }

    /// Words that put what they are put before into it.
    fn words(&self) -> [String; 4] {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// With what a supervisor that was killed has left in it.
fn remove(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).for_each(|entry| remove(&entry.path()));
    let _gone = fs::remove_dir(dir);
}

fn oom_score_adj(pid: i32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("it lives");
    text.trim().parse().expect("a number")
}

#[test]
fn where_memory_is_short_for_all_together_the_service_dies_and_never_the_supervisor() {
    let name = "where_memory_is_short_for_all_together_the_service_dies_and_never_the_supervisor";
    let Some(container) = is_root().then(|| Container::of(200)).flatten() else {
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
    eventually("its group to be empty", || {
        fs::read_to_string(container.0.join("cgroup.procs")).is_ok_and(|text| text.is_empty()).then_some(())
    });
}
