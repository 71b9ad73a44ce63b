//! A stand-in for Entra, as small as the flow allows: it keeps to the protocol, and does on demand what it must not.
//! Not here: the service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::key::KEY;

pub(crate) const TENANT: &str = "7e2c0000-0000-4000-8000-000000000001";
pub(crate) const APP: &str = "app-common";

pub(crate) type Parameters = BTreeMap<String, String>;

/// What it does when it is asked for tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mood {
    Kind,
    /// This status and this error.
    Refusing(u16, &'static str),
    /// Not to be asked again for so many seconds.
    Throttling(u16),
}

pub(crate) struct Directory {
    pub(crate) mood: Mood,
    /// Who logs in next: an object id.
    pub(crate) user: &'static str,
    /// Its clock stands here, in seconds since 1970; else it is this machine's.
    pub(crate) date: Option<i64>,
    /// Changes the claims of the next id token.
    pub(crate) forge: Option<fn(&mut Value)>,
    /// Changes the next id token itself.
    pub(crate) alter: Option<fn(String) -> String>,
    /// As Entra does: a refresh token that was replaced goes on being good.
    pub(crate) lenient: bool,
    /// The number of the key that it signs with, and that it publishes.
    pub(crate) key: &'static str,
    /// Whether it says where its endpoints are.
    pub(crate) published: bool,
    /// How often the keys were asked for.
    pub(crate) asked_for_keys: u32,
    /// How often each kind of grant was asked for.
    pub(crate) asked: Vec<Parameters>,
    codes: BTreeMap<String, Parameters>,
    refresh_tokens: BTreeSet<String>,
    count: u32,
}

/// Runs until it is dropped.
pub(crate) struct Entra {
    pub(crate) address: String,
    directory: Arc<Mutex<Directory>>,
    _server: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    address: String,
    directory: Arc<Mutex<Directory>>,
}

impl Entra {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let directory = Arc::new(Mutex::new(Directory {
            mood: Mood::Kind,
            user: "alice",
            date: None,
            forge: None,
            lenient: false,
            alter: None,
            key: "key-1",
            published: true,
            asked_for_keys: 0,
            asked: Vec::new(),
            codes: BTreeMap::new(),
            refresh_tokens: BTreeSet::new(),
            count: 0,
        }));
        let shared = Shared { address: address.clone(), directory: directory.clone() };
        let routes = Router::new()
            .route("/{tenant}/v2.0/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(shared);
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, directory, _server: server }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Directory)) {
        change(&mut self.directory.lock().unwrap());
    }

    pub(crate) fn asked(&self, grant_type: &str) -> Vec<Parameters> {
        let asked = self.directory.lock().unwrap().asked.clone();
        asked.into_iter().filter(|parameters| parameters["grant_type"] == grant_type).collect()
    }

    /// What a browser meets at `/authorize`: the user logs in, and is sent back. Gives the address of the way back.
    pub(crate) fn log_in(&self, address: &str) -> String {
        let (endpoint, query) = address.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{}/authorize", self.address));
        let wish = parameters(query.as_bytes());
        for (name, value) in [("response_type", "code"), ("response_mode", "query"), ("code_challenge_method", "S256")]
        {
            assert_eq!(wish[name], value);
        }
        assert!(wish["state"].len() > 40 && wish["nonce"].len() > 40 && wish["code_challenge"].len() == 43);
        assert!(!wish.contains_key("resource"), "AADSTS9010010");
        assert!(wish["scope"].split(' ').any(|scope| scope == "offline_access"), "{}", wish["scope"]);
        let (state, redirect_uri) = (wish["state"].clone(), wish["redirect_uri"].clone());
        let mut directory = self.directory.lock().unwrap();
        directory.count += 1;
        let code = format!("entra-code-{}", directory.count);
        let mut login = wish;
        login.insert("user".to_owned(), directory.user.to_owned());
        directory.codes.insert(code.clone(), login);
        format!("{redirect_uri}?code={code}&state={state}&session_state=x")
    }
}

pub(crate) fn parameters(form: &[u8]) -> Parameters {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(form).into_owned().collect();
    let all: Parameters = pairs.iter().cloned().collect();
    assert_eq!(all.len(), pairs.len(), "AADSTS9000411: a parameter is repeated");
    all
}

async fn configuration(State(shared): State<Shared>) -> Response {
    if !shared.directory.lock().unwrap().published {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let address = shared.address;
    axum::Json(json!({
        "issuer": format!("{address}/{{tenantid}}/v2.0"),
        "authorization_endpoint": format!("{address}/authorize"),
        "token_endpoint": format!("{address}/token"),
        "jwks_uri": format!("{address}/keys"),
    }))
    .into_response()
}

async fn keys(State(shared): State<Shared>) -> Response {
    let mut directory = shared.directory.lock().unwrap();
    directory.asked_for_keys += 1;
    let key = rsa();
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
    let (n, e) = (URL_SAFE_NO_PAD.encode(&public.n), URL_SAFE_NO_PAD.encode(&public.e));
    axum::Json(json!({ "keys": [
        { "kty": "EC", "kid": "other", "crv": "P-256" },
        { "kty": "RSA", "use": "sig", "kid": directory.key, "n": n, "e": e },
    ]}))
    .into_response()
}

async fn token(State(shared): State<Shared>, body: Bytes) -> Response {
    let asked = parameters(&body);
    let mut directory = shared.directory.lock().unwrap();
    directory.asked.push(asked.clone());
    match directory.mood {
        Mood::Kind => {}
        Mood::Refusing(status, error) => return refuse(status, error),
        Mood::Throttling(seconds) => {
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())]).into_response();
        }
    }
    if asked["client_secret"] != format!("secret-of-{}", asked["client_id"]) {
        return refuse(401, "invalid_client");
    }
    let (id_token, user) = match asked["grant_type"].as_str() {
        "authorization_code" => {
            let Some(login) = directory.codes.remove(&asked["code"]) else {
                return refuse(400, "invalid_grant");
            };
            let challenge =
                URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, asked["code_verifier"].as_bytes()));
            let same = |name: &str| login[name] == asked[name];
            if challenge != login["code_challenge"] || !same("redirect_uri") || !same("client_id") {
                return refuse(400, "invalid_grant");
            }
            (Some(id_token(&shared.address, &login, &mut directory)), login["user"].clone())
        }
        "refresh_token" => {
            if !directory.refresh_tokens.contains(&asked["refresh_token"]) {
                return refuse(400, "invalid_grant");
            }
            if !directory.lenient {
                // Stricter than Entra: so a mix-up is seen.
                directory.refresh_tokens.remove(&asked["refresh_token"]);
            }
            (None, asked["refresh_token"].split(' ').nth(1).unwrap().to_owned())
        }
        other => panic!("grant_type {other}"),
    };
    directory.count += 1;
    let refresh_token = format!("entra-refresh-{} {user}", directory.count);
    directory.refresh_tokens.insert(refresh_token.clone());
    axum::Json(json!({
        "token_type": "Bearer",
        "access_token": format!("graph-token-{}-of-{user}", directory.count),
        "expires_in": 3599,
        "scope": asked["scope"],
        "refresh_token": refresh_token,
        "id_token": id_token,
    }))
    .into_response()
}

fn refuse(status: u16, error: &str) -> Response {
    let body = json!({ "error": error, "error_description": "AADSTS70000: of alice@example.com", "error_codes": [70000], "trace_id": "t" });
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn id_token(address: &str, login: &Parameters, directory: &mut Directory) -> String {
    let machine = || i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let now = directory.date.unwrap_or_else(machine);
    let user = &login["user"];
    let mut claims = json!({
        "iss": format!("{address}/{TENANT}/v2.0"),
        "aud": login["client_id"],
        "exp": now + 3600,
        "nbf": now,
        "iat": now,
        "nonce": login["nonce"],
        "tid": TENANT,
        "oid": user,
        "preferred_username": format!("{user}@example.com"),
        "name": user,
    });
    if let Some(forge) = directory.forge.take() {
        forge(&mut claims);
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed =
        format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "RS256", "kid": directory.key })), encode(&claims));
    let mut signature = vec![0; rsa().public_key().modulus_len()];
    rsa().sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    match directory.alter.take() {
        Some(alter) => alter(token),
        None => token,
    }
}

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(&STANDARD.decode(KEY).unwrap()).unwrap()
}
