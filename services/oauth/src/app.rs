//! All that a request may need, made once at the start.
//! Not here: the routes (`lib`).

use std::sync::Arc;

use crate::clock::Clock;
use crate::entra::Entra;
use crate::fetch::{Fetcher, Reach};
use crate::grants::Lifetimes;
use crate::keys::{KeyError, Keys};
use crate::limit::Gate;
use crate::place::Place;
use crate::private::Callers;
use crate::settings::Settings;
use crate::store::{OpenError, Store};
use crate::turns::Turns;

/// As handlers get it.
pub type Shared = Arc<App>;

/// The service.
pub struct App {
    /// What the operator decided.
    pub settings: Settings,
    /// The database.
    pub store: Store,
    /// What seals.
    pub keys: Keys,
    /// The login, when it is configured.
    pub entra: Option<Entra>,
    /// For documents of clients.
    pub fetcher: Fetcher,
    /// From where documents of clients may come.
    pub reach: Reach,
    /// How often one address may ask.
    pub gates: Gates,
    /// The four services.
    pub callers: Callers,
    /// The time.
    pub clock: Clock,
    /// One request to Entra at a time, for each user.
    pub(crate) turns: Turns,
}

/// One gate for each kind of request.
pub struct Gates {
    /// Registrations.
    pub register: Gate,
    /// Pages.
    pub authorize: Gate,
    /// Tokens.
    pub token: Gate,
}

/// What the service stands on, besides its settings.
pub struct Ground {
    /// Where it keeps things.
    pub place: Place,
    /// How it asks other servers.
    pub fetcher: Fetcher,
    /// From where documents of clients may come.
    pub reach: Reach,
    /// The time.
    pub clock: Clock,
}

/// Why it cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data directory or a credential in it.
    #[error("cannot use the data directory: {0}; OAUTH_DATA_DIR says where it is")]
    Place(#[from] std::io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl App {
    /// Opens everything.
    ///
    /// # Errors
    /// When something cannot be opened.
    pub fn open(mut settings: Settings, ground: Ground) -> Result<Self, AppError> {
        let Ground { place, fetcher, reach, clock } = ground;
        place.prepare()?;
        let keys = Keys::open(&place.keys)?;
        let callers = Callers::load(&place)?;
        let store = Store::open(&place.database, clock.clone())?;
        let rates = settings.rates;
        let gates = Gates {
            register: Gate::new(rates.register),
            authorize: Gate::new(rates.authorize),
            token: Gate::new(rates.token),
        };
        let entra = settings.entra.take().map(|entra| Entra::new(entra, fetcher.clone(), clock.clone()));
        Ok(Self { settings, store, keys, entra, fetcher, reach, gates, callers, clock, turns: Turns::default() })
    }

    /// How long tokens are good.
    #[must_use]
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes { access: self.settings.access_ttl, refresh: self.settings.refresh_ttl }
    }
}
