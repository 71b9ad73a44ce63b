//! What a run says and prints is read from now on.
//! Not here: how it is read (`notify`, `newline`, `lines`, the pump of the logs), what follows from it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use supervisor_core::Sign;
use supervisor_logs::Feed;

use crate::control::effects::stream;
use crate::control::launch::prepare::RunRecord;
use crate::control::run::{Output, Run};
use crate::control::run_loop::Control;
use crate::control::signs::newline;
use crate::control::signs::notify;
use crate::control::telling::log_files::settings;

impl Control {
    /// Lets the pump begin with the output of a run.
    fn attach(&mut self, number: u64) {
        let seeks_line = self.fleet.awaits(number, Sign::Line);
        let Some(run) = self.runs.get_mut(&number) else { return };
        let RunRecord { service, revision, .. } = &run.record;
        let service = self.catalogue.of(service, *revision).or_else(|| self.catalogue.current(service));
        let settings = service.map(|service| settings(&service.launch.log));
        let pattern = service.and_then(|service| service.launch.ready_line.clone()).filter(|_| seeks_line);
        run.seeks_line.store(pattern.is_some(), Ordering::Relaxed);
        let outputs = std::mem::take(&mut run.ends.outputs);
        for (index, (Output { pipe, stage }, path)) in outputs.into_iter().zip(&run.record.logs).enumerate() {
            run.undrained += 1;
            let settings = settings.clone().unwrap_or_default();
            let (id, path) = (stream(number, index), path.clone());
            let feed = Feed { id, pipe, stage, path, generation: run.record.generation, settings };
            match &pattern {
                None => self.pump.attach(feed),
                Some(pattern) => {
                    let onlooker = self.lines.onlooker(number, pattern.clone(), Arc::clone(&run.seeks_line));
                    self.pump.attach_watched(feed, onlooker);
                }
            }
        }
    }

    /// Begins to read what a run says and prints. Not before its process is known: what a quick one says waits in its
    /// socket or pipe, so no news of a run comes before the news that it exists.
    pub(crate) fn listen(&mut self, number: u64) {
        self.attach(number);
        let descriptor = self.of_run(number).and_then(|service| service.launch.ready_fd).unwrap_or_default();
        let Some(run) = self.runs.get_mut(&number) else { return };
        let sender = run.sender(number);
        if let Some(socket) = run.ends.notify.take() {
            match tokio::net::UnixDatagram::from_std(socket).map(Arc::new) {
                Ok(socket) => {
                    run.heard = Some(Arc::clone(&socket));
                    let told = self.told.0.clone();
                    run.listening.push(self.tasks.spawn(async move {
                        if let Err(error) = notify::listen(socket, sender, told).await {
                            tracing::warn!(run = number, %error, "the notify socket cannot be read");
                        }
                        Ok(())
                    }));
                }
                Err(error) => tracing::warn!(run = number, %error, "the notify socket cannot be read"),
            }
        }
        if let Some(pipe) = run.ends.newline.take() {
            let told = self.told.0.clone();
            run.listening.push(self.tasks.spawn(async move {
                if let Err(error) = newline::listen(pipe, number, descriptor, told).await {
                    tracing::warn!(run = number, %error, "the readiness pipe cannot be read");
                }
                Ok(())
            }));
        }
    }

    /// A new configuration may ask for no line where the one before did.
    pub(crate) fn seek_no_more_lines(&self) {
        let wanted = |run: &&Run| run.seeks_line.load(Ordering::Relaxed);
        for (number, run) in self.runs.iter().filter(|(_, run)| wanted(run)) {
            run.seeks_line.store(self.fleet.awaits(*number, Sign::Line), Ordering::Relaxed);
        }
    }
}
