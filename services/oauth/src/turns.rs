//! One at a time, for each of many things: who asks for the same waits its turn.
//! Not here: other processes; they do not know of each other's turns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use tokio::time::timeout;

/// Things that are remembered before those that nobody waits for are forgotten.
const TIDY_AT: usize = 1_000;
/// A turn takes one question to Entra; who waits for longer than two is told to come again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Turns, by name.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Arc<Turn<()>>>>);

impl Turns {
    /// Waits for one's turn; it ends when the guard is dropped. Nothing when it does not come.
    pub(crate) async fn wait(&self, name: &str) -> Option<OwnedMutexGuard<()>> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= TIDY_AT {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry(name.to_owned()).or_default())
        };
        timeout(PATIENCE, turn.lock_owned()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_waits_for_the_other_and_not_for_ever() {
        let turns = Turns::default();
        let first = turns.wait("a").await.unwrap();
        assert!(turns.wait("b").await.is_some(), "another thing");
        assert!(turns.wait("a").await.is_none(), "too late");
        drop(first);
        assert!(turns.wait("a").await.is_some());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_forgotten() {
        let turns = Turns::default();
        let _held = turns.wait("held").await;
        for n in 0..2 * TIDY_AT {
            turns.wait(&n.to_string()).await.unwrap();
        }
        let kept = turns.0.lock().unwrap();
        assert!(kept.len() <= TIDY_AT && kept.contains_key("held"));
    }
}
