//! A process that cannot die: it waits within the kernel for a file system that is frozen.
//! Not here: logs on a disk that is dead (`supervisor-logs`).

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Setup, Signal, Stack, cpu_ticks, eventually, holds_for, is_root, skip};
use tempfile::TempDir;

/// A file system of its own, in a mount namespace that nobody else sees; thawed when this is dropped.
struct Disk {
    shell: Child,
    commands: ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
    dir: TempDir,
}

impl Disk {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let script = "cd \"$0\" && mkdir disk && truncate -s 20M image && mkfs.ext4 -q image && mount -o loop image disk \
                      || exit 1; echo mounted; while read -r line; do $line && echo done || echo failed; done; \
                      fsfreeze -u disk 2>/dev/null; umount -l disk";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().ok()?;
        let commands = shell.stdin.take().expect("it is piped");
        let answers = BufReader::new(shell.stdout.take().expect("it is piped"));
        let mut disk = Self { shell, commands, answers, dir };
        (disk.answer() == "mounted").then_some(disk)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Words that lead what they are put before to where the disk is.
    fn words(&self) -> [String; 8] {
        let (pid, script) = (self.shell.id().to_string(), "cd \"$HOME\" && exec \"$@\"");
        ["nsenter", "-t", &pid, "-m", "sh", "-c", script, "sh"].map(str::to_owned)
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.commands, "{line}").expect("the shell reads");
        assert_eq!(self.answer(), "done", "{line}");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the shell answers");
        line.trim_end().to_owned()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _thawed_already = writeln!(self.commands, "fsfreeze -u disk\nexit");
        let _reaped = self.shell.wait();
    }
}

fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Generous, as machines stall: what waits for the disk would wait for seconds.
#[track_caller]
fn assert_prompt(stack: &Stack) {
    let began = Instant::now();
    assert_eq!(stack.get("/api/v1/status").status, 200);
    assert!(began.elapsed() < Duration::from_secs(1), "the API took {:?}", began.elapsed());
}

#[test]
fn a_service_that_cannot_die_hinders_nobody_and_ends_when_it_can() {
    let name = "a_service_that_cannot_die_hinders_nobody_and_ends_when_it_can";
    let Some(mut disk) = is_root().then(Disk::new).flatten() else {
        return skip(name, "only root can mount and freeze a file system");
    };
    let words = disk.words();
    let stack = Setup::of(&format!(
        "[services.stuck]\ncommand = ['sh', '-c', 'exec ./puppet seq --rate 100 > {}/numbers']\n\
         stop.timeout = '300ms'\n[services.other]\ncommand = './puppet wait'",
        disk.path().display()
    ))
    .before(&words.each_ref().map(String::as_str))
    .start();
    let (pid, control) = (stack.pid("stuck"), stack.control());
    disk.tell("fsfreeze -f disk");
    eventually("it to wait for the disk", || (state(pid) == Some('D')).then_some(()));
    stack.post("/api/v1/services/stuck/stop");
    let told = stack.wait_until("stuck", "said not to die", |service| service.cause().contains("will not die"));
    assert_eq!((told.state(), told.pid()), ("stopping", Some(pid)), "{:#}", told.0);
    let why = stack.cli(&["why", "stuck"]).stdout;
    assert!(why.contains("will not die") && why.contains("it waits within the kernel"), "{why}");
    let ended = |stack: &Stack| stack.cli(&["events", "stuck", "--kind", "exit,state", "-n", "100"]).stdout;
    let (before, events) = (cpu_ticks(control), ended(&stack));
    holds_for(Duration::from_secs(2), "the API answers", || {
        assert_prompt(&stack);
        state(pid) == Some('D')
    });
    assert_eq!(ended(&stack), events, "nothing is told again and again");
    // A loop without rest would take all two seconds.
    assert!(cpu_ticks(control) - before < 100, "{} ticks", cpu_ticks(control) - before);
    let other = stack.pid("other");
    stack.cli(&["restart", "other"]).succeeded();
    assert_ne!(stack.pid("other"), other);
    let other = stack.pid("other");
    e2e::send(other, Signal::SIGKILL);
    stack.wait_until("other", "up again", |service| service.state() == "running" && service.pid() != Some(other));
    disk.tell("fsfreeze -u disk");
    let service = stack.wait_for("stuck", "stopped");
    // Both signals wait for it; which one it finds first is the kernel's affair.
    assert!(matches!(service.last_exit()["signal"].as_str(), Some("KILL" | "TERM")), "{:#}", service.0);
    let ends = stack.cli(&["events", "stuck", "--kind", "exit"]).stdout;
    assert_eq!(ends.lines().count(), 1, "{ends}");
    stack.cli(&["start", "stuck"]).succeeded();
}

#[test]
fn services_whose_starts_hang_take_nothing_from_the_checks_and_starts_of_others() {
    const HANGING: usize = 20;
    let hanging: String = (0..HANGING)
        .map(|number| {
            format!(
                "[services.h{number}]\ncommand = './puppet wait'\nautostart = false\n\
                 secrets = {{ S = {{ command = ['sh', '-c', 'until [ -e go ]; do sleep 0.1; done; echo hanging'] }} }}\n"
            )
        })
        .collect();
    let stack = Setup::of(&format!(
        "{hanging}[services.well]\ncommand = './puppet wait'\n\
         live = {{ command = ['sh', '-c', 'echo >> checked'], interval = '50ms' }}"
    ))
    .supervisor(&format!("max_parallel_starts = {}", HANGING + 1))
    .start();
    let names: Vec<String> = (0..HANGING).map(|number| format!("h{number}")).collect();
    let words: Vec<&str> = ["start", "--no-wait"].into_iter().chain(names.iter().map(String::as_str)).collect();
    stack.cli(&words).succeeded();
    let hanging = || stack.processes().iter().filter(|one| one.command.contains("echo hanging")).count();
    let checked = || std::fs::metadata(stack.path("checked")).map_or(0, |file| file.len());
    let mut before = checked();
    eventually("the well one to be checked while all of them hang", || {
        if hanging() < HANGING {
            before = checked();
        }
        (checked() >= before + 5).then_some(())
    });
    let well = stack.pid("well");
    e2e::send(well, Signal::SIGKILL);
    stack.wait_until("well", "up again", |service| service.state() == "running" && service.pid() != Some(well));
    std::fs::write(stack.path("go"), "").expect("the directory can be written");
    names.iter().for_each(|name| drop(stack.wait_for(name, "running")));
}
