//! What the keeper and control say to each other.
//! Not here: how it looks on the wire (`codec`), and what is done about it.

use crate::strings::Strings;

/// The version of the protocol. A control that reads another one says so and exits.
pub const VERSION: u32 = 3;

/// At most this many file descriptors travel in one frame (and so are in flight, as each such frame is answered).
pub const MAX_FDS: usize = 32;

/// A program that begins with this, with the number of one of the child's descriptors behind it, is that file, and `exec`
/// closes the descriptor.
pub const BY_DESCRIPTOR: &str = "/proc/self/fd/";

/// Control asks; the keeper answers each request but `Acknowledge` with exactly one `Reply` under the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Make a process. The frame carries the child's descriptors, those to hold, those to join, and the control
    /// group if there is one.
    Spawn(Box<Spawn>),
    /// Send a signal to the main process of a run; with `and_continue`, `SIGCONT` after it. With `group`, to its
    /// process group (the main process leads it, and is not reaped before its exit is known, so the number is safe).
    Signal { run: u64, signal: i32, and_continue: bool, group: bool },
    /// Send a signal to a child of the keeper that is no run's main process. Refused (`ESRCH`) when it is not one now.
    SignalOrphan { pid: i32, signal: i32, and_continue: bool },
    /// Which children of the keeper are no run's main process? Answered by `Orphans`; after the next reaping of one
    /// of them the keeper sends `Notice::OrphanReaped` once.
    ListOrphans,
    /// Hold file descriptors under names; the frame carries one for each name. A name that is held is replaced.
    Hold { names: Vec<String> },
    /// Close what is held under these names. Unknown names are ignored.
    Drop { names: Vec<String> },
    /// Give duplicates of what is held under these names, at most `MAX_FDS`. Answered by `Fds` with those that exist.
    Fetch { names: Vec<String> },
    /// Keep this record.
    Put { key: String, value: Vec<u8> },
    /// Forget this record.
    Delete { key: String },
    /// What to do when the keeper must shut down by itself.
    Configure { shutdown_timeout_ms: u64 },
    /// Every service is down: end what is left, then exit with this code.
    Finish { code: u8 },
    /// Every notice up to this number has been dealt with. Not answered. An acknowledged `Exited` is forgotten.
    Acknowledge { up_to: u64 },
}

/// Everything that the keeper needs to make a process. It resolves no path and no name: the child does what needs one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spawn {
    /// Control's number for it.
    pub run: u64,
    /// Ends with the epoch of control, and at its deadline; 0: a service, which outlives control.
    pub helper_deadline_ms: u64,
    /// The executable, absolute or `BY_DESCRIPTOR`.
    pub program: Vec<u8>,
    /// `argv`, the zeroth included.
    pub argv: Strings,
    /// `KEY=VALUE`. `LISTEN_PID` is added by the child when `listen_pid` is set.
    pub env: Strings,
    /// Add `LISTEN_PID=<own pid>`.
    pub listen_pid: bool,
    /// The working directory, absolute.
    pub cwd: Vec<u8>,
    /// The file mode creation mask.
    pub umask: u32,
    /// Soft and hard limit of open files; `None`: what the keeper itself was started with.
    pub nofile: Option<(u64, u64)>,
    /// Become this user: uid, gid, supplementary groups. Sets no_new_privs.
    pub user: Option<(u32, u32, Vec<u32>)>,
    /// The descriptor numbers in the child of the frame's file descriptors, in order; unlisted 0 is `/dev/null`.
    pub fds: Vec<u32>,
    /// Hold duplicates of these under these names while the run lives and until `Drop`: index into `fds` is not
    /// meant; the frame carries them after the child's own.
    pub hold: Vec<String>,
    /// The last descriptor is a control group (v2), in which the process is to begin. Where the kernel has no such call
    /// the process joins it first of all; where it is refused that, too, it is where the keeper is.
    pub in_group: bool,
    /// So many descriptors, after those to hold and before the group, are `cgroup.procs` of further control groups: those
    /// that keep it within its limits. It joins them before anything else; where it cannot, there is no process.
    pub join: u32,
    /// Put this record before the fork: intent precedes the process.
    pub record: Option<(String, Vec<u8>)>,
    /// For a shutdown without control: higher ranks are stopped first.
    pub stop_rank: u32,
    /// For a shutdown without control: the signal that asks.
    pub stop_signal: i32,
    /// For a shutdown without control: how long until `SIGKILL`.
    pub stop_timeout_ms: u64,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// Not done.
    Failed { errno: i32 },
    /// The process exists and has called `exec` with success.
    Spawned { pid: i32 },
    /// No process: the step that failed, and why. `step` is one of `Step`'s names.
    SpawnFailed { step: String, errno: i32 },
    /// Process id and session id of each, in no order.
    Orphans { processes: Vec<(i32, i32)> },
    /// The frame carries one file descriptor for each name.
    Fds { names: Vec<String> },
}

/// The keeper tells; each carries a number for `Acknowledge`. Control must acknowledge within ten seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The first of a new control: then `Run`, `Record` and `Held` in any order, then `Ready`.
    Welcome { version: u32, epoch: u64, keeper_pid: i32, pid_one: bool },
    /// A process that lives, or whose exit was never acknowledged (its `Exited` follows after `Ready`).
    Run { run: u64, pid: i32, started_ms: u64, helper: bool },
    /// A record.
    Record { key: String, value: Vec<u8> },
    /// A name under which a file descriptor is held.
    Held { name: String },
    /// The inventory is complete.
    Ready,
    /// A run's main process is gone. Told again to each new control until acknowledged.
    Exited(Exited),
    /// One of the processes that `ListOrphans` told of has been reaped.
    OrphanReaped,
    /// Someone asked the keeper to stop: `SIGTERM` or `SIGINT` (`now`: for the second time).
    Shutdown { now: bool },
    /// `SIGHUP`.
    Reload,
}

/// The end of a run's main process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exited {
    /// The run.
    pub run: u64,
    /// Its process id, free for others from now on.
    pub pid: i32,
    /// The exit code, when it exited.
    pub code: Option<i32>,
    /// The signal, when one ended it.
    pub signal: Option<i32>,
    /// The kernel wrote a core (`WCOREDUMP`).
    pub core_dumped: bool,
    /// When, in milliseconds of `CLOCK_MONOTONIC`.
    pub at_ms: u64,
    /// User and system time of the process and its waited-for children, in microseconds.
    pub cpu_us: u64,
    /// Greatest resident set, in bytes.
    pub max_rss: u64,
    /// At that moment the keeper had no child that is not a run's main process: nothing of the tree can be left.
    pub alone: bool,
}

/// One list for the steps, their numbers and their names.
macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident = $number:literal $name:literal,)+) => {
        /// The steps of a spawn, in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Step {
            $($(#[doc = $doc])+ $step = $number,)+
        }

        impl Step {
            /// The step with this number: the child reports it as one byte.
            pub(crate) fn numbered(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$step),)+
                    _ => None,
                }
            }

            /// The name that `SpawnFailed` uses.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }
    };
}

steps! {
    /// The keeper's own part: pipe, fork, or the deadline of the launch.
    Fork = 1 "fork",
    /// A session of its own.
    Setsid = 2 "setsid",
    /// Resource limits, priorities, and the file mode creation mask.
    Limits = 3 "limits",
    /// The working directory.
    Chdir = 4 "chdir",
    /// Placing and closing file descriptors.
    Fds = 5 "fds",
    /// Supplementary groups.
    Setgroups = 6 "setgroups",
    /// Group ids.
    Setgid = 7 "setgid",
    /// User ids.
    Setuid = 8 "setuid",
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivs = 9 "no_new_privs",
    /// Capabilities, which only root keeps.
    Capabilities = 10 "capabilities",
    /// `execve`.
    Exec = 11 "exec",
}
