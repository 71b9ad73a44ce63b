//! How a command ends.
//! Not here: when.

use std::fmt::Display;
use std::process::ExitCode;

use crate::client::ClientError;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or healthy.
    Done = 0,
    /// Failed, or degraded.
    Failed = 1,
    /// Wrong usage, or a wrong configuration.
    Usage = 2,
    /// No supervisor runs.
    NotRunning = 3,
    /// It was waited for, and did not happen in time.
    TimedOut = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What failed, where, why, and what to do.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// Something of this machine did not work.
    pub(crate) fn of_system(doing: &str, error: &dyn Display) -> Self {
        Self::new(Exit::Failed, format!("failed to {doing}: {error}"))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NotRunning(_) => Exit::NotRunning,
            ClientError::Refused { status: 400 | 404 | 422, .. } => Exit::Usage,
            ClientError::Denied(..) | ClientError::Broken(..) | ClientError::Refused { .. } => Exit::Failed,
            ClientError::Timeout(_) => Exit::TimedOut,
        };
        let hint = match exit {
            Exit::NotRunning => "; `supervisor start` starts it",
            Exit::Done | Exit::Failed | Exit::Usage | Exit::TimedOut => "",
        };
        Self::new(exit, format!("{error}{hint}"))
    }
}
