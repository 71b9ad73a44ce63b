//! What a reload costs, beside what the same work costs without a supervisor in the same run.
//! Not here: whether a reload does what it promises (see the end-to-end tests).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is the purpose, and progress is for whoever waits for it"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Anything that keeps a figure from being taken; it is only ever shown.
type Error = Box<dyn std::error::Error>;

/// A save is followed by so much quiet before it is looked at; it is in no figure.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// So that no configuration is held back: three take effect in ten seconds.
const APART: Duration = Duration::from_millis(3400);
/// Requests that change nothing are answered this often.
const PAUSE: Duration = Duration::from_millis(260);
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (size, rounds) = match words.first().map(String::as_str) {
        None => (500, 9),
        Some("--quick") => (20, 2),
        Some(other) => {
            eprintln!("unknown argument `{other}`\nusage: cargo bench -p supervisor --bench reload -- [--quick]");
            return ExitCode::from(2);
        }
    };
    match measure(size, rounds) {
        Ok(rows) => {
            println!(
                "| measure, {size} services | figure | baseline | ratio | aim | met |\n| --- | --: | --: | --: | --- | --- |"
            );
            rows.iter().for_each(Row::print);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Row {
    measure: &'static str,
    figure: Duration,
    baseline: Duration,
    under_ms: Option<f64>,
}

impl Row {
    fn print(&self) {
        let ms = |span: Duration| span.as_secs_f64() * 1000.0;
        let ratio = ms(self.figure) / ms(self.baseline);
        let (aim, met) = match self.under_ms {
            Some(most) => (format!("< {most} ms"), if ms(self.figure) < most { "yes" } else { "no" }),
            None => ("-".to_owned(), "-"),
        };
        println!(
            "| {} | {:.2} ms | {:.2} ms | {ratio:.2} | {aim} | {met} |",
            self.measure,
            ms(self.figure),
            ms(self.baseline)
        );
    }
}

fn measure(size: usize, rounds: usize) -> Result<Vec<Row>, Error> {
    let mut stack = Stack::start(size)?;
    let (mut saves, mut bare, mut asks, mut parses) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        std::thread::sleep(APART);
        stack.write(round + 1)?;
        let saved = Instant::now();
        fs::rename(stack.path("new.toml"), stack.path("supervisor.toml"))?;
        stack.told()?;
        saves.push(saved.elapsed().saturating_sub(DEBOUNCE));
        bare.push(stack.bare()?);
        std::thread::sleep(PAUSE);
        let asked = Instant::now();
        stack.reload()?;
        asks.push(asked.elapsed());
        let begun = Instant::now();
        let table: toml::Table = fs::read_to_string(stack.path("supervisor.toml"))?.parse()?;
        std::hint::black_box(table);
        parses.push(begun.elapsed());
    }
    Ok(vec![
        Row {
            measure: "one changed: from the save to its new process, beyond the quiet time",
            figure: median(saves),
            baseline: median(bare),
            under_ms: Some(100.0),
        },
        Row {
            measure: "none changed: one request, read and checked",
            figure: median(asks),
            baseline: median(parses),
            under_ms: None,
        },
    ])
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

/// A supervisor whose first service says each time that it began.
struct Stack {
    dir: TempDir,
    size: usize,
    supervisor: Child,
    fifo: File,
}

impl Stack {
    fn start(size: usize) -> Result<Self, Error> {
        let dir = TempDir::with_prefix("bench-")?;
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
        // Open for writing as well, so that it never ends.
        let fifo = File::options().read(true).write(true).open(&path)?;
        let output = File::create(dir.path().join("output"))?;
        let config = dir.path().join("supervisor.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command.arg("--config").arg(&config).arg("run").stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        fs::write(&config, text(&dir.path().display().to_string(), size, 0))?;
        let mut stack = Self { supervisor: command.spawn()?, dir, size, fifo };
        stack.told()?;
        let began = Instant::now();
        // The others are up, and the files have been looked at once more.
        while !stack.ask("GET", "/api/v1/status").is_ok_and(|status| status.matches("\"running\"").count() >= size) {
            if began.elapsed() > PATIENCE {
                return Err("the services did not start".into());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(stack)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, round: usize) -> Result<(), Error> {
        Ok(fs::write(self.path("new.toml"), text(&self.dir.path().display().to_string(), self.size, round))?)
    }

    /// Until the service has begun anew.
    fn told(&mut self) -> Result<(), Error> {
        let mut byte = [0];
        Ok(self.fifo.read_exact(&mut byte)?)
    }

    /// The end of such a service and the beginning of the next, without a supervisor.
    fn bare(&mut self) -> Result<Duration, Error> {
        let fifo = self.path("fifo").display().to_string();
        let spawn = || Command::new("/bin/sh").args(["-c", &script(&fifo)]).spawn();
        let mut old = spawn()?;
        self.told()?;
        let begun = Instant::now();
        old.kill()?;
        old.wait()?;
        let mut new = spawn()?;
        self.told()?;
        let took = begun.elapsed();
        new.kill()?;
        new.wait()?;
        Ok(took)
    }

    fn reload(&self) -> Result<(), Error> {
        let answer = self.ask("POST", "/api/v1/reload")?;
        if answer.contains("\"unchanged\"") { Ok(()) } else { Err(answer.into()) }
    }

    fn ask(&self, method: &str, path: &str) -> Result<String, Error> {
        let mut stream = UnixStream::connect(self.path("run/api.sock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.supervisor.id()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.supervisor.wait();
    }
}

fn script(fifo: &str) -> String {
    format!("printf x > {fifo}; exec sleep 1000000")
}

fn text(dir: &str, size: usize, round: usize) -> String {
    let script = script(&format!("{dir}/fifo"));
    let mut text = format!(
        "[supervisor]\nname = \"bench\"\nruntime_dir = \"{dir}/run\"\nstate_dir = \"{dir}/state\"\n\
         [http]\nlisten = \"off\"\n[logs]\ndir = \"{dir}/logs\"\n\
         [services.s0000]\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\nenv = {{ ROUND = \"{round}\" }}\n"
    );
    for number in 1..size {
        text += &format!("[services.s{number:04}]\ncommand = [\"sleep\", \"1000000\"]\nenv = {{ A = \"b\" }}\n");
    }
    text
}
