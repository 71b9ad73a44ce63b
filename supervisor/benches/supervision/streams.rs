//! What it costs that others watch: the same crashes with one stream of events open, and with as many as there may be.
//! Not here: what is measured otherwise (`measures`).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;

use crate::Error;
use crate::args::Pace;
use crate::clock::now_ns;
use crate::measures::{Moments, percentile_ms, progress};
use crate::subject::Subject;
use crate::table::{Aim, Row, Unit};

/// As many as the supervisor lets in.
const STREAMS: usize = 32;

/// A supervisor of one service, and those who watch it.
struct Watched {
    subject: Subject,
    readers: Vec<JoinHandle<Vec<u64>>>,
    /// Does not read.
    _idle: Option<UnixStream>,
    killed: Vec<u64>,
    respawned: Vec<u64>,
}

impl Watched {
    fn new(readers: usize, idle: usize) -> Result<Self, Error> {
        let mut subject = Subject::supervisor(1)?;
        subject.started(1)?;
        let socket = subject.socket();
        let readers = (0..readers).map(|_| read(&socket)).collect::<Result<_, _>>()?;
        let _idle = (idle > 0).then(|| open(&socket)).transpose()?;
        Ok(Self { subject, readers, _idle, killed: Vec::new(), respawned: Vec::new() })
    }

    fn crash(&mut self) -> Result<(), Error> {
        self.killed.push(now_ns());
        self.respawned.push(self.subject.crash()?);
        Ok(())
    }

    /// Spans from the kill to the respawn, and to the moment when the last reader had the end.
    fn ended(self) -> Result<(Vec<u64>, Vec<u64>), Error> {
        self.subject.stopped()?;
        let mut told = vec![0; self.killed.len()];
        for reader in self.readers {
            let heard = reader.join().map_err(|_| "a reader panicked")?;
            if heard.len() < told.len() {
                return Err(format!("a reader heard of {} ends of {}", heard.len(), told.len()).into());
            }
            told.iter_mut().zip(heard).for_each(|(last, at)| *last = at.max(*last));
        }
        let told = told.iter().zip(&self.killed).map(|(at, killed)| at.saturating_sub(*killed)).collect();
        Ok((self.respawned, told))
    }
}

pub(crate) fn events(pace: Pace) -> Result<[Row; 3], Error> {
    progress("crash with streams of events", STREAMS);
    let (mut many, mut one) = (Watched::new(STREAMS - 1, 1)?, Watched::new(1, 0)?);
    let mut moments = Moments(now_ns());
    for _ in 0..pace.crashes() {
        moments.pass();
        many.crash()?;
        moments.pass();
        one.crash()?;
    }
    let ((mut respawned, mut told), (mut one_respawned, mut one_told)) = (many.ended()?, one.ended()?);
    let row = |measure: &str, percent, figures: &mut [u64], baselines: &mut [u64], aim| Row {
        measure: measure.to_owned(),
        size: STREAMS,
        unit: Unit::Ms,
        figure: percentile_ms(figures, percent),
        baseline: percentile_ms(baselines, percent),
        aim,
    };
    Ok([
        row("respawn while watched, median", 50, &mut respawned, &mut one_respawned, Some(Aim::Times(1.5))),
        row("respawn while watched, p99", 99, &mut respawned, &mut one_respawned, None),
        row("end told to the last reader, median", 50, &mut told, &mut one_told, Some(Aim::Under(50.0))),
    ])
}

fn open(socket: &Path) -> Result<UnixStream, Error> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"GET /api/v1/events?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    Ok(stream)
}

/// Notes when each end of a run is told, until the stream ends.
fn read(socket: &Path) -> Result<JoinHandle<Vec<u64>>, Error> {
    let mut stream = BufReader::new(open(socket)?);
    let mut line = String::new();
    while !line.starts_with("retry:") {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err("no stream of events".into());
        }
    }
    Ok(std::thread::spawn(move || {
        let mut heard = Vec::new();
        for line in stream.lines().map_while(Result::ok) {
            if line == "event: exit" {
                heard.push(now_ns());
            }
        }
        heard
    }))
}
