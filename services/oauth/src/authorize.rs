//! `/authorize`: a client's wish is checked, the user is asked, and the browser goes on to the login.
//! Not here: what comes back from there (`callback`).

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::answer::{Refusal, expect_type};
use crate::app::App;
use crate::audit::{self, Event};
use crate::browser::{Browser, Transport};
use crate::catalog::Scopes;
use crate::clients::Client;
use crate::consents;
use crate::document;
use crate::entra::{self, Accounts, Entra, EntraError};
use crate::form::Form;
use crate::pages::{self, Consent, Language, Trouble};
use crate::pending::{self, Found, Login, Wish};
use crate::redirect;
use crate::secret::{self, Secret};
use crate::visit::Visit;

/// Longer ones are no state but an attempt.
const LONGEST_STATE: usize = 2000;

/// Why the browser does not go on: a page, as there is nobody to tell; or the client is told.
pub(crate) enum Halt {
    /// A page.
    Page(Trouble),
    /// An error of OAuth, in a redirect.
    Client(Box<ToClient>),
    /// The same, but on a page with a link. Anybody can register a site and send people here with a wish that is wrong: who
    /// trusts our name must not find themselves there unasked (RFC 9700, 4.11.2).
    Link(Box<ToClient>),
}

/// An answer for a client, by way of the browser.
pub(crate) struct ToClient {
    redirect_uri: String,
    state: Option<String>,
    error: &'static str,
    description: &'static str,
}

impl ToClient {
    /// An error about this wish.
    #[must_use]
    pub(crate) fn about(wish: &Wish, error: &'static str, description: &'static str) -> Self {
        Self { redirect_uri: wish.redirect_uri.clone(), state: wish.state.clone(), error, description }
    }

    fn address(&self, app: &App) -> String {
        let parameters = [("error", self.error), ("error_description", self.description)];
        to_client(app, &self.redirect_uri, self.state.as_deref(), &parameters)
    }
}

impl From<ToClient> for Halt {
    fn from(error: ToClient) -> Self {
        Self::Client(Box::new(error))
    }
}

/// What went wrong inside is logged where it did; people are told to come again.
impl From<Refusal> for Halt {
    fn from(_: Refusal) -> Self {
        Self::Page(Trouble::Unavailable)
    }
}

impl Halt {
    /// As a response.
    #[must_use]
    pub(crate) fn respond(self, app: &App, language: Language) -> Response {
        match self {
            Self::Page(trouble) => pages::trouble(language, trouble),
            Self::Client(error) => see_other(&error.address(app)),
            Self::Link(error) => pages::onward(language, error.description, &error.redirect_uri, &error.address(app)),
        }
    }
}

/// The address that takes an answer to a client: with its state, and with our name (RFC 9207).
#[must_use]
pub(crate) fn to_client(app: &App, redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> String {
    let issuer = app.settings.origin();
    let mut all = parameters.to_vec();
    all.extend(state.map(|state| ("state", state)));
    all.push(("iss", &issuer));
    redirect::with_parameters(redirect_uri, &all)
}

/// `GET /authorize`.
pub(crate) async fn show(visit: Visit) -> Response {
    let shown = async {
        let entra = visit.entra()?;
        let (client, wish) = read(&visit).await?;
        ask(&visit, entra, &client, wish).await
    };
    visit.answer(shown.await)
}

/// Reads and checks a wish. Until the redirect address is known to be the client's, nothing is sent there.
async fn read(visit: &Visit) -> Result<(Client, Wish), Halt> {
    let (app, form) = (&visit.app, visit.form()?);
    let (Some(client_id), Some(redirect_uri)) = (form.get("client_id"), form.get("redirect_uri")) else {
        return Err(Halt::Page(Trouble::BadRequest));
    };
    let client = document::client(app, client_id).await?.ok_or(Halt::Page(Trouble::UnknownClient))?;
    // What an operator has come to forbid is not good for those who registered it before, either.
    if !client.may_return_to(redirect_uri) || app.settings.redirects.check(redirect_uri).is_err() {
        return Err(Halt::Page(Trouble::BadRedirect));
    }
    let state = form.get("state").filter(|state| state.len() <= LONGEST_STATE).map(str::to_owned);
    let refuse = |error, description| {
        let error = ToClient { redirect_uri: redirect_uri.to_owned(), state: state.clone(), error, description };
        // A program of this machine waits for its answer, and is no site.
        if redirect::is_local(redirect_uri) { Halt::from(error) } else { Halt::Link(Box::new(error)) }
    };
    if form.get("state").is_some() && state.is_none() {
        return Err(refuse("invalid_request", "state is longer than 2000 bytes"));
    }
    match form.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(refuse("unsupported_response_type", "response_type must be code")),
        None => return Err(refuse("invalid_request", "response_type is missing")),
    }
    if form.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(refuse("invalid_request", "response_mode must be query"));
    }
    let challenge =
        form.get("code_challenge").filter(|challenge| secret::decode(challenge).is_some_and(|it| it.len() == 32));
    let (Some(challenge), Some("S256")) = (challenge, form.get("code_challenge_method")) else {
        return Err(refuse("invalid_request", "PKCE is required: code_challenge with code_challenge_method=S256"));
    };
    let service = match form.get("resource") {
        Some(resource) => app.settings.service_at(resource),
        None => app.settings.default_resource,
    };
    let service =
        service.ok_or_else(|| refuse("invalid_target", "resource must be the address of one of the services"))?;
    let scopes = match form.get("scope") {
        Some(text) if !text.trim().is_empty() => Scopes::parse(service, text)
            .map_err(|_| refuse("invalid_scope", "a scope is unknown, or none is of this service"))?,
        Some(_) | None => app.settings.default_scopes[&service].clone(),
    };
    let (redirect_uri, challenge) = (redirect_uri.to_owned(), challenge.to_owned());
    Ok((client, Wish { client_id: client_id.to_owned(), redirect_uri, state, challenge, service, scopes }))
}

/// Shows the page, unless this browser's user has agreed to the same before.
async fn ask(visit: &Visit, entra: &Entra, client: &Client, wish: Wish) -> Result<Response, Halt> {
    let app = &visit.app;
    let browser = Browser::of(&visit.headers, Transport::of(&app.settings.origin())).map_err(Refusal::from)?;
    let (hash, now, asked) = (browser.hash(), app.clock.now(), wish.clone());
    let remembered = app.store.read(move |connection| consents::remembered(connection, now, &hash, &asked));
    let remembered = remembered.await.map_err(Refusal::from)?;
    if remembered.is_some() {
        return begin(app, entra, &browser, wish, remembered).await;
    }
    question(visit, entra, &browser, client, &wish).await
}

/// Puts the question.
///
/// # Errors
/// When it cannot be stored.
pub(crate) async fn question(
    visit: &Visit,
    entra: &Entra,
    browser: &Browser,
    client: &Client,
    wish: &Wish,
) -> Result<Response, Halt> {
    let app = &visit.app;
    let question = Secret::random("mcp_tx_").map_err(Refusal::from)?;
    let (hash, theirs, now, asked) = (question.hash(), browser.hash(), app.clock.now(), wish.clone());
    let stored = app.store.write(move |connection| pending::ask(connection, now, &hash, &theirs, &asked));
    stored.await.map_err(Refusal::from)?;
    let mut form_targets = entra.settings.login_origins.clone();
    form_targets.push(redirect::csp_source(&wish.redirect_uri));
    let page = Consent { client, wish, question: &question, form_targets };
    let mut response = pages::consent(Language::of(&visit.headers), &page);
    if let Some(cookie) = browser.cookie(Transport::of(&app.settings.origin())) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `POST /authorize`.
pub(crate) async fn decide(visit: Visit, body: Bytes) -> Response {
    let decided = async {
        let (app, entra) = (&visit.app, visit.entra()?);
        from_our_page(app, &visit.headers)?;
        let bad = |_| Halt::Page(Trouble::BadRequest);
        expect_type(&visit.headers, "application/x-www-form-urlencoded").map_err(bad)?;
        let form = Form::parse(&body, &["scope"]).map_err(|_| Halt::Page(Trouble::BadRequest))?;
        let browser = visit.known_browser().ok_or(Halt::Page(Trouble::OtherBrowser))?;
        match decision(app, &form, &browser).await? {
            Decision::Granted(wish) => begin(app, entra, &browser, wish, None).await,
            Decision::OfAnother(wish) => {
                let client = document::client(app, &wish.client_id).await?.ok_or(Halt::Page(Trouble::UnknownClient))?;
                question(&visit, entra, &browser, &client, &wish).await
            }
        }
    };
    visit.answer(decided.await)
}

/// Browsers say which site a form is from; the page of another site cannot say ours.
fn from_our_page(app: &App, headers: &HeaderMap) -> Result<(), Halt> {
    let ours = app.settings.origin();
    let origin = headers.get(ORIGIN).is_none_or(|origin| origin.as_bytes() == ours.as_bytes());
    let site = headers.get("sec-fetch-site").is_none_or(|site| site.as_bytes() == b"same-origin");
    if origin && site { Ok(()) } else { Err(Halt::Page(Trouble::OtherSite)) }
}

/// What the user decided.
enum Decision {
    /// To grant a wish, or some of it. Its question is gone.
    Granted(Wish),
    /// The question was put to another browser, or to this one before it had its cookie: of several tabs that come at once
    /// the last gives the cookie. So it is put again, to this one; whoever sent it here could as well have made it ask.
    OfAnother(Wish),
}

async fn decision(app: &App, form: &Form, browser: &Browser) -> Result<Decision, Halt> {
    let (Some(tx), Some(decision)) = (form.get("tx"), form.get("decision")) else {
        return Err(Halt::Page(Trouble::BadRequest));
    };
    let (hash, theirs, now) = (secret::hash(tx), browser.hash(), app.clock.now());
    let (allowed, chosen) = (decision == "allow", form.all("scope"));
    let decided = app.store.write(move |connection| {
        let mut wish = match pending::question(connection, now, &hash, &theirs)? {
            Found::Taken(wish) => wish,
            Found::Nothing => return Ok(Err(Halt::Page(Trouble::Stale))),
            Found::OtherBrowser(wish) => return Ok(Ok(Decision::OfAnother(wish))),
        };
        let event =
            Event { what: "consented", user: None, client: Some(&wish.client_id), detail: Some(wish.service.name()) };
        if !allowed {
            audit::note(connection, now, Event { what: "denied", ..event })?;
            pending::answered(connection, &hash)?;
            return Ok(Err(ToClient::about(&wish, "access_denied", "the user denied it").into()));
        }
        let Some(scopes) = wish.scopes.chosen(wish.service, &chosen) else {
            // The question stays: the user can go back to it.
            return Ok(Err(Halt::Page(Trouble::NothingChosen)));
        };
        audit::note(connection, now, event)?;
        pending::answered(connection, &hash)?;
        wish.scopes = scopes;
        Ok(Ok(Decision::Granted(wish)))
    });
    decided.await.map_err(Refusal::from)?
}

/// Sends the browser to the login.
async fn begin(
    app: &App,
    entra: &Entra,
    browser: &Browser,
    wish: Wish,
    remembered_user: Option<String>,
) -> Result<Response, Halt> {
    let [state, nonce, verifier] = ["mcp_st_", "", ""].map(Secret::random);
    let (state, nonce, verifier) =
        (state.map_err(Refusal::from)?, nonce.map_err(Refusal::from)?, verifier.map_err(Refusal::from)?);
    let accounts = if remembered_user.is_some() { Accounts::Keep } else { Accounts::Choose };
    let login = entra::Login {
        service: wish.service,
        scopes: &wish.scopes,
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
        accounts,
    };
    let address = entra.login_address(login).await.map_err(|error| not_there(&wish, &error))?;
    let sealed = app.keys.seal(&login_place(&state.hash()), verifier.reveal().as_bytes()).map_err(Refusal::from)?;
    let login = Login { wish, remembered_user, verifier: sealed, nonce: nonce.hash() };
    let (hash, theirs, now) = (state.hash(), browser.hash(), app.clock.now());
    let begun = app.store.write(move |connection| pending::begin(connection, now, &hash, &theirs, &login));
    begun.await.map_err(Refusal::from)?;
    Ok(see_other(&address))
}

/// Where the verifier of a login is at home; it is sealed for there.
#[must_use]
pub(crate) fn login_place(state: &secret::Hash) -> String {
    format!("logins/{}", secret::encode(state))
}

/// Tells the client that Entra does not work.
#[must_use]
pub(crate) fn not_there(wish: &Wish, error: &EntraError) -> Halt {
    tracing::error!(%error, "a login cannot go on");
    match error {
        EntraError::Unavailable(_) | EntraError::Throttled(_) => {
            ToClient::about(wish, "temporarily_unavailable", "Microsoft Entra does not answer")
        }
        EntraError::LoginNeeded(_)
        | EntraError::ConsentNeeded(_)
        | EntraError::Misconfigured(_)
        | EntraError::Unusable(_) => {
            ToClient::about(wish, "server_error", "Microsoft Entra refused; the log of the server says why")
        }
    }
    .into()
}

/// 303, kept by no cache; the address we leave goes along nowhere.
#[must_use]
pub(crate) fn see_other(address: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(address) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    (StatusCode::SEE_OTHER, headers).into_response()
}
