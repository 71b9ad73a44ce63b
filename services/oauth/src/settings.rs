//! What an operator decides, read from the environment and checked once.
//! Not here: the variables of every service (`kit`), and where files lie (`place`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use service_kit::{BaseUrl, ConfigError, Env};

use crate::catalog::{Scopes, Service};
use crate::clock::Seconds;
use crate::limit::{Proxies, Rates};
use crate::redirect::RedirectPolicy;
use crate::secret::Secret;

const MICROSOFT: &str = "https://login.microsoftonline.com";

/// All settings.
pub struct Settings {
    /// Where the world finds this server; also its name as an issuer.
    pub base: BaseUrl,
    /// Where each service is found: what tokens are for.
    pub resources: BTreeMap<Service, String>,
    /// What is given to a client that names no scope.
    pub default_scopes: BTreeMap<Service, Scopes>,
    /// For clients that do not say which service they mean.
    pub default_resource: Option<Service>,
    /// The login; without it this server can be looked at, no more.
    pub entra: Option<EntraSettings>,
    /// Who may log in.
    pub admission: Admission,
    /// Whether programs may register themselves (RFC 7591).
    pub registration: Switch,
    /// Whether an address may be a client (client id metadata documents).
    pub documents: Switch,
    /// Which addresses browsers may be sent back to.
    pub redirects: RedirectPolicy,
    /// How long an access token is good. 15 minutes.
    pub access_ttl: Seconds,
    /// How long a refresh token is good when it is not used. 30 days.
    pub refresh_ttl: Seconds,
    /// How often one address may ask.
    pub rates: Rates,
    /// Whose word on a client's address is believed.
    pub proxies: Proxies,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It is served.
    On,
    /// It is refused.
    Off,
}

/// The login at Entra.
pub struct EntraSettings {
    /// `https://login.microsoftonline.com`, or that of a national cloud.
    pub authority: String,
    /// A tenant's id or domain, or `organizations`, `common`, `consumers`.
    pub tenant: String,
    /// Where Entra sends people back to; registered there letter by letter.
    pub redirect_uri: String,
    /// The application of each service: the same, unless a service has its own.
    pub apps: BTreeMap<Service, EntraApp>,
    /// Origins that a login may be sent on to, for the content security policy of the consent page.
    pub login_origins: Vec<String>,
}

/// An application registered at Entra.
#[derive(Clone)]
pub struct EntraApp {
    /// Its application (client) id.
    pub client_id: String,
    /// Its client secret.
    pub secret: Secret,
}

/// Who may log in. Empty lists: whoever Entra lets in.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// Ids of tenants.
    pub tenants: Vec<String>,
    /// Object ids or user principal names, in lower case.
    pub users: Vec<String>,
}

impl Admission {
    /// Whether this user may have tokens.
    #[must_use]
    pub fn admits(&self, tid: &str, oid: &str, upn: &str) -> bool {
        let named = |list: &[String], name: &str| list.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        (self.tenants.is_empty() || named(&self.tenants, tid))
            && (self.users.is_empty() || named(&self.users, oid) || named(&self.users, upn))
    }
}

impl EntraSettings {
    /// What names the application that a grant was made with. A grant of another one is not good any more: whoever
    /// changes the tenant or the application wants new logins.
    #[must_use]
    pub fn app_of(&self, service: Service) -> String {
        format!("{}/{}", self.tenant, self.apps[&service].client_id)
    }
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// When a variable cannot be used.
    pub fn read(env: &Env, base: BaseUrl) -> Result<Self, ConfigError> {
        let mut resources = BTreeMap::new();
        let mut default_scopes = BTreeMap::new();
        for service in Service::ALL {
            resources.insert(service, BaseUrl::of(service.name(), service.port(), env)?.to_string());
            default_scopes.insert(service, scopes_of(service, env)?);
        }
        let hour: Seconds = 3600;
        Ok(Self {
            resources,
            default_scopes,
            default_resource: default_resource(env)?,
            entra: entra(env, &base)?,
            admission: Admission { tenants: list(env, "DCR_ALLOWED_TENANTS"), users: list(env, "DCR_ALLOWED_USERS") },
            registration: switch(env, "OAUTH_DCR")?,
            documents: switch(env, "OAUTH_CIMD")?,
            redirects: RedirectPolicy {
                schemes: list(env, "OAUTH_ALLOWED_REDIRECT_SCHEMES"),
                hosts: list(env, "OAUTH_ALLOWED_REDIRECT_HOSTS"),
            },
            access_ttl: seconds(env, "DCR_ACCESS_TOKEN_TTL_SECONDS", hour / 4, 60..=24 * hour)?,
            refresh_ttl: seconds(env, "DCR_REFRESH_TOKEN_TTL_SECONDS", 30 * 24 * hour, hour..=365 * 24 * hour)?,
            rates: Rates::read(env)?,
            proxies: proxies(env)?,
            base,
        })
    }

    /// The service that a resource indicator means (RFC 8707): its address, with or without `/messages` or `/mcp`, and
    /// with or without one slash at the end.
    #[must_use]
    pub fn service_at(&self, resource: &str) -> Option<Service> {
        let authority = resource.find("://")? + "://".len();
        let path = resource[authority..].find('/').map_or(resource.len(), |slash| authority + slash);
        let (base, path) = resource.split_at(path);
        if !matches!(path.strip_suffix('/').unwrap_or(path), "" | "/messages" | "/mcp") {
            return None;
        }
        let base = BaseUrl::parse(base).ok()?.to_string();
        self.resources.iter().find(|(_, resource)| **resource == base).map(|(service, _)| *service)
    }

    /// The origin of this server's pages.
    #[must_use]
    pub fn origin(&self) -> String {
        self.base.to_string()
    }
}

fn entra(env: &Env, base: &BaseUrl) -> Result<Option<EntraSettings>, ConfigError> {
    let names = ["DCR_AZURE_CLIENT_ID", "DCR_AZURE_CLIENT_SECRET", "DCR_AZURE_TENANT_ID"];
    let values = names.map(|name| env.text(name));
    let [Some(client_id), Some(secret), Some(tenant)] = values else {
        return match names.iter().zip(values).find(|(_, value)| value.is_none()) {
            Some((missing, _)) if values.iter().any(Option::is_some) => Err(env.error(
                missing,
                "is not set, while other settings of the Entra login are; set all three, or none (docs/entra-setup.md)",
            )),
            Some(_) | None => Ok(None),
        };
    };
    let common = EntraApp { client_id: client_id.to_owned(), secret: Secret::new(secret) };
    if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)) {
        return Err(env.error("DCR_AZURE_TENANT_ID", "is no tenant: give its id, its domain, or `organizations`"));
    }
    let mut apps = BTreeMap::new();
    for service in Service::ALL {
        apps.insert(service, app_of(service, env)?.unwrap_or_else(|| common.clone()));
    }
    let authority = address(env, "OAUTH_ENTRA_AUTHORITY")?.unwrap_or_else(|| MICROSOFT.to_owned());
    let mut login_origins = origins(env, "OAUTH_LOGIN_ORIGINS")?;
    login_origins.push(authority.clone());
    if authority == MICROSOFT {
        // Where personal accounts are sent on to.
        login_origins.push("https://login.live.com".to_owned());
    }
    Ok(Some(EntraSettings {
        authority,
        tenant: tenant.to_owned(),
        redirect_uri: callback(env, base)?,
        apps,
        login_origins,
    }))
}

fn app_of(service: Service, env: &Env) -> Result<Option<EntraApp>, ConfigError> {
    let upper = service.name().to_uppercase();
    let (id, secret) = (format!("DCR_AZURE_CLIENT_ID_{upper}"), format!("DCR_AZURE_CLIENT_SECRET_{upper}"));
    match (env.text(&id), env.text(&secret)) {
        (Some(client_id), Some(secret)) => {
            Ok(Some(EntraApp { client_id: client_id.to_owned(), secret: Secret::new(secret) }))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(env.error(&secret, &format!("is not set, while {id} is; set both or none"))),
        (None, Some(_)) => Err(env.error(&id, &format!("is not set, while {secret} is; set both or none"))),
    }
}

fn callback(env: &Env, base: &BaseUrl) -> Result<String, ConfigError> {
    let name = "DCR_OAUTH_REDIRECT_URI";
    match env.text(name) {
        None => Ok(base.join("/azure_callback")),
        Some(uri) => match RedirectPolicy::default().check(uri) {
            Ok(()) => Ok(uri.to_owned()),
            Err(why) => Err(env.error(name, &format!("cannot be used: {why}"))),
        },
    }
}

/// `https`, or `http` on loopback; without a path.
fn address(env: &Env, name: &str) -> Result<Option<String>, ConfigError> {
    let parse = |text| BaseUrl::parse(text).map_err(|why| env.error(name, &why.to_string()));
    Ok(env.text(name).map(parse).transpose()?.map(|base| base.to_string()))
}

/// For a content security policy: what is no origin would end it, or another part of it would begin.
fn origins(env: &Env, name: &str) -> Result<Vec<String>, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-_*[]".contains(&byte);
    let origin = |text: String| match BaseUrl::parse(&text) {
        Ok(origin) if text.bytes().all(plain) => Ok(origin.to_string()),
        Ok(_) | Err(_) => Err(env.error(name, "is no list of origins such as https://login.example.com")),
    };
    list(env, name).into_iter().map(origin).collect()
}

fn scopes_of(service: Service, env: &Env) -> Result<Scopes, ConfigError> {
    let name = format!("{}_DEFAULT_SCOPES", service.name().to_uppercase());
    let known: Vec<&str> = service.scopes().iter().map(|scope| scope.name).collect();
    match env.text(&name) {
        None => Ok(Scopes::default_of(service)),
        Some(text) => Scopes::parse(service, text)
            .map_err(|_| env.error(&name, &format!("has a scope that is none of: {}", known.join(" ")))),
    }
}

fn default_resource(env: &Env) -> Result<Option<Service>, ConfigError> {
    let name = "OAUTH_DEFAULT_RESOURCE";
    let parse = |text| Service::named(text).ok_or_else(|| env.error(name, "is none of mail, onenote, onedrive, teams"));
    env.text(name).map(parse).transpose()
}

fn switch(env: &Env, name: &str) -> Result<Switch, ConfigError> {
    match env.text(name) {
        None | Some("on") => Ok(Switch::On),
        Some("off") => Ok(Switch::Off),
        Some(_) => Err(env.error(name, "is neither `on` nor `off`")),
    }
}

fn list(env: &Env, name: &str) -> Vec<String> {
    let split = |text: &str| {
        let parts = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_ascii_lowercase).collect()
    };
    env.text(name).map(split).unwrap_or_default()
}

fn seconds(
    env: &Env,
    name: &str,
    usual: Seconds,
    range: std::ops::RangeInclusive<Seconds>,
) -> Result<Seconds, ConfigError> {
    let wanted = format!("a number of seconds from {} to {}", range.start(), range.end());
    match env.number(name, &wanted)? {
        None => Ok(usual),
        Some(given) if range.contains(&given) => Ok(given),
        Some(_) => Err(env.error(name, &format!("is not {wanted}"))),
    }
}

fn proxies(env: &Env) -> Result<Proxies, ConfigError> {
    let name = "OAUTH_TRUSTED_PROXIES";
    match env.text(name) {
        None => Ok(Proxies::Loopback),
        Some("none") => Ok(Proxies::None),
        Some(text) => {
            let addresses = text.split([',', ' ']).filter(|part| !part.is_empty()).map(IpAddr::from_str);
            let addresses = addresses.collect::<Result<Vec<_>, _>>();
            addresses.map(Proxies::These).map_err(|_| env.error(name, "is no list of addresses, and not `none`"))
        }
    }
}
