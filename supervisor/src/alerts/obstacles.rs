//! What keeps an alert from being told, as far as that can be known before anything is sent.
//! Not here: sending. No secret is in these words, and no command is run.

use std::path::Path;

use super::{post, send};
use crate::config::{Alert, Hidden, Mail, SecretSource, Way, Wire, is_loopback};
use crate::control::launch;
use crate::platform;

/// As things are now. `dir` is that of the configuration.
pub(crate) fn obstacles(alert: &Alert, dir: &Path) -> Vec<String> {
    let found = match &alert.way {
        Way::Webhook { address, headers } => {
            let headers = headers.values().map(|value| looked_up(value, dir).map(drop));
            std::iter::once(addressed(address, dir).map(drop)).chain(headers).collect()
        }
        Way::Slack(address) | Way::Discord(address) => vec![addressed(address, dir).map(drop)],
        Way::Ntfy(address) => vec![addressed(address, dir).and_then(|address| with_topic(address.as_deref()))],
        Way::Email(Mail { wire, login, .. }) => vec![
            if *wire == Wire::Clear { Ok(()) } else { trusting() },
            login.as_ref().map_or(Ok(()), |(_, password)| looked_up(password, dir).map(drop)),
        ],
        Way::Command(argv) => vec![runnable(&argv[0], dir)],
        Way::Desktop => vec![runnable(&platform::notification("", "")[0], dir), platform::desktop_session()],
    };
    found.into_iter().filter_map(Result::err).collect()
}

/// Whoever is on the way can read it. The way may be one's own network, so that is no obstacle.
pub(crate) fn in_the_clear(alert: &Alert, dir: &Path) -> Option<String> {
    let address = match &alert.way {
        Way::Webhook { address, headers: _ } => address,
        Way::Slack(address) | Way::Discord(address) | Way::Ntfy(address) => address,
        // Where a mail's password would be, the file is refused.
        Way::Email(_) | Way::Command(_) | Way::Desktop => return None,
    };
    let address = looked_up(address, dir).ok()??;
    let post::Path::Clear(host) = post::path_to(&address).ok()? else { return None };
    (!is_loopback(&host)).then(|| {
        let login = "address, login and headers, which are passwords, and what is told";
        format!("`http` to `{host}`: {login}, can be read by all on the way; use `https` unless that network is yours")
    })
}

/// `None`: only a command would tell.
fn looked_up(hidden: &Hidden, dir: &Path) -> Result<Option<String>, String> {
    match hidden {
        Hidden::Text(text) => Ok(Some(text.clone())),
        Hidden::Source(SecretSource::Command(argv)) => runnable(&argv[0], dir).map(|()| None),
        Hidden::Source(source @ (SecretSource::File { .. } | SecretSource::Env(_))) => {
            launch::secret("of the alert", source, dir).map(Some).map_err(|error| error.to_string())
        }
    }
}

fn addressed(address: &Hidden, dir: &Path) -> Result<Option<String>, String> {
    let Some(address) = looked_up(address, dir)? else { return Ok(None) };
    match post::path_to(&address) {
        Ok(post::Path::Encrypted) => trusting().map(|()| Some(address)),
        Ok(post::Path::Clear(_)) => Ok(Some(address)),
        Err(failure) => Err(failure.why),
    }
}

fn with_topic(address: Option<&str>) -> Result<(), String> {
    address.map_or(Ok(()), |address| send::topic(address).map(drop).map_err(|failure| failure.why))
}

fn trusting() -> Result<(), String> {
    post::trusted().map(drop).map_err(|failure| failure.why)
}

fn runnable(argv0: &str, dir: &Path) -> Result<(), String> {
    launch::not_runnable(argv0, dir).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::config::{Mark, Occasion};

    fn of(way: Way, dir: &Path) -> String {
        obstacles(&alert(way), dir).join("; ")
    }

    fn alert(way: Way) -> Alert {
        Alert {
            name: "ops".to_owned(),
            key: "ops".to_owned(),
            on: vec![Occasion::Crash],
            services: vec!["*".to_owned()],
            way,
            min_interval: Duration::ZERO,
            log_lines: 0,
        }
    }

    #[test]
    fn passwords_that_would_cross_a_network_in_the_clear_are_warned_of_without_being_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = |way| in_the_clear(&alert(way), dir.path());
        let hook = |address: &str| Way::Webhook { address: text(address), headers: [].into() };
        for address in ["http://u:s3cret@hooks.example.org/s3cret", "http://10.0.0.7:8065/s3cret?k=s3cret"] {
            for way in [hook(address), Way::Slack(text(address)), Way::Ntfy(text(address))] {
                let told = told(way).unwrap();
                assert!(told.contains("use `https`") && !told.contains("s3cret"), "{told}");
            }
        }
        for address in ["https://u:p@h/", "http://u:p@127.0.0.1:80/", "http://localhost/", "http://[::1]:80/"] {
            assert_eq!(told(hook(address)), None, "{address}");
        }
    }

    fn text(text: &str) -> Hidden {
        Hidden::Text(text.to_owned())
    }

    #[test]
    fn a_program_that_cannot_be_run_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let tell = dir.path().join("tell");
        let command = |word: &str| of(Way::Command(vec![word.to_owned()]), dir.path());
        assert!(command("./tell").contains("/tell: No such file"), "{}", command("./tell"));
        fs::write(&tell, "#!/bin/sh\n").unwrap();
        assert!(command("./tell").contains("/tell is not executable"), "{}", command("./tell"));
        fs::set_permissions(&tell, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(command("./tell"), "");
        assert_eq!(command("sh"), "");
        assert!(command("no-such-program").contains("`no-such-program` is not in PATH"));
    }

    #[test]
    fn what_cannot_be_looked_up_or_is_no_address_is_told_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook");
        let file = || Hidden::Source(SecretSource::File { path: path.clone(), mark: Mark::default() });
        assert!(of(Way::Slack(file()), dir.path()).contains("hook: No such file"));
        fs::write(&path, "s3cret").unwrap();
        let told = of(Way::Slack(file()), dir.path());
        assert!(told.contains("its address is none") && !told.contains("s3cret"), "{told}");
        fs::write(&path, "http://localhost/s3cret\n").unwrap();
        assert_eq!(of(Way::Slack(file()), dir.path()), "");
        let unset = Hidden::Source(SecretSource::Env("SUPERVISOR_NO_SUCH_VARIABLE".to_owned()));
        assert!(of(Way::Discord(unset), dir.path()).contains("SUPERVISOR_NO_SUCH_VARIABLE is not set"));
        let command = Hidden::Source(SecretSource::Command(vec!["./no-such".to_owned()]));
        let headers = [("A".to_owned(), command)].into();
        let told = of(Way::Webhook { address: text("http://h/"), headers }, dir.path());
        assert!(told.contains("/no-such: No such file"), "{told}");
        assert!(of(Way::Ntfy(text("http://ntfy.sh")), dir.path()).contains("ends with no topic"));
        assert_eq!(of(Way::Ntfy(text("http://ntfy.sh/ops")), dir.path()), "");
    }
}
