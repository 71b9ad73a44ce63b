//! What a token costs: requests per second and latency of `/introspect` and `/token`, with 100,000 stored tokens, beside a
//! bare axum server that does one statement of SQLite; and how memory grows with what is stored.
//! Not here: whether the answers are right; the tests say that.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]
#![expect(clippy::print_stdout, reason = "figures are what this is for")]

mod floor;
mod load;
mod seed;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use load::{Figures, Pace, Question};

const FEW: usize = 1_000;
const MANY: usize = 100_000;
/// Introspections per second at which the latency is looked at.
const RATE: u32 = 2_000;
const CODES: usize = 20_000;

fn main() {
    // `cargo bench` passes `--bench`; `--quick` is for whether it works at all.
    let quick = std::env::args().any(|argument| argument == "--quick");
    let lasting = Duration::from_secs(if quick { 1 } else { 10 });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{:<34} {:>9} {:>9} {:>9} {:>9}", "", "per s", "p50 ms", "p99 ms", "failed");
    for stored in [FEW, MANY] {
        let dir = tempfile::tempdir().unwrap();
        let seeded = seed::seed(dir.path(), stored, CODES);
        let oauth = Oauth::start(dir.path());
        let idle = oauth.memory_kib();
        let questions = seeded.introspections(oauth.private);
        runtime.block_on(load::run(&questions, Pace::Flat, lasting));
        let figures = runtime.block_on(load::run(&questions, Pace::PerSecond(RATE), lasting));
        row(&format!("introspect, {stored} stored, {RATE}/s"), &figures);
        let flat = runtime.block_on(load::run(&questions, Pace::Flat, lasting));
        row(&format!("introspect, {stored} stored, flat out"), &flat);
        println!("{:<34} {:>9} {:>9}", format!("memory KiB, {stored} stored"), idle, oauth.memory_kib());
        let redemptions = runtime.block_on(load::run(&seeded.redemptions(oauth.public), Pace::Once, lasting));
        row(&format!("redeem a code, {stored} stored"), &redemptions);
        assert_eq!(seed::tokens(dir.path()), stored + redemptions.good, "a good answer is a stored token");
    }
    let dir = tempfile::tempdir().unwrap();
    let floor = runtime.block_on(floor::Floor::start(dir.path(), MANY));
    runtime.block_on(load::run(&floor.reads(), Pace::Flat, lasting));
    row(
        &format!("floor: one SELECT, {RATE}/s"),
        &runtime.block_on(load::run(&floor.reads(), Pace::PerSecond(RATE), lasting)),
    );
    row("floor: one SELECT, flat out", &runtime.block_on(load::run(&floor.reads(), Pace::Flat, lasting)));
    row("floor: one INSERT", &runtime.block_on(load::run(&floor.writes(), Pace::Flat, lasting)));
}

fn row(name: &str, figures: &Figures) {
    let Figures { per_second, p50, p99, failed, good: _ } = figures;
    println!("{name:<34} {per_second:>9.0} {p50:>9.3} {p99:>9.3} {failed:>9}");
}

/// The service as a process of its own, on its own data.
struct Oauth {
    process: Child,
    public: SocketAddr,
    private: SocketAddr,
}

impl Oauth {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_oauth"))
            .env_clear()
            .envs([("OAUTH_PORT", "0"), ("OAUTH_PRIVATE_PORT", "0"), ("OAUTH_RATE_TOKEN", "0"), ("OAUTH_LOG", "info")])
            .envs([
                ("DCR_AZURE_CLIENT_ID", seed::APP),
                ("DCR_AZURE_CLIENT_SECRET", "x"),
                ("DCR_AZURE_TENANT_ID", seed::TENANT),
            ])
            .env("OAUTH_DATA_DIR", data)
            .current_dir(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.find(|line| line.contains("\"message\":\"ready\"")).unwrap();
        // The log goes on; somebody must read it.
        std::thread::spawn(move || lines.for_each(drop));
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        Self { process, public: address("address"), private: address("private") }
    }

    /// Resident, without what is shared with files: the page cache is not ours.
    fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
    }
}

impl Drop for Oauth {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A request as it goes over the wire.
fn question(at: SocketAddr, path: &str, headers: &str, body: &str) -> Question {
    let bytes = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Question { at, bytes }
}
