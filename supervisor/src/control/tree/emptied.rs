//! Control groups of runs that are over: removed when there is time for it.
//! Not here: making them (`launch`), and those that killed supervisors left (`platform/abandoned`).

use crate::control::run_loop::Control;
use crate::platform::groups;

/// So many wait at most while something is about to start.
const MOST: usize = 16;

impl Control {
    /// Removes the groups of runs that are over, unless something is about to start. Those of a stop of everything elsewhere:
    /// the kernel takes longer for one than we for an event.
    pub(crate) fn remove_groups(&mut self) {
        if self.emptied.is_empty() || !self.workshop.is_empty() && self.emptied.len() < MOST {
            return;
        }
        let emptied = std::mem::take(&mut self.emptied);
        let remove = move || emptied.iter().for_each(|group| groups::remove(group));
        if self.fleet.shutting_down() {
            self.tasks.spawn_blocking(move || {
                remove();
                Ok(())
            });
        } else {
            remove();
        }
    }
}
