//! `GET /azure_callback`: the browser comes back from the login, and goes on to the client with a code.
//! Not here: what the client makes of the code (`token`).

use axum::response::Response;

use crate::answer::Refusal;
use crate::app::App;
use crate::audit::{self, Event};
use crate::authorize::{Halt, ToClient, login_place, not_there, question, see_other, to_client};
use crate::browser::Browser;
use crate::consents;
use crate::document;
use crate::entra::{Entra, IdentifyError, Identity, Tokens};
use crate::form::Form;
use crate::logins;
use crate::pages::Trouble;
use crate::pending::{self, Found, Login, Wish};
use crate::secret::{self, Secret};
use crate::visit::Visit;

/// The route.
pub(crate) async fn callback(visit: Visit) -> Response {
    let back = async {
        let (entra, form) = (visit.entra()?, visit.form()?);
        let state = secret::hash(form.get("state").ok_or(Halt::Page(Trouble::BadRequest))?);
        let browser = visit.known_browser();
        let login = take(&visit.app, state, browser.as_ref()).await?;
        let browser = browser.ok_or(Halt::Page(Trouble::OtherBrowser))?;
        let (tokens, who) = log_in(&visit.app, entra, &form, &state, &login).await?;
        finish(&visit, entra, &browser, login, tokens, who).await
    };
    visit.answer(back.await)
}

async fn take(app: &App, state: secret::Hash, browser: Option<&Browser>) -> Result<Login, Halt> {
    let (browser, now) = (browser.map(Browser::hash), app.clock.now());
    let taken = app.store.write(move |connection| pending::take_login(connection, now, &state, browser.as_ref()));
    match taken.await.map_err(Refusal::from)? {
        Found::Taken(login) => Ok(login),
        Found::Nothing => Err(Halt::Page(Trouble::Stale)),
        Found::OtherBrowser(_) => Err(Halt::Page(Trouble::OtherBrowser)),
    }
}

/// Finds out who logged in.
async fn log_in(
    app: &App,
    entra: &Entra,
    form: &Form,
    state: &secret::Hash,
    login: &Login,
) -> Result<(Tokens, Identity), Halt> {
    let wish = &login.wish;
    if let Some(error) = form.get("error") {
        return Err(refused(wish, error).into());
    }
    let code = form.get("code").map(Secret::new).ok_or(Halt::Page(Trouble::BadRequest))?;
    let verifier = app.keys.open_sealed(&login_place(state), &login.verifier).map_err(Refusal::from)?;
    let verifier = Secret::new(String::from_utf8_lossy(&verifier));
    let tokens =
        entra.redeem(wish.service, &wish.scopes, &code, &verifier).await.map_err(|error| not_there(wish, &error))?;
    let id_token = tokens.id_token.as_deref().unwrap_or_default();
    let who = entra.identify(wish.service, id_token, &login.nonce, app.clock.now()).await;
    let who = who.map_err(|error| match error {
        IdentifyError::Entra(error) => not_there(wish, &error),
        IdentifyError::Token(error) => {
            tracing::error!(%error, "a login is not believed");
            ToClient::about(wish, "server_error", "the id token of Microsoft Entra is not good").into()
        }
    })?;
    Ok((tokens, who))
}

/// What Entra said instead of a code, in words of OAuth.
fn refused(wish: &Wish, error: &str) -> ToClient {
    // Only what is known is logged: anybody can write anything here.
    match error {
        "access_denied" | "consent_required" | "interaction_required" | "login_required" => {
            ToClient::about(wish, "access_denied", "the login at Microsoft was not completed, or not consented to")
        }
        "temporarily_unavailable" => {
            ToClient::about(wish, "temporarily_unavailable", "Microsoft Entra does not work at the moment")
        }
        _ => ToClient::about(wish, "server_error", "Microsoft Entra refused the login; see docs/entra-setup.md"),
    }
}

/// Stores who it is, and sends the browser to the client with a code.
async fn finish(
    visit: &Visit,
    entra: &Entra,
    browser: &Browser,
    login: Login,
    tokens: Tokens,
    who: Identity,
) -> Result<Response, Halt> {
    let app = &visit.app;
    let Login { wish, remembered_user, .. } = login;
    if !app.settings.admission.admits(&who.tid, &who.oid, &who.upn) {
        note_refusal(app, &wish, &who).await?;
        return Err(ToClient::about(&wish, "access_denied", "this user is not let in by the operator").into());
    }
    if remembered_user.is_some_and(|user| user != who.id()) {
        // Somebody else agreed in this browser; this user has not been asked.
        let client = document::client(app, &wish.client_id).await?.ok_or(Halt::Page(Trouble::UnknownClient))?;
        return question(visit, entra, browser, &client, &wish).await;
    }
    let Some(refresh_token) = tokens.refresh_token else {
        tracing::error!("Entra gave no refresh token; see docs/entra-setup.md");
        return Err(ToClient::about(&wish, "server_error", "Microsoft Entra gave no refresh token").into());
    };
    let entra_app = entra.settings.app_of(wish.service);
    let sealed =
        app.keys.seal(&logins::place(&who.id(), &entra_app), refresh_token.as_bytes()).map_err(Refusal::from)?;
    let code = Secret::random("mcp_code_").map_err(Refusal::from)?;
    let (hash, theirs, now, asked) = (code.hash(), browser.hash(), app.clock.now(), wish.clone());
    let stored = app.store.write(move |connection| {
        let user = who.id();
        logins::store(connection, now, &who, &entra_app, &sealed)?;
        consents::remember(connection, now, &theirs, &asked, &user)?;
        pending::insert_code(connection, now, &hash, &asked, &user, &entra_app)?;
        let (client, detail) = (Some(asked.client_id.as_str()), Some(asked.service.name()));
        audit::note(connection, now, Event { what: "logged-in", user: Some(&user), client, detail })
    });
    stored.await.map_err(Refusal::from)?;
    Ok(see_other(&to_client(app, &wish.redirect_uri, wish.state.as_deref(), &[("code", code.reveal())])))
}

async fn note_refusal(app: &App, wish: &Wish, who: &Identity) -> Result<(), Refusal> {
    let (user, client, now) = (who.id(), wish.client_id.clone(), app.clock.now());
    let note = app.store.write(move |connection| {
        let detail = Some("not admitted");
        audit::note(connection, now, Event { what: "refused", user: Some(&user), client: Some(&client), detail })
    });
    Ok(note.await?)
}
