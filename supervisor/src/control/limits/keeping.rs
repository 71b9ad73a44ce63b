//! Limits that the kernel keeps, of what runs.
//! Not here: of what is about to begin (`launch::prepare`), and how they are written (`platform::controllers`).

use std::io;

use supervisor_keeper::Request;

use crate::control::launch::prepare::record_key;
use crate::control::run_loop::{Control, News};
use crate::platform::controllers::{Confines, Controller, Most, Version};
use crate::platform::groups;

/// What the kernel is to be told of a run.
#[derive(Debug)]
struct Order {
    run: u64,
    confines: Confines,
    most: Most,
}

/// What it was told, and what of it it has refused.
#[derive(Debug)]
pub(crate) struct Renewed {
    run: u64,
    most: Most,
    refused: Vec<(Controller, io::Error)>,
}

impl Control {
    /// A run has a process. If the kernel has not taken that into the group in which its limits are kept, somebody has to
    /// look at them.
    pub(crate) fn begin_limits(&mut self, number: u64) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let outside = |group| run.pid.is_some_and(|pid| groups::holds(group, pid) == Some(false));
        let lost = run.record.confines.values().find(|group| group.version == Version::Two);
        if lost.is_some_and(|group| outside(&group.dir)) {
            run.record.confines.retain(|_, group| group.version == Version::One);
            let service = &run.record.service;
            tracing::warn!(%service, "the kernel has not taken it into its control group: nobody limits its CPU, and its \
                memory and processes are looked at once a second");
            if let Ok(value) = serde_json::to_vec(&run.record) {
                self.ask_keeper("remember a run", &Request::Put { key: record_key(number), value });
            }
        }
        self.look_at_limits_of(number);
    }

    /// An earlier control may have died before it told the kernel, or saw where a process was.
    pub(crate) fn take_over_limits(&mut self) {
        self.runs.keys().copied().collect::<Vec<_>>().into_iter().for_each(|run| self.begin_limits(run));
        self.renew_limits();
    }

    /// What the configuration says now counts for what runs, too. A kernel that is to make do with less memory frees it
    /// before it answers, so it is told on a blocking thread; those runs are not looked at meanwhile.
    pub(crate) fn renew_limits(&mut self) {
        self.note_calm();
        self.look_at_limits();
        if !self.watch.renewing.is_empty() {
            self.watch.renew_again = true;
            return;
        }
        let orders: Vec<Order> = self
            .runs
            .iter()
            .filter_map(|(number, run)| {
                let most = self.of_run(*number).filter(|_| run.pid.is_some())?.launch.limits.most();
                let confines = run.record.confines.clone();
                let news = !confines.is_empty() && run.kept != Some(most);
                news.then_some(Order { run: *number, confines, most })
            })
            .collect();
        if orders.is_empty() {
            return;
        }
        self.watch.renewing = orders.iter().map(|order| order.run).collect();
        let news = self.news.0.clone();
        self.tasks.spawn_blocking(move || {
            let _ = news.blocking_send(News::LimitsRenewed(orders.into_iter().map(renew).collect()));
            Ok(())
        });
    }

    pub(crate) fn limits_renewed(&mut self, all: Vec<Renewed>) {
        self.watch.renewing.clear();
        for Renewed { run, most, refused } in all {
            let Some(run) = self.runs.get_mut(&run) else { continue };
            run.kept = refused.is_empty().then_some(most);
            for (controller, error) in refused {
                let (service, limit) = (&run.record.service, controller.as_str());
                tracing::warn!(%service, limit, %error, "a limit cannot be changed while it runs");
            }
        }
        if std::mem::take(&mut self.watch.renew_again) {
            self.renew_limits();
        }
        self.look_at_limits();
    }
}

fn renew(order: Order) -> Renewed {
    let Order { run, confines, most } = order;
    let refused = confines.iter().filter_map(|(controller, group)| {
        let error = group.set(*controller, &most).err()?;
        // With its group a run is over.
        group.dir.exists().then_some((*controller, error))
    });
    Renewed { run, most, refused: refused.collect() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::platform::controllers::Group;

    fn refused(dir: &Path) -> Vec<(Controller, io::Error)> {
        let group = Group { dir: dir.to_owned(), version: Version::Two };
        let most = Most { memory: Some(1 << 20), pids: Some(5), ..Most::default() };
        let confines = [(Controller::Memory, group.clone()), (Controller::Pids, group)].into();
        renew(Order { run: 1, confines, most }).refused
    }

    #[test]
    fn what_the_kernel_refuses_is_told_and_the_rest_counts_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pids.max"), "").unwrap();
        let refused: Vec<_> = refused(dir.path()).into_iter().map(|(controller, _)| controller).collect();
        assert_eq!(refused, [Controller::Memory]);
        assert_eq!(std::fs::read_to_string(dir.path().join("pids.max")).unwrap(), "5");
    }

    #[test]
    fn a_run_that_ended_meanwhile_is_no_trouble() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refused(&dir.path().join("gone")).is_empty());
    }
}
