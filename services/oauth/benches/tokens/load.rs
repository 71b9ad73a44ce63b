//! Clients that ask over kept connections, and how long each answer took.
//! Not here: what is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const CONNECTIONS: u32 = 16;

pub(crate) struct Question {
    pub(crate) at: SocketAddr,
    pub(crate) bytes: String,
}

#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection asks again at once.
    Flat,
    /// As `Flat`, and each question once only.
    Once,
    /// So many in all, evenly, whether answers come or not: a late answer makes the next ones late, and that counts.
    PerSecond(u32),
}

pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) good: usize,
    pub(crate) failed: usize,
}

pub(crate) async fn run(questions: &Arc<Vec<Question>>, pace: Pace, lasting: Duration) -> Figures {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        clients.spawn(client(Arc::clone(questions), Arc::clone(&next), pace, number, began, began + lasting));
    }
    let (mut took, mut failed) = (Vec::new(), 0);
    while let Some(Ok((theirs, failures))) = clients.join_next().await {
        took.extend(theirs);
        failed += failures;
    }
    let elapsed = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let at =
        |share: usize| took.get(took.len() * share / 100).map_or(0.0, |took: &Duration| took.as_secs_f64() * 1000.0);
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let per_second = took.len() as f64 / elapsed;
    Figures { per_second, p50: at(50), p99: at(99), good: took.len() - failed, failed }
}

async fn client(
    questions: Arc<Vec<Question>>,
    next: Arc<AtomicUsize>,
    pace: Pace,
    number: u32,
    began: Instant,
    until: Instant,
) -> (Vec<Duration>, usize) {
    let mut stream = TcpStream::connect(questions[0].at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut took, mut failed, mut round) = (Vec::new(), 0, 0);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let due = match pace {
            Pace::Flat | Pace::Once => Instant::now(),
            Pace::PerSecond(rate) => began + Duration::from_secs(1) * (round * CONNECTIONS + number) / rate,
        };
        if due >= until {
            return (took, failed);
        }
        // What an answer has delayed counts; that a timer rings up to a millisecond late is the client's own affair.
        let late = due < Instant::now();
        sleep_until(due).await;
        let asked = if late { due } else { Instant::now() };
        round += 1;
        let at = next.fetch_add(1, Ordering::Relaxed);
        if matches!(pace, Pace::Once) && at >= questions.len() {
            return (took, failed);
        }
        stream.write_all(questions[at % questions.len()].bytes.as_bytes()).await.unwrap();
        let good = answer(&mut stream, &mut buffer).await;
        took.push(asked.elapsed());
        failed += usize::from(!good);
    }
}

/// Reads one answer whole; says whether it is a good one.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the server closed the connection");
        filled += read;
        let text = std::str::from_utf8(&buffer[..filled]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return head.starts_with("HTTP/1.1 200") && !body.contains("\"active\":false");
        }
    }
}
