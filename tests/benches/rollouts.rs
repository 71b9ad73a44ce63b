//! What a held listener and rollouts cost the clients of a service, in about three minutes and a half:
//! `cargo build --release --workspace --bins && cargo bench -p e2e --bench rollouts` (`-- --quick`: does it work at all).
//! Baseline in the same run: the same service, started by hand on a port of its own.
//! Not here: correctness; `tests/rollouts.rs` counts what is lost.
#![expect(clippy::print_stdout, reason = "a bench is read")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Setup, Stack, free_port};
use load::{Crowd, Kind, Load, Report};

/// What the slowest request may take where clients do not ask as fast as they can; an aim of ours.
const LONGEST_MS: f64 = 12.0;
/// From one rollout to the next, where they do not follow each other at once: already more than anybody deploys.
const A_SECOND: Duration = Duration::from_secs(1);

fn main() {
    let quick = std::env::args().any(|word| word == "--quick");
    let (span, long) = if quick { (1, 2) } else { (8, 60) };
    let (span, long) = (Duration::from_secs(span), Duration::from_secs(long));
    let bare = Bare::start(free_port());
    let held = Held::start(free_port());
    println!("| load | service | requests/s | p50 ms | p99 ms | p99.9 ms | longest ms | lost |");
    println!("|---|---|--:|--:|--:|--:|--:|--:|");
    let (mut told, mut aims) = (Vec::new(), Vec::new());
    for (name, crowd, pace) in loads() {
        let alone = row(name, "bare", measured(bare.port, &[crowd], || std::thread::sleep(span)));
        let steady = row(name, "held, steady", measured(held.port, &[crowd], || std::thread::sleep(span)));
        let mut times = Vec::new();
        let rolling = measured(held.port, &[crowd], || times = held.roll_for(span, A_SECOND));
        let rolling = row(name, "held, a rollout each second", rolling);
        told.push(format!("{name}, a rollout each second: {}", rollouts(&mut times)));
        let storm = measured(held.port, &[crowd], || times = held.roll_for(span, Duration::ZERO));
        let storm = row(name, "held, rollout after rollout", storm);
        told.push(format!("{name}, rollout after rollout: {}", rollouts(&mut times)));
        aims.push((format!("{name}: requests/s, held beside bare"), steady.rate / alone.rate, Aim::AtLeast(0.9)));
        aims.push((format!("{name}: p99, rollouts beside steady"), rolling.p99 / steady.p99, Aim::AtMost(1.5)));
        if pace == Pace::Given {
            let longest = rolling.longest.max(storm.longest);
            aims.push((format!("{name}: longest in rollouts, ms"), longest, Aim::AtMost(LONGEST_MS)));
        }
        aims.push((format!("{name}: lost"), rolling.lost + storm.lost, Aim::AtMost(0.0)));
    }
    let name = "both, 2,000/s";
    let crowds = [Kind::KeepAlive, Kind::Fresh].map(|kind| crowd(kind, 21, 20));
    let steady = row(name, "held, steady", measured(held.port, &crowds, || std::thread::sleep(span)));
    let mut times = Vec::new();
    let rolling = measured(held.port, &crowds, || times = held.roll_for(long, A_SECOND));
    let rolling = row(name, "held, a rollout each second", rolling);
    told.push(format!("{name}, a rollout each second: {}", rollouts(&mut times)));
    aims.push((
        format!("{name}, {} s: p99, rollouts beside steady", long.as_secs()),
        rolling.p99 / steady.p99,
        Aim::AtMost(3.0),
    ));
    aims.push((format!("{name}, {} s: lost", long.as_secs()), rolling.lost, Aim::AtMost(0.0)));
    println!("\nRollouts, from the command until the old generation was gone:\n\n- {}\n", told.join("\n- "));
    println!("| measure | figure | aim | met |\n|---|--:|--:|---|");
    aims.iter().for_each(|(name, figure, aim)| println!("| {name} | {figure:.2} | {} |", aim.judged(*figure)));
}

/// Whether clients ask as fast as they can.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Full,
    Given,
}

fn loads() -> [(&'static str, Crowd, Pace); 3] {
    [
        ("keep-alive, full speed", crowd(Kind::KeepAlive, 16, 0), Pace::Full),
        ("keep-alive, 1,000/s", crowd(Kind::KeepAlive, 21, 20), Pace::Given),
        ("new connections, 1,000/s", crowd(Kind::Fresh, 21, 20), Pace::Given),
    ]
}

fn crowd(kind: Kind, clients: usize, pause: u64) -> Crowd {
    Crowd { kind, clients, pause: Duration::from_millis(pause) }
}

enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn judged(&self, figure: f64) -> String {
        let (sign, aim, met) = match *self {
            Self::AtLeast(aim) => ('≥', aim, figure >= aim),
            Self::AtMost(aim) => ('≤', aim, figure <= aim),
        };
        format!("{sign} {aim} | {}", if met { "yes" } else { "no" })
    }
}

fn measured(port: u16, crowds: &[Crowd], meanwhile: impl FnOnce()) -> (Report, Duration) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (began, load) = (Instant::now(), Load::start(address, crowds));
    meanwhile();
    let report = load.stop();
    (report, began.elapsed())
}

/// A line of the table.
struct Row {
    rate: f64,
    p99: f64,
    longest: f64,
    lost: f64,
}

#[expect(clippy::cast_precision_loss, reason = "there are not so many answers")]
fn row(load: &str, service: &str, (report, took): (Report, Duration)) -> Row {
    let (rate, lost) = (report.answered() as f64 / took.as_secs_f64(), report.failed());
    let mut all = report.whole();
    let [p50, p99, p999, longest] = [0.5, 0.99, 0.999, 1.0].map(|share| all.quantile(share).as_secs_f64() * 1e3);
    println!("| {load} | {service} | {rate:.0} | {p50:.2} | {p99:.2} | {p999:.2} | {longest:.2} | {lost} |");
    Row { rate, p99, longest, lost: lost as f64 }
}

fn rollouts(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_millis();
    format!("{} rollouts, median {} ms, longest {} ms", times.len(), at(50), at(100))
}

/// The service without a supervisor; it ends with us.
struct Bare {
    child: Child,
    port: u16,
}

impl Bare {
    fn start(port: u16) -> Self {
        let program = e2e::exemplar();
        let child = Command::new(program).env("EXEMPLAR_PORT", port.to_string()).stdout(Stdio::null()).spawn();
        let bare = Self { child: child.expect("the program is there"), port };
        e2e::eventually("it to listen", || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        bare
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}

/// The service on a held listener.
struct Held {
    stack: Stack,
    port: u16,
}

impl Held {
    fn start(port: u16) -> Self {
        let stack = Setup::of(&format!(
            "[services.web]\ncommand = [\"./exemplar\"]\nport = {port}\n[services.web.ready]\nnotify = true\n\
             [services.web.rollout]\nhandoff = \"socket\"\ndrain_signal = \"USR2\"\nbake = \"0s\"\n"
        ));
        Self { stack: stack.start(), port }
    }

    /// Rollouts that begin `apart`, or as soon as the one before is over; how long each took.
    fn roll_for(&self, span: Duration, apart: Duration) -> Vec<Duration> {
        let (began, mut times) = (Instant::now(), Vec::new());
        while began.elapsed() < span {
            let took = self.stack.cli(&["restart", "web"]).succeeded().took;
            std::thread::sleep(apart.saturating_sub(took));
            times.push(took);
        }
        times
    }
}
