//! The beginning of a login: what the client asks for, who signs in, and the way back with a code.
//! Not here: redeeming the code (`token`).

use hyper::header::SET_COOKIE;

use super::fault::{Failure, Fault, Told, with_query};
use super::refused::{missing, refuse, repeated, resource, unknown_app, unknown_scope};
use super::{ANY_TENANT, page, scopes};
use crate::call::Call;
use crate::journal::Rule;
use crate::people::User;
use crate::random;
use crate::reply::Reply;
use crate::settings::Login;
use crate::world::{Code, Grant, World};

/// Who is signed in, in this browser.
pub(super) const COOKIE: &str = "fake_m365_session";

/// Those that Entra's documentation lists, and OpenID Connect's that it takes.
const KNOWN: &[&str] = &[
    "claims",
    "client_id",
    "client_info",
    "code_challenge",
    "code_challenge_method",
    "domain_hint",
    "id_token_hint",
    "login_hint",
    "max_age",
    "mkt",
    "nonce",
    "prompt",
    "redirect_uri",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "sid",
    "state",
    "ui_locales",
];

const PROMPTS: &[&str] = &["login", "none", "consent", "select_account", "create"];

/// A login that was asked for rightly.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) state: String,
    nonce: Option<String>,
    challenge: String,
}

pub(super) fn begin(world: &mut World, call: &Call, tenant: &str, fault: Option<Fault>) -> Reply {
    let (client_id, redirect_uri) = match trusted(world, call, tenant) {
        Ok(pair) => pair,
        Err(failure) => return failure.on_page(world, call),
    };
    let to_client =
        |world: &World, failure: Failure| failure.in_redirect(world, call, &redirect_uri, call.query.value("state"));
    let request = match requested(world, call, tenant, &client_id, &redirect_uri) {
        Ok(request) => request,
        Err(failure) => return to_client(world, failure),
    };
    let who = call.query.value("login_hint").unwrap_or_default();
    if let Some(fault) = fault {
        return to_client(world, fault.failure(Told::InRedirect, &client_id, who));
    }
    let prompt = call.query.value("prompt").unwrap_or_default();
    let signed_in = call.cookie(COOKIE).and_then(|session| world.sessions.get(session)).cloned();
    let signed_in = signed_in.filter(|_| !matches!(prompt, "login" | "select_account" | "create"));
    match (prompt, signed_in, world.settings.login) {
        ("none", None, _) => to_client(world, Fault::LoginRequired.failure(Told::InRedirect, &client_id, who)),
        ("none", Some(user), _) | (_, Some(user), Login::Page) => finish(world, call, &request, &user),
        (_, _, Login::Auto) => match by_itself(world, call, tenant) {
            Ok(user) => finish(world, call, &request, &user),
            Err(failure) => failure.on_page(world, call),
        },
        (_, None, Login::Page) => offer(world, call, request),
    }
}

/// What must be right before an error may be told to the client: who it is and where it is.
fn trusted(world: &mut World, call: &Call, tenant: &str) -> Result<(String, String), Failure> {
    if let Some(name) = call.query.repeated() {
        return Err(repeated(world, call, name));
    }
    let Some(client_id) = call.query.value("client_id") else {
        return Err(missing(world, call, Rule::KnownClient, "client_id"));
    };
    let Some(app) = world.app(client_id) else {
        return Err(unknown_app(world, call, client_id, tenant));
    };
    let Some(uri) = call.query.value("redirect_uri").filter(|uri| app.redirect_uris.iter().any(|own| own == uri))
    else {
        let given = call.query.value("redirect_uri").unwrap_or_default();
        let why = format!(
            "The redirect URI '{given}' specified in the request does not match the redirect URIs configured for the \
             application '{client_id}'."
        );
        return Err(refuse(world, call, Rule::ExactRedirectUri, "invalid_request", 50_011, why));
    };
    Ok((client_id.to_owned(), uri.to_owned()))
}

fn requested(
    world: &mut World,
    call: &Call,
    tenant: &str,
    client_id: &str,
    redirect_uri: &str,
) -> Result<Request, Failure> {
    let query = &call.query;
    if query.value("resource").is_some() {
        return Err(resource(world, call));
    }
    if let Some(name) = query.names().find(|name| !KNOWN.contains(name) && !name.starts_with("x-client-")) {
        let why = format!("The parameter '{name}' is none of Entra's.");
        return Err(refuse(world, call, Rule::KnownParameter, "invalid_request", 900_144, why));
    }
    if query.value("response_type") != Some("code") {
        let why = "The provided value for the input parameter 'response_type' is not valid. Expected: 'code'.";
        return Err(refuse(world, call, Rule::CodeInQuery, "unsupported_response_type", 700_054, why));
    }
    if query.value("response_mode").is_some_and(|mode| mode != "query") {
        let why = "The provided value for the input parameter 'response_mode' is not valid. Expected: 'query'.";
        return Err(refuse(world, call, Rule::CodeInQuery, "invalid_request", 90_023, why));
    }
    if query.value("prompt").is_some_and(|prompt| !PROMPTS.contains(&prompt)) {
        return Err(refuse(world, call, Rule::Prompt, "invalid_request", 90_023, "Unsupported 'prompt' value."));
    }
    let Some(scope) = query.value("scope") else {
        return Err(missing(world, call, Rule::Scope, "scope"));
    };
    let scopes = scopes::parse(scope).map_err(|scope| unknown_scope(world, call, &scope, client_id))?;
    let Some(state) = query.value("state") else {
        return Err(missing(world, call, Rule::State, "state"));
    };
    let nonce = query.value("nonce").map(str::to_owned);
    if nonce.is_none() && scopes.iter().any(|scope| scope == "openid") {
        return Err(missing(world, call, Rule::Nonce, "nonce"));
    }
    Ok(Request {
        tenant: tenant.to_owned(),
        client_id: client_id.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        scopes,
        state: state.to_owned(),
        nonce,
        challenge: challenge(world, call)?,
    })
}

/// A SHA-256 hash, as 43 characters of base64url (RFC 7636, 4.2).
fn challenge(world: &mut World, call: &Call) -> Result<String, Failure> {
    let Some(challenge) = call.query.value("code_challenge") else {
        return Err(missing(world, call, Rule::Pkce, "code_challenge"));
    };
    if call.query.value("code_challenge_method") != Some("S256") {
        let why = "The code_challenge_method must be 'S256'.";
        return Err(refuse(world, call, Rule::PkceS256, "invalid_request", 501_491, why));
    }
    let is_hash = challenge.len() == 43 && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !is_hash {
        let why = "Invalid size of Code_Challenge parameter.";
        return Err(refuse(world, call, Rule::PkceS256, "invalid_request", 501_491, why));
    }
    Ok(challenge.to_owned())
}

/// Without a page.
fn by_itself(world: &World, call: &Call, tenant: &str) -> Result<String, Failure> {
    let wanted = call.query.value("login_hint").map(str::to_owned).or_else(|| world.settings.sign_in_as.clone());
    let user = match &wanted {
        Some(upn) => world.user_named(upn),
        None => world.users.iter().find(|user| belongs(user, tenant)),
    };
    match user {
        Some(user) if belongs(user, tenant) => Ok(user.id.clone()),
        Some(user) => Err(foreign(user, tenant)),
        None => Err(Failure::new(
            "invalid_request",
            50_034,
            format!("The user account {} does not exist in the {tenant} directory.", wanted.unwrap_or_default()),
        )),
    }
}

fn belongs(user: &User, tenant: &str) -> bool {
    ANY_TENANT.contains(&tenant) || user.tenant_id == tenant
}

fn foreign(user: &User, tenant: &str) -> Failure {
    let why = format!(
        "User account '{}' from identity provider does not exist in tenant '{tenant}' and cannot access the \
         application in that tenant.",
        user.user_principal_name
    );
    Failure::new("invalid_request", 50_020, why)
}

/// On the page; the hints make the choice smaller, unless nobody would be left.
fn offer(world: &mut World, call: &Call, request: Request) -> Reply {
    let login = random::token();
    let hint = call.query.value("login_hint").unwrap_or_default().to_ascii_lowercase();
    let domain = call.query.value("domain_hint").filter(|domain| *domain != "organizations").map(|d| format!("@{d}"));
    let all: Vec<&User> = world.users.iter().filter(|user| belongs(user, &request.tenant)).collect();
    let fits = |user: &User| {
        let upn = user.user_principal_name.to_ascii_lowercase();
        (hint.is_empty() || upn == hint) && domain.as_ref().is_none_or(|domain| upn.ends_with(domain))
    };
    let fitting: Vec<&User> = all.iter().copied().filter(|user| fits(user)).collect();
    let reply = page::choose(world, &login, &request, if fitting.is_empty() { &all } else { &fitting });
    world.logins.insert(login, request);
    reply
}

/// The person chose, or left.
pub(super) fn chosen(world: &mut World, call: &Call) -> Reply {
    let request = call.form.value("login").and_then(|login| world.logins.get(login)).cloned();
    let Some(request) = request else {
        return Failure::new("invalid_request", 900_144, "This login is not known: begin again.").on_page(world, call);
    };
    match call.form.value("user") {
        None => Fault::Cancelled.failure(Told::InRedirect, &request.client_id, "").in_redirect(
            world,
            call,
            &request.redirect_uri,
            Some(&request.state),
        ),
        Some(id) if world.user(id).is_some_and(|user| belongs(user, &request.tenant)) => {
            finish(world, call, &request, id)
        }
        Some(_) => Failure::new("invalid_request", 50_034, "The user account does not exist.").on_page(world, call),
    }
}

/// Back to the client, with a code.
fn finish(world: &mut World, call: &Call, request: &Request, user_id: &str) -> Reply {
    let (code, session) = (format!("1.{}", random::long(1_200)), random::token());
    let consented = world.consents.entry((request.client_id.clone(), user_id.to_owned())).or_default();
    consented.extend(request.scopes.iter().cloned());
    let grant = Grant {
        client_id: request.client_id.clone(),
        user_id: user_id.to_owned(),
        scopes: request.scopes.clone(),
        expires: world.now() + i64::from(world.settings.code_s),
    };
    world.codes.insert(
        code.clone(),
        Code {
            grant,
            redirect_uri: request.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            used: false,
        },
    );
    let session_state = random::guid();
    let pairs = [("code", code.as_str()), ("state", &request.state), ("session_state", &session_state)];
    let reply = Reply::redirect(with_query(&request.redirect_uri, &pairs));
    if call.cookie(COOKIE).and_then(|known| world.sessions.get(known)).is_some_and(|known| known == user_id) {
        return reply;
    }
    world.sessions.insert(session.clone(), user_id.to_owned());
    reply.with(SET_COOKIE, format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"))
}
