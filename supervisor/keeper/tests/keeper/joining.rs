//! The control groups that a process joins.
//! Not here: what they limit.

use std::fs::{self, File};
use std::os::fd::AsFd;

use nix::errno::Errno;
use supervisor_keeper::{Reply, Request, Spawn};

use crate::rig::Rig;

#[test]
fn a_process_joins_its_groups_before_it_is_another_program_or_is_none() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.inventory();
    // A file may stand in for the kernel's: the kernel takes 0 for whoever writes it.
    let (procs, out) = (rig.path("cgroup.procs"), File::create(rig.path("out")).unwrap());
    let joining = |run, script| Request::Spawn(Box::new(Spawn { fds: vec![1], join: 1, ..rig.script(run, script) }));
    let joined = File::create(&procs).unwrap();
    let script = format!("cat {}", procs.display());
    let (reply, _) = control.ask_with(&joining(1, &script), &[out.as_fd(), joined.as_fd()]);
    assert!(matches!(reply, Reply::Spawned { .. }), "{reply:?}");
    control.exit_of(1);
    assert_eq!(fs::read_to_string(rig.path("out")).unwrap(), "0");
    let closed = File::open(&procs).unwrap();
    let (reply, _) = control.ask_with(&joining(2, "true"), &[out.as_fd(), closed.as_fd()]);
    assert_eq!(reply, Reply::SpawnFailed { step: "limits".to_owned(), errno: Errno::EBADF as i32 });
}

/// What the kernel does not take for a control group it refuses as one that it cannot begin a process in.
#[cfg(target_os = "linux")]
#[test]
fn a_process_that_cannot_begin_in_its_group_joins_it_and_where_it_cannot_is_made_all_the_same() {
    let rig = Rig::start();
    let mut control = rig.control();
    control.inventory();
    let (group, out) = (File::open(rig.dir.path()).unwrap(), File::create(rig.path("out")).unwrap());
    let begin = |run| Request::Spawn(Box::new(Spawn { fds: vec![1], in_group: true, ..rig.script(run, "true") }));
    let (reply, _) = control.ask_with(&begin(1), &[out.as_fd(), group.as_fd()]);
    assert!(matches!(reply, Reply::Spawned { .. }), "{reply:?}");
    control.exit_of(1);
    File::create(rig.path("cgroup.procs")).unwrap();
    control.ask_with(&begin(2), &[out.as_fd(), group.as_fd()]);
    control.exit_of(2);
    assert_eq!(fs::read_to_string(rig.path("cgroup.procs")).unwrap(), "0");
}
