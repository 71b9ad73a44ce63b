//! One service as the API shows it.
//! Not here: asking for it.

use serde_json::Value;

/// What `GET /api/v1/services/NAME` said.
#[derive(Debug, Clone)]
pub struct Service(pub Value);

impl Service {
    /// One of the words of the documentation: `running`, `backoff` …
    #[must_use]
    pub fn state(&self) -> &str {
        self.0["state"].as_str().unwrap_or("")
    }

    /// Why it is in that state.
    #[must_use]
    pub fn cause(&self) -> &str {
        self.0["cause"].as_str().unwrap_or("")
    }

    /// The main process of its live run.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        let pid = self.0["pid"].as_i64().or_else(|| self.0["run"]["pid"].as_i64())?;
        i32::try_from(pid).ok().filter(|pid| *pid > 0)
    }

    /// Restarts since it was last started by hand.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.0["restarts"].as_u64().unwrap_or(0)
    }

    /// How many times it was started, ever.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0["generation"].as_u64().unwrap_or(0)
    }

    /// How its last run ended.
    #[must_use]
    pub fn last_exit(&self) -> &Value {
        &self.0["last_exit"]
    }
}
