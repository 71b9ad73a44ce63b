//! What the pump has to know of the logs of a stack.
//! Not here: which pipe goes where (`effects`).

use std::time::Duration;

use supervisor_keeper::Request;
use supervisor_logs::{Budget, Compression, Ledger, OnFull, Pump, Settings};

use crate::config::{Log, LogBudget, Stack};
use crate::control::keeper::inventory::Inventory;
use crate::control::keeper::link::{Link, Purpose};
use crate::control::launch::prepare::log_paths;

/// The name under which the keeper holds the count of what logs have dropped.
const LEDGER: &str = "log/ledger";

/// The pump; what its logs have dropped is known to the next control, too.
pub(crate) fn pump(link: &mut Link, inventory: &mut Inventory) -> Pump {
    if let Some(ledger) = inventory.held.remove(LEDGER).and_then(|held| Ledger::of(held).ok()) {
        return Pump::with(ledger);
    }
    let made = Ledger::new().and_then(|ledger| {
        let hold = Request::Hold { names: vec![LEDGER.to_owned()] };
        link.send(Purpose::Note("hold what logs have dropped"), &hold, vec![ledger.fd()?])?;
        Ok(ledger)
    });
    // Without one it is counted until control ends.
    made.map_or_else(|_| Pump::new(), Pump::with)
}

/// Every log of the stack, whether its service runs or not: what they take counts, and the oldest archives go first.
pub(crate) fn declare(pump: &Pump, stack: &Stack) {
    let LogBudget { total, min_free } = stack.log_budget;
    pump.set_budget(Budget { total, min_free });
    for service in &stack.services {
        for path in log_paths(&service.launch) {
            pump.configure(&path, settings(&service.launch.log));
        }
    }
}

pub(crate) fn settings(log: &Log) -> Settings {
    let Log { dir: _, max_size, keep, gzip, split: _, max_age, block } = log;
    Settings {
        max_size: *max_size,
        keep: *keep,
        compression: if *gzip { Compression::Gzip } else { Compression::None },
        max_age: *max_age,
        on_full: if *block { OnFull::Block } else { OnFull::Drop },
    }
}

/// Of the supervisor's own log.
pub(crate) const OWN: Settings = Settings {
    max_size: 10 << 20,
    keep: 3,
    compression: Compression::Gzip,
    max_age: Duration::ZERO,
    on_full: OnFull::Drop,
};
