//! What is written where, on stand-in directories: a kernel shows either version of a controller only once.
//! Not here: that the kernel heeds it (the tests from outside do that, with the version that the machine has).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

/// A hierarchy of version 2 as far as files can stand in for it: in a real one they exist in each new group.
fn standing_in() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let stack = dir.path().join("supervisor-s");
    std::fs::create_dir(&stack).unwrap();
    for (place, controllers) in [(dir.path(), "cpu memory pids"), (stack.as_path(), "")] {
        std::fs::write(place.join("cgroup.controllers"), controllers).unwrap();
        std::fs::write(place.join("cgroup.subtree_control"), "").unwrap();
        std::fs::write(place.join("cgroup.procs"), "").unwrap();
    }
    (dir, stack)
}

fn read(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap()
}

fn group_of(files: &[(&str, &str)], version: Version) -> (tempfile::TempDir, Group) {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    let group = Group { dir: dir.path().to_owned(), version };
    (dir, group)
}

const MOST: Most = Most { memory: Some(64 << 20), pids: Some(10), cpu_milli: Some(1500) };

#[test]
fn limits_of_version_2_are_written_as_the_kernel_reads_them() {
    let files = ["memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max"].map(|file| (file, ""));
    let (dir, group) = group_of(&files, Version::Two);
    for controller in Controller::ALL {
        group.set(controller, &MOST).unwrap();
    }
    let written = files.map(|(file, _)| read(dir.path(), file));
    assert_eq!(written, ["67108864", "0", "1", "10", "150000 100000"]);
}

#[test]
fn limits_of_version_1_are_written_as_the_kernel_reads_them_and_taken_back() {
    let files = ["memory.limit_in_bytes", "pids.max", "cpu.cfs_period_us", "cpu.cfs_quota_us"].map(|file| (file, ""));
    let (dir, group) = group_of(&files, Version::One);
    for (most, expected) in
        [(MOST, ["67108864", "10", "100000", "150000"]), (Most::default(), ["-1", "max", "100000", "-1"])]
    {
        files.iter().for_each(|(file, _)| std::fs::write(dir.path().join(file), "").unwrap());
        for controller in Controller::ALL {
            group.set(controller, &most).unwrap();
        }
        assert_eq!(files.map(|(file, _)| read(dir.path(), file)), expected);
    }
}

#[test]
fn a_controller_that_is_not_there_is_an_error_and_no_new_file() {
    let (dir, group) = group_of(&[], Version::Two);
    let error = group.set(Controller::Pids, &MOST).unwrap_err();
    assert!(error.to_string().contains("pids.max"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn both_versions_tell_what_is_used_and_what_was_killed() {
    let stat = "cache 5\ninactive_file 30\ntotal_inactive_file 40\n";
    let one = [
        ("memory.usage_in_bytes", "100\n"),
        ("memory.stat", stat),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ("memory.max_usage_in_bytes", "99\n"),
        ("memory.limit_in_bytes", "100\n"),
        ("cgroup.procs", "12\n13\n"),
    ];
    let two = [
        ("memory.current", "100\n"),
        ("memory.stat", stat),
        ("memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 1\n"),
        ("cgroup.procs", "12\n13\n"),
    ];
    for ((_dir, group), used) in [(group_of(&one, Version::One), 60), (group_of(&two, Version::Two), 70)] {
        assert_eq!(group.memory(), Some(used));
        assert_eq!((group.oom_kills(), group.was_at_memory_limit()), (Some(2), true));
        assert_eq!(group.members(), [12, 13]);
    }
}

#[test]
fn a_group_that_holds_nobody_hands_its_controllers_down() {
    let (dir, stack) = standing_in();
    // What the kernel does once the group above hands them down.
    std::fs::write(stack.join("cgroup.controllers"), "cpu memory pids").unwrap();
    assert_eq!(enable(&stack, &[1, 2]), Controller::ALL);
    assert_eq!(read(dir.path(), "cgroup.subtree_control"), "", "they are here already");
    assert!(read(&stack, "cgroup.subtree_control").starts_with("+cpu"), "the last that was written");
}

#[test]
fn the_supervisor_steps_aside_only_where_it_is_alone() {
    let (dir, stack) = standing_in();
    std::fs::write(dir.path().join("cgroup.procs"), "1\n2\n77\n").unwrap();
    assert!(groups::step_aside(dir.path(), &stack, &[1, 2]).is_err());
    assert!(!dir.path().join("supervisor-s-roles").exists());
    std::fs::write(dir.path().join("cgroup.procs"), "1\n2\n").unwrap();
    let aside = dir.path().join("supervisor-s-roles");
    std::fs::create_dir(&aside).unwrap();
    std::fs::write(aside.join("cgroup.procs"), "").unwrap();
    groups::step_aside(dir.path(), &stack, &[1, 2]).unwrap();
    assert_eq!(read(&aside, "cgroup.procs"), "1\n2\n");
}

#[test]
fn a_run_is_confined_in_version_1_before_it_begins_and_only_as_far_as_it_is_limited() {
    let (_dir, home) = group_of(&[], Version::One);
    let mut controllers = Controllers::default();
    controllers.groups.insert(Controller::Pids, home.clone());
    controllers.groups.insert(Controller::Memory, Group { version: Version::Two, ..home.clone() });
    let (confines, join) = controllers.confine("k.7", &Most::default()).unwrap();
    assert!(confines.is_empty() && join.is_empty(), "no limit, no group");
    // A directory that is no control group has no such file: whatever was made is gone again.
    assert!(controllers.confine("k.7", &MOST).is_err());
    assert!(!home.dir.join("k.7").exists());
}
