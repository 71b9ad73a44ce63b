//! What a held listener and rollouts cost the clients of a service:
//! `cargo build --release --workspace --bins && cargo bench -p e2e --bench rollouts`.
//! Baseline in the same run: the same service, started by hand on a port of its own.
//! Not here: correctness; `tests/rollouts.rs` counts what is lost.
#![expect(clippy::print_stdout, reason = "a bench is read")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Setup, free_port};
use load::{Crowd, Kind, Load, Report};

/// Of each measurement.
const SPAN: Duration = Duration::from_secs(8);

fn main() {
    let (bare_port, held_port) = (free_port(), free_port());
    let mut bare = Bare::start(bare_port);
    let stack = Setup::of(&format!(
        "[services.web]\ncommand = [\"./exemplar\"]\nport = {held_port}\n[services.web.ready]\nnotify = true\n\
         [services.web.rollout]\nhandoff = \"socket\"\ndrain_signal = \"USR2\"\nbake = \"0s\"\n"
    ))
    .start();
    println!("| load | service | requests/s | p50 ms | p99 ms | p99.9 ms | longest ms | lost |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, crowd) in loads() {
        let steady = |port: u16| measured(port, crowd, || std::thread::sleep(SPAN));
        let bare = row(name, "bare", &mut steady(bare_port), None);
        row(name, "under the supervisor", &mut steady(held_port), Some(bare));
        let mut times = Vec::new();
        let mut report = measured(held_port, crowd, || {
            let began = Instant::now();
            while began.elapsed() < SPAN {
                let asked = Instant::now();
                stack.cli(&["restart", "web"]).succeeded();
                times.push(asked.elapsed());
            }
        });
        row(name, "during rollouts", &mut report, Some(bare));
        times.sort_unstable();
        let median = times[times.len() / 2].as_secs_f64() * 1e3;
        println!(
            "{name}: {} rollouts, from the command until the old one was gone: median {median:.0} ms",
            times.len()
        );
    }
    bare.stop();
}

/// As fast as they can, and 1,000 requests a second.
fn loads() -> [(&'static str, Crowd); 3] {
    let crowd = |kind, clients, pause| Crowd { kind, clients, pause: Duration::from_millis(pause) };
    [
        ("keep-alive, full speed", crowd(Kind::KeepAlive, 16, 0)),
        ("keep-alive, 1,000/s", crowd(Kind::KeepAlive, 20, 20)),
        ("new connections, 1,000/s", crowd(Kind::Fresh, 20, 20)),
    ]
}

fn measured(port: u16, crowd: Crowd, meanwhile: impl FnOnce()) -> (Report, Duration) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (began, load) = (Instant::now(), Load::start(address, &[crowd]));
    meanwhile();
    let report = load.stop();
    (report, began.elapsed())
}

/// Prints a line, with the ratios to the baseline, and gives requests per second and p99.
fn row(load: &str, service: &str, (report, took): &mut (Report, Duration), bare: Option<(f64, f64)>) -> (f64, f64) {
    let lost = report.failed();
    #[expect(clippy::cast_precision_loss, reason = "there are not so many answers")]
    let rate = report.answered() as f64 / took.as_secs_f64();
    let tally = report.kinds.values_mut().next().expect("one kind asked");
    let [p50, p99, p999, longest] = [0.5, 0.99, 0.999, 1.0].map(|share| tally.quantile(share).as_secs_f64() * 1e3);
    let ratio = |now: f64, then: Option<f64>| then.map(|then| format!(" ({:.2}x)", now / then)).unwrap_or_default();
    println!(
        "| {load} | {service} | {rate:.0}{} | {p50:.2} | {p99:.2}{} | {p999:.2} | {longest:.2} | {lost} |",
        ratio(rate, bare.map(|bare| bare.0)),
        ratio(p99, bare.map(|bare| bare.1)),
    );
    (rate, p99)
}

/// The service without a supervisor.
struct Bare(Child);

impl Bare {
    fn start(port: u16) -> Self {
        let program = e2e::exemplar();
        let child = Command::new(program).env("EXEMPLAR_PORT", port.to_string()).stdout(Stdio::null()).spawn();
        let bare = Self(child.expect("the program is there"));
        e2e::eventually("it to listen", || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        bare
    }

    fn stop(&mut self) {
        self.0.kill().expect("it is our child");
        self.0.wait().expect("it is our child");
    }
}
