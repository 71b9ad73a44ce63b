//! The command line of the OAuth service.
//! Not here: what the service does (`lib`).

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use oauth::app::{App, Ground};
use oauth::clock::Clock;
use oauth::fetch::{Fetcher, Reach};
use oauth::place::Place;
use oauth::settings::Settings;
use oauth::store;
use oauth::{MAX_BODY, routes, upkeep};
use service_kit::{ConfigError, Env, Limits, Routes, Service, Setup, run};

const ABOUT: &str = "\
The OAuth service of the Microsoft 365 MCP stack: clients register, users log in at Microsoft Entra.

  oauth backup FILE   copies the database into a new file, while it is in use
  oauth rotate-key    makes a new key and seals anew what older ones sealed";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match &arguments[..] {
        [command, file] if command == "backup" => upkeep(|place| {
            let told = format!("the database is in `{}`; the keys are not", file.display());
            upkeep::back_up(place, Path::new(file)).map(|()| told)
        }),
        [command] if command == "rotate-key" => upkeep(|place| {
            let rotated = upkeep::rotate_key(place);
            rotated.map(|(id, count)| format!("key {id} seals from now on; {count} logins were sealed anew"))
        }),
        _ => serve(),
    }
}

fn serve() -> ExitCode {
    let service = Service {
        name: "oauth",
        about: ABOUT,
        version: env!("CARGO_PKG_VERSION"),
        port: 8001,
        private_port: Some(8011),
        not_yet: &[],
        limits: Limits { body: MAX_BODY, ..Limits::default() },
    };
    let mut database = None;
    let code = run(&service, |setup| {
        let place = Place::of(setup.env)?;
        database = Some(place.database.clone());
        open(setup, place)
    });
    if let Some(Err(error)) = database.filter(|_| code == ExitCode::SUCCESS).map(|path| store::fold(&path)) {
        tracing::warn!(%error, "the next start folds the database");
    }
    code
}

fn open(setup: &Setup<'_>, place: Place) -> Result<Routes, ConfigError> {
    let settings = Settings::read(setup.env, setup.base.clone())?;
    let ground = Ground { place, fetcher: Fetcher::new(), reach: Reach::Internet, clock: Clock::default() };
    let app = App::open(settings, ground).map_err(|error| ConfigError::of(error.to_string()))?;
    Ok(routes(app))
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer to a command")]
fn upkeep(work: impl FnOnce(&Place) -> Result<String, upkeep::UpkeepError>) -> ExitCode {
    let place = match Env::load().and_then(|env| Place::of(&env)) {
        Ok(place) => place,
        Err(error) => {
            eprintln!("oauth: {error}");
            return ExitCode::from(2);
        }
    };
    match work(&place) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("oauth: {error}");
            ExitCode::FAILURE
        }
    }
}
