//! Work that goes on beside the desk, with what it is about: that is known even of work that panics.
//! Not here: what the work is.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

pub(super) struct UnderWay<K, T> {
    tasks: JoinSet<T>,
    about: HashMap<Id, K>,
}

impl<K, T: Send + 'static> UnderWay<K, T> {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), about: HashMap::new() }
    }

    pub(super) fn spawn(&mut self, about: K, work: impl Future<Output = T> + Send + 'static) {
        self.about.insert(self.tasks.spawn(work).id(), about);
    }

    pub(super) fn is_any(&self, wanted: impl Fn(&K) -> bool) -> bool {
        self.about.values().any(wanted)
    }

    /// What has ended, and what came of it: `None` if it panicked. May be cancelled.
    pub(super) async fn next(&mut self) -> Option<(K, Option<T>)> {
        let (id, result) = match self.tasks.join_next_with_id().await? {
            Ok((id, result)) => (id, Some(result)),
            Err(error) => (error.id(), None),
        };
        self.about.remove(&id).map(|about| (about, result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_work_that_panics_it_is_known_what_it_was_about_and_other_work_goes_on() {
        let mut work = UnderWay::new();
        work.spawn("slow", std::future::pending::<u8>());
        work.spawn("bad", async { panic!("on purpose") });
        assert_eq!(work.next().await, Some(("bad", None)));
        assert!(work.is_any(|about| *about == "slow") && !work.is_any(|about| *about == "bad"));
        work.spawn("good", async { 7 });
        assert_eq!(work.next().await, Some(("good", Some(7))));
    }
}
