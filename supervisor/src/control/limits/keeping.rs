//! Limits that the kernel keeps, of what runs.
//! Not here: of what is about to begin (`launch::prepare`), and how they are written (`platform::controllers`).

use crate::control::run_loop::Control;

impl Control {
    /// What the configuration says now counts for what runs, too.
    pub(crate) fn renew_limits(&mut self) {
        for (number, run) in &self.runs {
            let Some(service) = self.of_run(*number).filter(|_| run.pid.is_some()) else { continue };
            for (controller, group) in &run.record.confines {
                if let Err(error) = group.set(*controller, &service.launch.limits.most()) {
                    let (service, limit) = (&run.record.service, controller.as_str());
                    tracing::warn!(%service, limit, %error, "a limit cannot be changed while it runs");
                }
            }
        }
        self.note_calm();
        self.look_at_limits();
    }
}
