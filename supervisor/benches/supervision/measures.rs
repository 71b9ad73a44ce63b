//! The measures. Ours and the baseline take turns, so that whatever else the machine does meets both.
//! Not here: how either is run.

use std::time::{Duration, Instant};

use crate::Error;
use crate::args::{Args, Pace};
use crate::bare::Bare;
use crate::clock::now_ns;
use crate::http::{self, Load};
use crate::procs::{self, Work};
use crate::streams;
use crate::subject::Subject;
use crate::table::{Aim, Row, Unit};

const STATUS: &str = "/api/v1/status";

pub(crate) fn all(args: &Args) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    if args.wants('a') {
        rows.extend(crash(args.pace)?);
    }
    if args.wants('b') || args.wants('f') {
        let (starts, stops) = lives(args)?;
        rows.extend(starts.into_iter().filter(|_| args.wants('b')));
        rows.extend(stops.into_iter().filter(|_| args.wants('f')));
    }
    if args.wants('c') {
        for size in args.sizes(&[0, 100, 500]) {
            rows.push(memory(size, args.pace)?);
        }
    }
    if args.wants('d') {
        for size in args.sizes(&[100]) {
            rows.extend(idle(size, args.pace)?);
        }
    }
    if args.wants('e') {
        for size in args.sizes(&[100, 500]) {
            rows.extend(status(size, args.pace)?);
        }
    }
    if args.wants('g') {
        rows.extend(streams::events(args.pace)?);
    }
    Ok(rows)
}

fn crash(pace: Pace) -> Result<[Row; 2], Error> {
    progress("crash to respawn", 1);
    let (mut ours, mut bare) = (Subject::supervisor(1)?, Subject::bare_respawn()?);
    ours.started(1)?;
    bare.started(1)?;
    let mut moments = Moments(now_ns());
    let (mut figures, mut baselines) = (Vec::new(), Vec::new());
    for _ in 0..pace.crashes() {
        moments.pass();
        figures.push(ours.crash()?);
        moments.pass();
        baselines.push(bare.crash()?);
    }
    let row = |measure: &str, percent, aim| Row {
        measure: format!("crash to respawn, {measure}"),
        size: 1,
        unit: Unit::Ms,
        figure: percentile_ms(&mut figures.clone(), percent),
        baseline: percentile_ms(&mut baselines.clone(), percent),
        aim,
    };
    Ok([row("median", 50, Some(Aim::Times(2.0))), row("p99", 99, None)])
}

/// Starts and stops, as rows of each.
fn lives(args: &Args) -> Result<(Vec<Row>, Vec<Row>), Error> {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for size in args.sizes(&[10, 100, 500]).into_iter().filter(|size| *size > 0) {
        progress("start and stop", size);
        let (mut ours, mut bare) = (Lives::default(), Lives::default());
        for _ in 0..args.pace.rounds(size) {
            ours.live(Subject::supervisor(size)?, size)?;
            bare.live(Subject::bare(size)?, size)?;
        }
        let row = |measure: &str, figure, baseline, aim| Row {
            measure: measure.to_owned(),
            size,
            unit: Unit::Ms,
            figure,
            baseline,
            aim,
        };
        let (figure, baseline) = (percentile_ms(&mut ours.starts, 50), percentile_ms(&mut bare.starts, 50));
        starts.push(row("start", figure, baseline, Some(Aim::Times(1.5))));
        let (figure, baseline) = (percentile_ms(&mut ours.stops, 50), percentile_ms(&mut bare.stops, 50));
        stops.push(row("stop", figure, baseline, (size == 500).then_some(Aim::Under(100.0))));
    }
    Ok((starts, stops))
}

#[derive(Default)]
struct Lives {
    starts: Vec<u64>,
    stops: Vec<u64>,
}

impl Lives {
    fn live(&mut self, mut subject: Subject, size: usize) -> Result<(), Error> {
        self.starts.push(subject.started(size)?);
        // What a start leaves to do afterwards is no part of the stop.
        std::thread::sleep(Duration::from_millis(300));
        self.stops.push(subject.stopped()?);
        Ok(())
    }
}

fn memory(size: usize, pace: Pace) -> Result<Row, Error> {
    progress("memory", size);
    let settled = |mut subject: Subject| -> Result<f64, Error> {
        subject.started(size)?;
        std::thread::sleep(pace.settle());
        let kib = procs::pss_kib(&subject.roles())?;
        subject.stopped()?;
        Ok(kib as f64 / 1024.0)
    };
    Ok(Row {
        measure: "memory (PSS)".to_owned(),
        size,
        unit: Unit::Mib,
        figure: settled(Subject::supervisor(size)?)?,
        baseline: settled(Subject::bare(size)?)?,
        aim: (size == 500).then_some(Aim::Under(20.0)),
    })
}

fn idle(size: usize, pace: Pace) -> Result<[Row; 2], Error> {
    progress("idle", size);
    let left_alone = |mut subject: Subject| -> Result<(f64, f64), Error> {
        subject.started(size)?;
        std::thread::sleep(pace.settle());
        let roles = subject.roles();
        let (before, began) = (procs::work(&roles), Instant::now());
        std::thread::sleep(pace.idle());
        let (Work { switches, cpu_ns }, seconds) = (procs::work(&roles), began.elapsed().as_secs_f64());
        subject.stopped()?;
        let (switches, cpu_ns) = (switches.saturating_sub(before.switches), cpu_ns.saturating_sub(before.cpu_ns));
        Ok((switches as f64 / seconds, cpu_ns as f64 / 1e6 / seconds))
    };
    let (ours, bare) = (left_alone(Subject::supervisor(size)?)?, left_alone(Subject::bare(size)?)?);
    let row = |measure: &str, unit, figure, baseline, aim| Row {
        measure: format!("idle, {measure}"),
        size,
        unit,
        figure,
        baseline,
        aim,
    };
    Ok([
        row("context switches", Unit::PerSecond, ours.0, bare.0, (size == 100).then_some(Aim::Under(1.0))),
        row("CPU", Unit::MsPerSecond, ours.1, bare.1, None),
    ])
}

fn status(size: usize, pace: Pace) -> Result<[Row; 3], Error> {
    progress(STATUS, size);
    let mut subject = Subject::supervisor(size)?;
    subject.started(size)?;
    std::thread::sleep(pace.settle());
    let api = subject.api().ok_or("no address")?;
    let body = http::fetch(api, STATUS)?;
    let kib = body.len().div_ceil(1024);
    let bare = Bare::start(STATUS, body)?;
    let (mut ours, mut baseline) = (Load::default(), Load::default());
    let (spells, spell) = pace.spells();
    for _ in 0..spells {
        ours.add(api, STATUS, spell)?;
        baseline.add(bare.address, STATUS, spell)?;
    }
    subject.stopped()?;
    let row = |measure: &str, unit, figure: f64, baseline: f64, aim: Option<Aim>| Row {
        measure: format!("status ({kib} KiB), {measure}"),
        size,
        unit,
        figure,
        baseline,
        aim: aim.filter(|_| size == 100),
    };
    let times = |percent| (ours.percentile_ms(percent), baseline.percentile_ms(percent));
    let ((p50, bare_p50), (p99, bare_p99)) = (times(50), times(99));
    Ok([
        row("requests", Unit::PerSecond, ours.per_second(), baseline.per_second(), Some(Aim::Over(10_000.0))),
        row("p50", Unit::Ms, p50, bare_p50, None),
        row("p99", Unit::Ms, p99, bare_p99, Some(Aim::Under(2.0))),
    ])
}

pub(crate) fn progress(measure: &str, size: usize) {
    eprintln!("{measure}, {size}");
}

pub(crate) fn percentile_ms(samples: &mut [u64], percent: usize) -> f64 {
    samples.sort_unstable();
    samples.get(samples.len() * percent / 100).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
}

/// Pauses of no even length: kills in step with a poll would make it look quick.
pub(crate) struct Moments(pub(crate) u64);

impl Moments {
    pub(crate) fn pass(&mut self) {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        std::thread::sleep(Duration::from_micros(5_000 + self.0 % 150_000));
    }
}
