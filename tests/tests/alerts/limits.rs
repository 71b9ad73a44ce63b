//! Limits that are passed: told with their figures, and that they are kept again.
//! Not here: what is done about it (the file `limits` beside this directory).

use e2e::{Setup, User};

use super::receiver::Receiver;
use super::webhook;

const MIB: u64 = 1 << 20;

#[test]
fn a_passed_limit_is_told_with_its_figures_and_so_is_its_end() {
    let hook = Receiver::start();
    let stack = Setup::of(&format!(
        "[services.fat]\ncommand = ['sh', '-c', 'if [ -e well ]; then exec ./puppet wait; fi; exec ./puppet hog 60']\n\
         limits = {{ memory = '32MiB' }}\nrestart = {{ delay = '20ms', max_delay = '50ms', reset_after = '300ms' }}\n{}",
        webhook(&hook.url("/"), "on = ['limit', 'recovered']")
    ))
    .as_user(User::Ordinary)
    .start_no_wait();
    let told = hook.wait_for("limit");
    assert_eq!((&told["service"], &told["title"]), (&"fat".into(), &"fat has passed a limit".into()), "{told:#}");
    assert_eq!((&told["limit"]["key"], &told["limit"]["most"]), (&"memory".into(), &(32 * MIB).into()), "{told:#}");
    assert!(told["limit"]["used"].as_u64().is_some_and(|used| used > 32 * MIB && used < 100 * MIB), "{told:#}");
    assert!(told["cause"].as_str().is_some_and(|cause| cause.contains("`limits.memory` (32MiB)")), "{told:#}");
    std::fs::write(stack.path("well"), "").expect("the directory can be written");
    let told = hook.wait_for("recovered");
    assert_eq!((&told["service"], &told["limit"]), (&"fat".into(), &serde_json::Value::Null), "{told:#}");
}
