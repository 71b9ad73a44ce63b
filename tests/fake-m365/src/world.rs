//! Everything that the fake remembers: the tenant, its people and applications, and what was issued to whom.
//! Not here: requests; each room answers its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::bounded::Bounded;
use crate::call::Call;
use crate::entra::authorize::Request;
use crate::journal::{Journal, Rule};
use crate::keys::Keys;
use crate::people::{User, sandbox_users};
use crate::script::Script;
use crate::settings::Settings;
use crate::{clock, random};

/// The tenant of the sandbox.
pub const TENANT: &str = "5a0d0000-0000-4000-8000-000000000000";

/// An application as it is registered with Entra: platform "Web".
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its identifier.
    pub client_id: String,
    /// What it proves itself with.
    pub client_secret: String,
    /// As shown to people.
    pub name: String,
    /// Compared character by character.
    pub redirect_uris: Vec<String>,
}

/// The secret is not shown.
impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("client_id", &self.client_id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a fake begins with.
#[derive(Debug, Clone)]
pub struct Plan {
    /// On 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The registered applications.
    pub apps: Vec<App>,
    /// The people.
    pub users: Vec<User>,
    /// How it behaves.
    pub settings: Settings,
}

impl Default for Plan {
    /// A free port, the people of the sandbox, and one application with a secret that is new each time and no
    /// redirect URI yet.
    fn default() -> Self {
        let app = App {
            client_id: "5a0d0000-0000-4000-8000-0000000000a0".to_owned(),
            client_secret: random::token(),
            name: "Microsoft 365 MCP".to_owned(),
            redirect_uris: Vec::new(),
        };
        Self { port: 0, apps: vec![app], users: sandbox_users(), settings: Settings::default() }
    }
}

/// What a person allowed an application to do.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) client_id: String,
    pub(crate) user_id: String,
    pub(crate) scopes: Vec<String>,
    /// Seconds since 1970, on Entra's clock.
    pub(crate) expires: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) grant: Grant,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    pub(crate) used: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    pub(crate) grant: Grant,
    pub(crate) revoked: bool,
}

pub(crate) struct World {
    pub(crate) base: String,
    pub(crate) apps: Vec<App>,
    pub(crate) users: Vec<User>,
    pub(crate) settings: Settings,
    pub(crate) scripts: Vec<Script>,
    pub(crate) journal: Journal,
    pub(crate) keys: Keys,
    pub(crate) logins: Bounded<Request>,
    pub(crate) sessions: Bounded<String>,
    pub(crate) codes: Bounded<Code>,
    pub(crate) refreshes: Bounded<Refresh>,
    pub(crate) accesses: Bounded<Grant>,
    /// By application and person: consent is never asked for twice, and adds up.
    pub(crate) consents: BTreeMap<(String, String), BTreeSet<String>>,
}

impl World {
    pub(crate) fn new(plan: Plan, address: SocketAddr) -> Self {
        Self {
            base: format!("http://{address}"),
            apps: plan.apps,
            users: plan.users,
            settings: plan.settings,
            scripts: Vec::new(),
            journal: Journal::default(),
            keys: Keys::default(),
            logins: Bounded::default(),
            sessions: Bounded::default(),
            codes: Bounded::default(),
            refreshes: Bounded::default(),
            accesses: Bounded::default(),
            consents: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        clock::now(self.settings.clock_offset_s.into())
    }

    pub(crate) fn issuer(&self, tenant: &str) -> String {
        format!("{}/{tenant}/v2.0", self.base)
    }

    pub(crate) fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    pub(crate) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub(crate) fn user_named(&self, upn: &str) -> Option<&User> {
        self.users.iter().find(|user| user.user_principal_name.eq_ignore_ascii_case(upn))
    }

    pub(crate) fn put_user(&mut self, user: User) {
        self.users.retain(|other| other.id != user.id);
        self.users.push(user);
    }

    pub(crate) fn allow_redirect(&mut self, uri: &str) {
        self.apps.iter_mut().for_each(|app| app.redirect_uris.push(uri.to_owned()));
    }

    pub(crate) fn revoke(&mut self, upn: &str) {
        let id = self.user_named(upn).map(|user| user.id.clone());
        for refresh in self.refreshes.values_mut().filter(|refresh| Some(&refresh.grant.user_id) == id.as_ref()) {
            refresh.revoked = true;
        }
    }

    pub(crate) fn violated(&mut self, call: &Call, rule: Rule, detail: impl Into<String>) {
        self.journal.violated(rule, detail, call.number);
    }
}
