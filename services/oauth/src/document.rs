//! Clients whose id is an address: the document there says who they are (client id metadata documents).
//! Not here: clients that registered.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL};
use axum::http::{HeaderMap, Request, Uri};
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::app::App;
use crate::clients::{self, Client, Origin, Refreshes};
use crate::clock::Seconds;
use crate::fetch::{FetchError, Question};
use crate::redirect::{self, RedirectPolicy};
use crate::register::tidy;
use crate::settings::Switch;

/// For the whole question; somebody waits for a page.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a document.
const MOST: usize = 5 << 10;
/// A document is asked for again no earlier and no later than this.
const KEPT_FOR: std::ops::RangeInclusive<Seconds> = 300..=24 * 3600;
/// Documents that are kept; beyond it each is asked for every time.
const MOST_KEPT: i64 = 1_000;
const LONGEST_ID: usize = 1000;
const MOST_REDIRECTS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    client_id: String,
    #[serde(default)]
    client_name: String,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_endpoint_auth_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// Why a document makes no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadDocument(String);

/// Why there is no client at an address.
enum Missing {
    /// There is no document, or one that makes no client.
    Bad(BadDocument),
    /// It could not be asked for, which says nothing of the client: nobody who was one is told to be unknown.
    Unasked(String),
}

impl From<BadDocument> for Missing {
    fn from(bad: BadDocument) -> Self {
        Self::Bad(bad)
    }
}

impl From<FetchError> for Missing {
    fn from(error: FetchError) -> Self {
        if error.may_pass() { Self::Unasked(error.to_string()) } else { Self::Bad(BadDocument(error.to_string())) }
    }
}

/// The client of this id, registered or documented; nothing when there is none.
///
/// # Errors
/// 503 when it cannot be looked up.
pub async fn client(app: &App, id: &str) -> Result<Option<Client>, Refusal> {
    if !id.starts_with("https://") {
        let id = id.to_owned();
        return Ok(app.store.read(move |connection| clients::find(connection, &id)).await?);
    }
    if app.settings.documents == Switch::Off || check_id(id).is_err() {
        return Ok(None);
    }
    let (key, now) = (id.to_owned(), app.clock.now());
    let kept: Option<String> = app
        .store
        .read(move |connection| {
            connection
                .prepare_cached("SELECT document FROM client_documents WHERE url = ?1 AND expires_at > ?2")?
                .query_row((key, now), |row| row.get(0))
                .optional()
        })
        .await?;
    if let Some(client) = kept.and_then(|text| parse(text.as_bytes(), id, &app.settings.redirects).ok()) {
        return Ok(Some(client.0));
    }
    match fetch(app, id).await {
        Ok((client, document, kept_for)) => {
            let (url, expires_at) = (id.to_owned(), now + kept_for);
            let sql = "INSERT OR REPLACE INTO client_documents (url, document, expires_at)
                       SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM client_documents) < ?4";
            let row = (url, document, expires_at, MOST_KEPT);
            app.store.write(move |connection| connection.prepare_cached(sql)?.execute(row)).await?;
            Ok(Some(client))
        }
        Err(Missing::Bad(error)) => {
            tracing::info!(client = id, %error, "no client from this address");
            Ok(None)
        }
        Err(Missing::Unasked(error)) => {
            tracing::warn!(client = id, error, "a client's document cannot be fetched");
            Err(Refusal::unavailable("the document that describes the client cannot be fetched at the moment"))
        }
    }
}

async fn fetch(app: &App, id: &str) -> Result<(Client, String, Seconds), Missing> {
    let request = Request::get(id).header(ACCEPT, "application/json").body(Body::empty());
    let request = request.map_err(|why| BadDocument(why.to_string()))?;
    let answer = app.fetcher.ask(Question { request, reach: app.reach, deadline: DEADLINE, most: MOST }).await?;
    match answer.status.as_u16() {
        200 => {
            let (client, document) = parse(&answer.body, id, &app.settings.redirects)?;
            Ok((client, document, kept_for(&answer.headers)))
        }
        status @ (408 | 429 | 500..) => Err(Missing::Unasked(format!("status {status}"))),
        status => Err(BadDocument(format!("status {status}")).into()),
    }
}

/// Whether an id can be the address of a document: with a path, and written in one way only.
///
/// # Errors
/// With the reason, when not.
pub fn check_id(id: &str) -> Result<(), BadDocument> {
    let bad = |why: &str| Err(BadDocument(why.to_owned()));
    if id.len() > LONGEST_ID || RedirectPolicy::default().check(id).is_err() {
        return bad("it is too long, or no plain https address");
    }
    let Ok(uri) = id.parse::<Uri>() else {
        return bad("it is no address");
    };
    let path = uri.path();
    if path.len() < 2 || id.ends_with('?') || path.split('/').any(|part| part == "." || part == "..") {
        return bad("it has no path, or one with dots");
    }
    // A name, not a number: what a number stands for nobody can vouch for.
    let host = uri.host().unwrap_or_default();
    if host.starts_with('[') || host == "localhost" || !host.contains('.') || host.parse::<std::net::IpAddr>().is_ok() {
        return bad("its host is not a name of the open internet");
    }
    Ok(())
}

/// Reads a document; gives it back as it is to be kept.
///
/// # Errors
/// When it says something else than its address, or what cannot be served.
pub fn parse(text: &[u8], id: &str, policy: &RedirectPolicy) -> Result<(Client, String), BadDocument> {
    let bad = |why: &str| BadDocument(why.to_owned());
    let document: Document = serde_json::from_slice(text).map_err(|_| bad("it is no client metadata"))?;
    if document.client_id != id {
        return Err(bad("its client_id is not its address"));
    }
    if document.client_secret.is_some() {
        return Err(bad("it has a client_secret, which everybody can read"));
    }
    if document.token_endpoint_auth_method.as_deref().is_some_and(|method| method != "none") {
        return Err(bad("its token_endpoint_auth_method is not `none`"));
    }
    if document.redirect_uris.is_empty() || document.redirect_uris.len() > MOST_REDIRECTS {
        return Err(bad("it has no redirect_uris, or too many"));
    }
    if let Some(why) = document.redirect_uris.iter().find_map(|uri| policy.check(uri).err()) {
        return Err(BadDocument(format!("a redirect_uri cannot be used: {why}")));
    }
    let name = Some(tidy(&document.client_name)).filter(|name| !name.is_empty());
    let client = Client {
        id: id.to_owned(),
        name: name.unwrap_or_else(|| redirect::shown(id)),
        redirect_uris: document.redirect_uris.clone(),
        secret_hash: None,
        refreshes: Refreshes::Yes,
        origin: Origin::Document,
    };
    let kept = serde_json::to_string(&document).expect("texts are always JSON");
    Ok((client, kept))
}

fn kept_for(headers: &HeaderMap) -> Seconds {
    let value = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let directives = value.split(',').map(str::trim);
    let age = directives.filter_map(|directive| directive.strip_prefix("max-age=")?.parse::<Seconds>().ok()).next();
    age.unwrap_or(0).clamp(*KEPT_FOR.start(), *KEPT_FOR.end())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "https://app.example/client.json";

    fn parsed(change: impl FnOnce(&mut Value)) -> Result<Client, BadDocument> {
        let mut document =
            json!({ "client_id": ID, "client_name": "App", "redirect_uris": ["https://app.example/cb"] });
        change(&mut document);
        parse(document.to_string().as_bytes(), ID, &RedirectPolicy::default()).map(|(client, _)| client)
    }

    #[test]
    fn a_document_must_speak_of_its_own_address_and_keep_no_secret() {
        assert_eq!(parsed(|_| {}).unwrap().name, "App");
        assert!(parsed(|d| d["client_id"] = json!("https://app.example/other.json")).is_err());
        assert!(parsed(|d| d["client_secret"] = json!("x")).is_err());
        assert!(parsed(|d| d["token_endpoint_auth_method"] = json!("client_secret_post")).is_err());
        assert!(parsed(|d| d["redirect_uris"] = json!([])).is_err());
        assert!(parsed(|d| d["redirect_uris"] = json!(["http://app.example/cb"])).is_err());
        assert_eq!(parsed(|d| d["client_name"] = json!("")).unwrap().name, "app.example");
    }

    #[test]
    fn what_was_kept_is_read_like_what_was_fetched() {
        let text = format!(r#"{{"client_id":"{ID}","redirect_uris":["https://app.example/cb"],"logo_uri":"x"}}"#);
        let (client, kept) = parse(text.as_bytes(), ID, &RedirectPolicy::default()).unwrap();
        assert_eq!(parse(kept.as_bytes(), ID, &RedirectPolicy::default()).unwrap(), (client, kept));
    }

    #[test]
    fn an_id_is_a_plain_address_of_the_open_internet() {
        assert_eq!(check_id(ID), Ok(()));
        for id in [
            "https://app.example",
            "https://app.example/",
            "https://user@app.example/x",
            "https://app.example/x#y",
            "https://app.example/../x",
            "https://app.example/x?",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://localhost/x",
            "https://intranet/x",
            "http://app.example/x",
        ] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn a_document_is_kept_as_long_as_it_says_within_bounds() {
        let kept = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            kept_for(&headers)
        };
        assert_eq!((kept("max-age=3600"), kept("no-store"), kept("max-age=999999999")), (3600, 300, 86400));
        assert_eq!(kept_for(&HeaderMap::new()), 300);
    }
}
