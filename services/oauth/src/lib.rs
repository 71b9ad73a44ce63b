//! The OAuth service: clients register, users agree and log in at Entra, services ask what a token is worth.
//! Not here: listening and draining; the kit does those.
#![warn(missing_docs)]

pub mod answer;
pub mod app;
pub mod audit;
mod authorize;
pub mod browser;
mod callback;
pub mod catalog;
mod client_auth;
pub mod clients;
pub mod clock;
mod consents;
mod dial;
pub mod document;
mod entra;
pub mod fetch;
pub mod form;
pub mod grants;
pub mod keys;
pub mod limit;
mod logins;
mod metadata;
mod pages;
mod pending;
pub mod place;
mod private;
pub mod redirect;
pub mod register;
mod revoke;
pub mod secret;
pub mod settings;
pub mod store;
mod token;
mod turns;
pub mod upkeep;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use serde_json::{Map, json};
use service_kit::public::{document, open_to_browsers};
use service_kit::{Fitness, Routes, Vital, Vitals};

use app::{App, Shared};

/// A registration is the largest body that any route takes.
pub const MAX_BODY: usize = 16 << 10;

/// All routes.
#[must_use]
pub fn routes(app: App) -> Routes {
    let metadata = document(metadata::metadata(&app.settings));
    let app = Arc::new(app);
    let public = Router::new()
        .route("/register", open_to_browsers("POST", post(register::register).with_state(app.clone())))
        .route("/token", open_to_browsers("POST", post(token::token).with_state(app.clone())))
        .route("/revoke", open_to_browsers("POST", post(revoke::revoke).with_state(app.clone())))
        .route("/authorize", get(authorize::show).post(authorize::decide).with_state(app.clone()))
        .route("/azure_callback", get(callback::callback).with_state(app.clone()))
        .route("/.well-known/oauth-authorization-server", open_to_browsers("GET", metadata));
    Routes { public, private: private::routes(app.clone()), vitals: Some(vitals(app)) }
}

/// Whether the database answers. Entra is not asked: its outage must not get this process restarted.
fn vitals(app: Shared) -> Vitals {
    Arc::new(move || {
        let app = app.clone();
        Box::pin(async move {
            let read =
                app.store.read(|connection| connection.query_row("SELECT max(version) FROM schema", [], |_| Ok(())));
            let (fitness, db) = match read.await {
                Ok(()) => (Fitness::Fit, "ok"),
                Err(_) => (Fitness::Unfit, "failed"),
            };
            let facts = [("db", json!(db)), ("entra_configured", json!(app.entra.is_some()))];
            Vital {
                fitness,
                facts: facts.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<Map<_, _>>(),
            }
        })
    })
}
