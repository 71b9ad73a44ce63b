//! The sandbox tenant as a program: it runs beside the five services so that the whole login works without Azure.
//! Not here: the tenant (`lib`).

use std::process::ExitCode;

use fake_m365::{App, Fake, Login, Plan, Settings};

const HELP: &str =
    "A sandbox tenant of Microsoft 365: a stand-in for Entra and Graph on this machine. See docs/sandbox.md.

Usage: fake-m365 [--help | --version]

It is configured by its environment:
  PORT                    the port on 127.0.0.1 (default 8099)
  FAKE_M365_CLIENT_ID     the registered application (default: one that is always the same)
  FAKE_M365_CLIENT_SECRET its secret; needed
  FAKE_M365_REDIRECT_URIS where it may send people back to, separated by spaces
  FAKE_M365_LOGIN         page (default): a person chooses an account; auto: nobody is asked";

/// What to say, and the exit code.
type Outcome = Result<(), (String, u8)>;

fn main() -> ExitCode {
    let argument = std::env::args_os().nth(1).map(|argument| argument.to_string_lossy().into_owned());
    let outcome = match argument.as_deref() {
        None => run(),
        Some("--help" | "-h") => say(HELP),
        Some("--version" | "-V") => say(&format!("fake-m365 {}", env!("CARGO_PKG_VERSION"))),
        Some(other) => Err((format!("unexpected argument `{other}`; see `fake-m365 --help`"), 2)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((why, code)) => complain(&why, code),
    }
}

fn run() -> Outcome {
    let plan = plan(|name| std::env::var(name).ok().filter(|value| !value.is_empty())).map_err(|why| (why, 2))?;
    let port = plan.port;
    let fake = Fake::start_with(plan).map_err(|why| (format!("cannot listen on 127.0.0.1:{port}: {why}"), 1))?;
    say(&format!("a sandbox tenant of Microsoft 365 at {}", fake.base()))?;
    wait_for_the_end().map_err(|why| (format!("cannot wait for signals: {why}"), 1))?;
    // Here a broken rule is for the log only; nobody waits for it.
    for broken in fake.take_violations() {
        say(&format!("broken rule: {broken:?}"))?;
    }
    Ok(())
}

fn plan(variable: impl Fn(&str) -> Option<String>) -> Result<Plan, String> {
    let usual = Plan::default();
    let port = match variable("PORT") {
        None => 8099,
        Some(text) => text.parse().map_err(|_| format!("PORT: `{text}` is not a port"))?,
    };
    let login = match variable("FAKE_M365_LOGIN").as_deref() {
        None | Some("page") => Login::Page,
        Some("auto") => Login::Auto,
        Some(other) => return Err(format!("FAKE_M365_LOGIN: `{other}` is neither `page` nor `auto`")),
    };
    let client_secret = variable("FAKE_M365_CLIENT_SECRET")
        .ok_or("FAKE_M365_CLIENT_SECRET is not set: the client must know the same one, so choose any")?;
    let first = usual.apps.first().cloned().ok_or("the usual plan has no application")?;
    let app = App {
        client_id: variable("FAKE_M365_CLIENT_ID").unwrap_or(first.client_id),
        client_secret,
        name: first.name,
        redirect_uris: variable("FAKE_M365_REDIRECT_URIS")
            .map(|list| list.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
    };
    Ok(Plan { port, apps: vec![app], settings: Settings { login, ..Settings::default() }, ..usual })
}

/// TERM or INT.
fn wait_for_the_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        Ok(())
    })
}

#[expect(clippy::print_stdout, reason = "its log, and the answers to --help and --version")]
fn say(text: &str) -> Outcome {
    println!("{text}");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "why it did not start is for the person who started it")]
fn complain(why: &str, code: u8) -> ExitCode {
    eprintln!("fake-m365: {why}");
    ExitCode::from(code)
}
