//! Whom alerts reach, with what, and what becomes of them when whoever should hear them does not.
//! Not here: what is worth an alert (unit tests of `alerts`).

mod authority;
mod certificates;
mod delivery;
mod https;
mod limits;
mod mail;
mod post_office;
mod programs;
mod receiver;
mod secrecy;

use e2e::{Setup, Stack};

/// It ends again and again until there is a file `well`; then it stays.
const SICK: &str = "[services.sick]\n\
    command = ['sh', '-c', 'if [ -e well ]; then exec ./puppet wait; fi; echo no database; exit 3']\n\
    restart = { delay = '20ms', max_delay = '50ms', crash_loop = 2, reset_after = '300ms' }\n\
    [services.good]\n\
    command = './puppet wait'\n";

/// The sick service, and these alerts.
fn setup(alerts: &str) -> Setup {
    Setup::of(&format!("{SICK}{alerts}"))
}

fn webhook(url: &str, lines: &str) -> String {
    format!("[[alerts]]\nname = 'hook'\nwebhook = '{url}'\n{lines}\n")
}

fn alert(stack: &Stack, name: &str) -> serde_json::Value {
    let status = stack.status();
    let found = status["alerts"].as_array().into_iter().flatten().find(|alert| alert["name"] == name);
    found.cloned().unwrap_or_default()
}
