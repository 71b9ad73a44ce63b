//! What a dead disk under the log of one service costs everybody else: answers, other logs, restarts, memory.
//! Not here: that nothing is lost or stalled (see the tests of the logs package).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is the purpose, and progress is for whoever waits for it"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Anything that keeps a figure from being taken; it is only ever shown.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Services that say nothing.
const SILENT: usize = 20;
/// Who follows the log of another service meanwhile.
const READERS: usize = 8;
/// Between two requests of one who asks.
const ASKED: Duration = Duration::from_millis(10);
/// Between two kills.
const KILLED: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);
/// The log whose disk dies, a log on another disk, and what is asked of them.
const DEAD: &str = "/api/v1/services/dead/logs?tail=100";
const WELL: &str = "/api/v1/services/well/logs?tail=100";
const STATUS: &str = "/api/v1/status";
const FOLLOW: &str = "/api/v1/services/well/logs?tail=0&follow=true";
/// The disk is a file system of its own, which is frozen: whoever writes to it waits within the kernel. It is seen by
/// this program and its children alone, and gone with them.
const DISK: &str = r#"cd "$1" && mkdir disk && truncate -s 200M image && mkfs.ext4 -q image && mount -o loop image disk || exit 1
    "$0" measure "$1" "$2" "$3"; code=$?; fsfreeze -u disk 2>/dev/null; umount disk; exit $code"#;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["lines", count, pause] => write_lines(count, pause),
        ["report", fifo] => report(Path::new(fifo)),
        ["measure", dir, before, dead] => measure(Path::new(dir), before, dead),
        [] => on_a_disk("20", "60"),
        ["--quick"] => on_a_disk("2", "3"),
        _ => Err("usage: cargo bench -p supervisor --bench dead_disk -- [--quick]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// So many lines at a time, with so many milliseconds between; each has its number and its moment.
fn write_lines(count: &str, pause: &str) -> Result<(), Error> {
    let (count, pause): (u64, _) = (count.parse()?, Duration::from_millis(pause.parse()?));
    for first in (1..).step_by(usize::try_from(count)?) {
        let lines: String =
            (first..first + count).map(|number| format!("{:.<99}\n", format!("{number} {} ", now_ns()))).collect();
        io::stdout().write_all(lines.as_bytes())?;
        thread::sleep(pause);
    }
    Ok(())
}

fn report(fifo: &Path) -> Result<(), Error> {
    File::options().write(true).open(fifo)?.write_all(format!("{} {}\n", std::process::id(), now_ns()).as_bytes())?;
    loop {
        nix::unistd::pause();
    }
}

fn on_a_disk(before: &str, dead: &str) -> Result<(), Error> {
    let dir = tempfile::TempDir::with_prefix("bench-")?;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", DISK]).arg(std::env::current_exe()?).arg(dir.path()).args([before, dead]);
    if command.status()?.success() { Ok(()) } else { Err("not measured; only root can mount and freeze a disk".into()) }
}

/// Moments on the monotonic clock, and what took how long then.
type Samples = Vec<(u64, u64)>;

fn measure(dir: &Path, before: &str, dead: &str) -> Result<(), Error> {
    let (before, dead) = (Duration::from_secs(before.parse()?), Duration::from_secs(dead.parse()?));
    let mut stack = Stack::start(dir)?;
    let (socket, over) = (dir.join("run/api.sock"), AtomicBool::new(false));
    let asked = |path| {
        let (socket, over) = (&socket, &over);
        move || ask_until(socket, path, over)
    };
    thread::scope(|scope| {
        let askers = [STATUS, WELL, DEAD].map(|path| scope.spawn(asked(path)));
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| follow(&socket, &over))).collect();
        let spells = stack.live_through(before, dead);
        over.store(true, Ordering::Relaxed);
        let mut spells = spells?;
        for (samples, asker) in spells.asked.iter_mut().zip(askers) {
            *samples = asker.join().map_err(|_| "an asker panicked")??;
        }
        for reader in readers {
            spells.delays.extend(reader.join().map_err(|_| "a reader panicked")??);
        }
        let (lines, missing, dropped) = stack.ended()?;
        spells.print();
        println!("\nof the dead disk's log: {lines} lines, {missing} missing, {dropped} of these dropped and told");
        if missing == dropped { Ok(()) } else { Err("lines are missing of which nothing tells".into()) }
    })
}

/// What happened before the disk died, while it was dead, and afterwards.
#[derive(Default)]
struct Spells {
    /// When it began, when the disk died, and when it was thawed.
    began: u64,
    died: u64,
    thawed: u64,
    /// Of the status, of the other log, of the log on the dead disk.
    asked: [Samples; 3],
    /// From the writing of a line until a reader had it.
    delays: Samples,
    respawns: Samples,
    /// In KiB.
    memory: Samples,
    /// Until the log on the disk had a line that was written after the thaw.
    resumed: u64,
}

impl Spells {
    fn print(&self) {
        println!("| measure | disk dead | before | aim | met |\n| --- | --: | --: | --- | --- |");
        let [status, well, dead] = &self.asked;
        let rows: [(&str, &Samples, usize, Option<f64>); 9] = [
            ("status, p99", status, 99, Some(50.0)),
            ("status, longest", status, 100, None),
            ("100 lines of another log, p99", well, 99, Some(50.0)),
            ("100 lines of its log, p99", dead, 99, None),
            ("a line of another log until 8 readers have it, p99", &self.delays, 99, None),
            ("the same, longest", &self.delays, 100, Some(1000.0)),
            ("respawn of another service, median", &self.respawns, 50, None),
            ("the same, longest", &self.respawns, 100, None),
            ("memory (PSS), most", &self.memory, 100, None),
        ];
        for (measure, samples, percent, aim) in rows {
            let [before, dead] = [(self.began, self.died), (self.died, self.thawed)].map(|(from, to)| {
                let mut spans: Vec<u64> =
                    samples.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, span)| *span).collect();
                spans.sort_unstable();
                spans.get((spans.len() * percent / 100).min(spans.len().saturating_sub(1))).copied().unwrap_or(0)
            });
            if measure.starts_with("memory") {
                let [before, dead] = [before, dead].map(|kib| kib as f64 / 1024.0);
                row(
                    measure,
                    &format!("{dead:.2} MiB"),
                    &format!("{before:.2} MiB"),
                    Some(("< 16 MiB more", dead < before + 16.0)),
                );
            } else {
                let [before, dead] = [before, dead].map(|ns| ns as f64 / 1e6);
                let aim = aim.map(|most| (format!("< {most} ms"), dead < most));
                let aim = aim.as_ref().map(|(aim, met)| (aim.as_str(), *met));
                row(measure, &format!("{dead:.2} ms"), &format!("{before:.2} ms"), aim);
            }
        }
        row("its log goes on after the thaw", &format!("{:.2} ms", self.resumed as f64 / 1e6), "-", None);
    }
}

fn row(measure: &str, figure: &str, before: &str, aim: Option<(&str, bool)>) {
    let (aim, met) = aim.map_or(("-", "-"), |(aim, met)| (aim, if met { "yes" } else { "no" }));
    println!("| {measure} | {figure} | {before} | {aim} | {met} |");
}

struct Stack {
    dir: PathBuf,
    supervisor: Child,
    reports: BufReader<File>,
    victim: i32,
}

impl Stack {
    fn start(dir: &Path) -> Result<Self, Error> {
        let fifo = dir.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
        // Open for writing as well, so that it never ends.
        let reports = BufReader::new(File::options().read(true).write(true).open(&fifo)?);
        let config = dir.join("supervisor.toml");
        fs::write(&config, text(dir)?)?;
        let output = File::create(dir.join("output"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command.arg("--config").arg(&config).arg("run").stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let mut stack = Self { dir: dir.to_owned(), supervisor: command.spawn()?, reports, victim: 0 };
        stack.respawned()?;
        eventually("lines in both logs", || {
            let grown = |path| fs::metadata(stack.dir.join(path)).is_ok_and(|found| found.len() > 10_000);
            grown("disk/dead.log") && grown("logs/well.log")
        })?;
        Ok(stack)
    }

    /// When the service that is killed has begun anew.
    fn respawned(&mut self) -> Result<u64, Error> {
        let mut line = String::new();
        self.reports.read_line(&mut line)?;
        let (pid, at) = line.trim_end().split_once(' ').ok_or("no report")?;
        self.victim = pid.parse()?;
        Ok(at.parse()?)
    }

    fn live_through(&mut self, before: Duration, dead: Duration) -> Result<Spells, Error> {
        let mut spells = Spells { began: now_ns(), ..Spells::default() };
        eprintln!("{before:?} on a disk that is well");
        self.live(before, &mut spells)?;
        spells.died = now_ns();
        self.freeze("-f")?;
        eprintln!("{dead:?} on a dead one");
        let frozen = self.dead_log_bytes()?;
        let lived = self.live(dead, &mut spells);
        let grown = self.dead_log_bytes()? > frozen;
        spells.thawed = now_ns();
        self.freeze("-u")?;
        lived?;
        if grown {
            return Err("the disk was not dead".into());
        }
        eventually("a line after the thaw", || {
            let answer = ask(&self.dir.join("run/api.sock"), DEAD).unwrap_or_default();
            answer.lines().last().and_then(moment_of).is_some_and(|at| at > spells.thawed)
        })?;
        spells.resumed = now_ns() - spells.thawed;
        Ok(spells)
    }

    fn live(&mut self, spell: Duration, spells: &mut Spells) -> Result<(), Error> {
        let until = now_ns() + u64::try_from(spell.as_nanos())?;
        while now_ns() < until {
            let killed = now_ns();
            kill(Pid::from_raw(self.victim), Signal::SIGKILL)?;
            spells.respawns.push((killed, self.respawned()?.saturating_sub(killed)));
            spells.memory.push((now_ns(), self.memory_kib()?));
            thread::sleep(KILLED);
        }
        Ok(())
    }

    fn dead_log_bytes(&self) -> Result<u64, Error> {
        Ok(fs::metadata(self.dir.join("disk/dead.log"))?.len())
    }

    fn freeze(&self, how: &str) -> Result<(), Error> {
        let mut command = Command::new("fsfreeze");
        let done = command.arg(how).arg(self.dir.join("disk")).stderr(Stdio::null()).status()?;
        if done.success() { Ok(()) } else { Err(format!("fsfreeze {how}").into()) }
    }

    /// Of the keeper and control: what runs the supervisor's program.
    fn memory_kib(&self) -> Result<u64, Error> {
        let keeper = self.supervisor.id();
        let below = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"))?;
        let program = fs::read_link(format!("/proc/{keeper}/exe"))?;
        let mut sum = 0;
        for pid in below.split_whitespace().chain([keeper.to_string().as_str()]) {
            if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|other| other == program) {
                let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
                let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
                sum += pss.trim().trim_end_matches(" kB").parse::<u64>()?;
            }
        }
        Ok(sum)
    }

    /// Of the log on the disk: the number of its last line, how many before it are missing, and how many of these are
    /// told to be dropped.
    fn ended(mut self) -> Result<(u64, u64, u64), Error> {
        kill(Pid::from_raw(i32::try_from(self.supervisor.id())?), Signal::SIGTERM)?;
        self.supervisor.wait()?;
        let (mut last, mut there, mut dropped) = (0, 0, 0);
        for line in BufReader::new(File::open(self.dir.join("disk/dead.log"))?).lines() {
            let line = line?;
            if let Some(told) = line.strip_prefix("[supervisor] dropped ") {
                dropped += told.split(' ').nth(2).ok_or("no number")?.parse::<u64>()?;
                continue;
            }
            let number = line.split(' ').next().unwrap_or_default().parse()?;
            if number <= last {
                return Err(format!("line {number} after {last}").into());
            }
            (last, there) = (number, there + 1);
        }
        Ok((last, last - there, dropped))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _already = self.freeze("-u");
        if let (Ok(None), Ok(pid)) = (self.supervisor.try_wait(), i32::try_from(self.supervisor.id())) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
            let _reaped = self.supervisor.wait();
        }
    }
}

fn text(dir: &Path) -> Result<String, Error> {
    let (program, dir) = (std::env::current_exe()?, dir.display());
    let program = program.display();
    let mut services = BTreeMap::from([
        (
            "dead".to_owned(),
            format!("command = [\"{program}\", \"lines\", \"10\", \"3\"]\nlog = {{ dir = \"{dir}/disk\" }}"),
        ),
        ("well".to_owned(), format!("command = [\"{program}\", \"lines\", \"1\", \"10\"]")),
        ("victim".to_owned(), format!("command = [\"{program}\", \"report\", \"{dir}/fifo\"]")),
    ]);
    services
        .extend((0..SILENT).map(|number| (format!("s{number:04}"), "command = [\"sleep\", \"1000000\"]".to_owned())));
    let services: String = services.iter().map(|(name, keys)| format!("[services.{name}]\n{keys}\n")).collect();
    Ok(format!(
        "[supervisor]\nname = \"bench\"\nruntime_dir = \"{dir}/run\"\nstate_dir = \"{dir}/state\"\n\
         [http]\nlisten = \"off\"\n[logs]\ndir = \"{dir}/logs\"\nmax_size = \"100MiB\"\n\
         [defaults]\nrestart = {{ delay = \"0s\", crash_loop = 1000000 }}\n{services}"
    ))
}

fn ask_until(socket: &Path, path: &str, over: &AtomicBool) -> Result<Samples, Error> {
    let mut samples = Samples::new();
    while !over.load(Ordering::Relaxed) {
        let asked = now_ns();
        let answer = ask(socket, path)?;
        samples.push((asked, now_ns() - asked));
        if !answer.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{path} was not answered: {answer}").into());
        }
        thread::sleep(ASKED);
    }
    Ok(samples)
}

fn ask(socket: &Path, path: &str) -> Result<String, Error> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Of each line, when it was written and how long that was ago when it came.
fn follow(socket: &Path, over: &AtomicBool) -> Result<Samples, Error> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {FOLLOW} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut samples = Samples::new();
    for line in BufReader::new(stream).lines() {
        if let Some(at) = line?.strip_prefix("data: ").and_then(moment_of) {
            samples.push((at, now_ns().saturating_sub(at)));
        }
        if over.load(Ordering::Relaxed) {
            return Ok(samples);
        }
    }
    Err("a stream ended".into())
}

/// When a line was written that is as it was, or within JSON.
fn moment_of(line: &str) -> Option<u64> {
    let line = line.rsplit("\"line\":\"").next()?;
    line.split(' ').nth(1)?.parse().ok()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), Error> {
    let until = now_ns() + u64::try_from(PATIENCE.as_nanos())?;
    while !holds() {
        if now_ns() > until {
            return Err(format!("not in time: {what}").into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which processes can compare.
fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    // It is always there, and never negative.
    now.map_or(0, |now| {
        u64::try_from(i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec())).unwrap_or(0)
    })
}
