//! What control tells of its doings: events, figures, reports of ends, its own log, the foreground.
//! Not here: keeping and showing them.

pub(crate) mod certificates;
pub(crate) mod foreground;
pub(crate) mod history;
pub(crate) mod instruments;
pub(crate) mod log_files;
pub(crate) mod narrator;
pub(crate) mod ownlog;
pub(crate) mod reports;
