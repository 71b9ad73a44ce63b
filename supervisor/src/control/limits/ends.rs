//! Ends of main processes: for want of memory, or at a limit that was passed since the last look.
//! Not here: what follows from an end (the core).

use supervisor_core::OutOfMemory;
use supervisor_keeper::Exited;

use super::breaches::Breach;
use crate::control::run_loop::Control;
use crate::platform;
use crate::platform::controllers::{Controller, Group};

const SIGKILL: i32 = 9;

impl Control {
    /// A main process has ended, perhaps between two looks, or for want of memory.
    pub(crate) fn note_last_breaches(&mut self, exited: &Exited, oom: Option<OutOfMemory>) {
        let Some(service) = self.of_run(exited.run) else { return };
        let (name, limits) = (service.spec.name.clone(), service.launch.limits);
        let Some(run) = self.runs.get(&exited.run) else { return };
        let group = |controller| run.record.confines.get(&controller);
        let refused = group(Controller::Pids).and_then(Group::forks_refused);
        let used = group(Controller::Memory).and_then(Group::peak).or(Some(exited.max_rss));
        let killed = match oom {
            Some(OutOfMemory::Limit) => Some(Breach::Killed { used, most: limits.memory }),
            Some(OutOfMemory::Machine) => Some(Breach::Machine { used }),
            Some(OutOfMemory::Unknown) | None => None,
        };
        let refusal = self.watch.refusal(exited.run, refused, &limits);
        for breach in killed.into_iter().chain(refusal) {
            self.note_breach(&name, exited.run, breach);
        }
    }

    /// Whether the end of a main process looks like one for want of memory.
    pub(crate) fn out_of_memory(&mut self, exited: &Exited) -> Option<OutOfMemory> {
        let run = self.runs.get(&exited.run)?;
        let counted = run.record.confines.get(&Controller::Memory);
        if let Some(group) = counted.filter(|group| group.oom_kills().is_some_and(|kills| kills > 0)) {
            return Some(if group.was_at_memory_limit() { OutOfMemory::Limit } else { OutOfMemory::Machine });
        }
        if exited.signal != Some(SIGKILL) || run.killed || counted.is_some_and(|group| group.oom_kills().is_some()) {
            return None;
        }
        // What the machine as a whole has not done, it has not done to this one.
        let (before, now) = (run.record.oom_kills?, platform::machine_oom_kills()?);
        if now == before {
            return None;
        }
        let view = self.view.load();
        let runs = || view.services.iter().flat_map(|service| &service.generations).map(|one| &one.run);
        let began = runs().find(|one| one.run == exited.run).map_or(0, |one| one.started.0);
        match self.watch.kernel_log.tells_of(exited.pid, began.saturating_mul(1000)) {
            Some(true) => Some(OutOfMemory::Machine),
            Some(false) => None,
            None => Some(OutOfMemory::Unknown),
        }
    }
}
