//! The clients by hand: `load 127.0.0.1:8099 10 keep-alive=64 http2=4/20`: address, seconds, and of each kind how many,
//! and how many milliseconds each waits between two requests.
//! Not here: what they do.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use load::{Crowd, Load};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (address, seconds, crowds) = match parse(&words) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("load: {error}\nusage: load ADDRESS SECONDS KIND=CLIENTS[/PAUSE_MS]…");
            return ExitCode::from(2);
        }
    };
    let load = Load::start(address, &crowds);
    std::thread::sleep(seconds);
    let report = load.stop();
    print!("{report}");
    if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(words: &[String]) -> Result<(SocketAddr, Duration, Vec<Crowd>), String> {
    let [address, seconds, crowds @ ..] = words else {
        return Err("too few words".to_owned());
    };
    let address = address.parse().map_err(|_| format!("`{address}` is no address like 127.0.0.1:8099"))?;
    let seconds = seconds.parse().map_err(|_| format!("`{seconds}` is no number of seconds"))?;
    let crowds = crowds.iter().map(|word| crowd(word)).collect::<Result<Vec<_>, _>>()?;
    Ok((address, Duration::from_secs(seconds), crowds))
}

fn crowd(word: &str) -> Result<Crowd, String> {
    let (kind, rest) = word.split_once('=').ok_or_else(|| format!("`{word}` is not KIND=CLIENTS"))?;
    let (clients, pause) = rest.split_once('/').unwrap_or((rest, "0"));
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` in `{word}` is no number"));
    let pause = Duration::from_millis(number(pause)?);
    let clients = clients.parse().map_err(|_| format!("`{clients}` in `{word}` is no number"))?;
    Ok(Crowd { kind: kind.parse()?, clients, pause })
}
