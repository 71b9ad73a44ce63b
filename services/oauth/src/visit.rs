//! A browser's request for a page, with what each of them must pass first.
//! Not here: what the pages are about (`authorize`, `callback`).

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use service_kit::Peer;

use crate::app::Shared;
use crate::authorize::Halt;
use crate::browser::{Browser, Transport};
use crate::entra::Entra;
use crate::form::Form;
use crate::pages::{Language, Trouble};

/// A request that did not come too often.
pub(crate) struct Visit {
    pub(crate) app: Shared,
    pub(crate) headers: HeaderMap,
    query: String,
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Response> {
        let peer = parts.extensions.get().copied().unwrap_or(Peer(None));
        let client = app.settings.proxies.client(peer, &parts.headers);
        let passed = app.gates.authorize.pass(client, app.clock.instant());
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let visit = Self { app: app.clone(), headers: parts.headers.clone(), query };
        match passed {
            Ok(()) => Ok(visit),
            Err(too_many) => Err(visit.answer(Err(Halt::Page(Trouble::TooMany(too_many.0))))),
        }
    }
}

impl Visit {
    /// The login, if it is set up.
    pub(crate) fn entra(&self) -> Result<&Entra, Halt> {
        self.app.entra.as_ref().ok_or(Halt::Page(Trouble::NotConfigured))
    }

    /// The parameters in its address.
    pub(crate) fn form(&self) -> Result<Form, Halt> {
        Form::parse(self.query.as_bytes(), &[]).map_err(|_| Halt::Page(Trouble::BadRequest))
    }

    /// The browser, if it has been here before.
    pub(crate) fn known_browser(&self) -> Option<Browser> {
        Browser::known(&self.headers, Transport::of(&self.app.settings.origin()))
    }

    /// What the browser gets, in its language.
    pub(crate) fn answer(&self, end: Result<Response, Halt>) -> Response {
        end.unwrap_or_else(|halt| halt.respond(&self.app, Language::of(&self.headers)))
    }
}
