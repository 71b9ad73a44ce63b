//! The service in this process, with a stand-in for Entra, a browser and a client.
//! Not here: what is to be seen.

use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use base64::Engine;
use http_body_util::BodyExt;
use oauth::app::{App, Ground};
use oauth::clock::Clock;
use oauth::fetch::{Fetcher, Reach};
use oauth::place::Place;
use oauth::secret::challenge;
use oauth::settings::Settings;
use serde_json::{Value, json};
use service_kit::{BaseUrl, Env, Peer, Routes};
use tower::ServiceExt;

use crate::entra::{APP, Entra, Parameters, TENANT, parameters};

pub(crate) const BASE: &str = "https://oauth.example.com";
pub(crate) const MAIL: &str = "https://mail.example.com/messages";
pub(crate) const CALLBACK: &str = "https://app.example/cb";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub(crate) struct World {
    pub(crate) entra: Entra,
    pub(crate) clock: Clock,
    pub(crate) dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    public: Router,
    private: Router,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With further variables; an empty value takes one away.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let entra = Entra::start().await;
        let mut env = vec![
            ("OAUTH_DATA_DIR".to_owned(), dir.path().join("data").display().to_string()),
            ("OAUTH_ENTRA_AUTHORITY".to_owned(), entra.address.clone()),
            ("DCR_AZURE_CLIENT_ID".to_owned(), APP.to_owned()),
            ("DCR_AZURE_CLIENT_SECRET".to_owned(), format!("secret-of-{APP}")),
            ("DCR_AZURE_TENANT_ID".to_owned(), "organizations".to_owned()),
        ];
        env.extend(
            ["MAIL", "ONENOTE", "ONEDRIVE", "TEAMS"]
                .map(|name| (format!("{name}_BASE_URL"), format!("https://{}.example.com", name.to_lowercase()))),
        );
        env.extend(["REGISTER", "AUTHORIZE", "TOKEN"].map(|name| (format!("OAUTH_RATE_{name}"), "0".to_owned())));
        env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let clock = Clock::standing();
        entra.set(|entra| entra.date = Some(clock.now()));
        let (public, private) = open(&env, &clock, Ground::usual);
        Self { entra, clock, dir, env, public, private }
    }

    /// Ends the service and starts it anew on the same files, with further variables.
    pub(crate) fn restart(&mut self, variables: &[(&str, &str)]) {
        self.env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        (self.public, self.private) = open(&self.env, &self.clock, Ground::usual);
    }

    /// Starts it anew with another way to reach other servers.
    pub(crate) fn reach(&mut self, fetcher: &Fetcher, reach: Reach) {
        let ground = |place, clock| Ground { place, fetcher: fetcher.clone(), reach, clock };
        (self.public, self.private) = open(&self.env, &self.clock, ground);
    }

    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join("data/oauth.db")).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(self.public.clone(), request, "203.0.113.7").await
    }

    pub(crate) async fn send_from(&self, request: Request<Body>, peer: &str) -> Answer {
        send(self.public.clone(), request, peer).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn register_as(&self, metadata: Value) -> Answer {
        let request = Request::post("/register").header("content-type", "application/json");
        self.send(request.body(metadata.to_string().into()).unwrap()).await
    }

    /// A client that keeps no secret. Gives its id.
    pub(crate) async fn register(&self, redirect_uri: &str) -> String {
        let metadata =
            json!({ "redirect_uris": [redirect_uri], "client_name": "App", "token_endpoint_auth_method": "none" });
        let answer = self.register_as(metadata).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(post(path, form)).await
    }

    /// As the mail service.
    pub(crate) async fn private(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.private_as("mail", path, form).await
    }

    pub(crate) async fn private_as(&self, service: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let secret = std::fs::read_to_string(self.dir.path().join(format!("data/svc-{service}.secret"))).unwrap();
        let mut request = post(path, form);
        request.headers_mut().insert("authorization", basic(&format!("svc-{service}"), &secret).parse().unwrap());
        self.send_private(request).await
    }

    pub(crate) async fn send_private(&self, request: Request<Body>) -> Answer {
        send(self.private.clone(), request, "127.0.0.1").await
    }

    pub(crate) async fn introspect(&self, token: &str) -> Value {
        let answer = self.private("/introspect", &[("token", token)]).await;
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// From the wish to the code, with everything allowed.
    pub(crate) async fn code(&self, browser: &mut Browser, client: &str) -> String {
        let back = self.login(browser, &wish(client)).await;
        back["code"].clone()
    }

    /// From the wish to the parameters that the client gets.
    pub(crate) async fn login(&self, browser: &mut Browser, wish: &[(&str, &str)]) -> Parameters {
        let page = browser.get(self, &authorize(wish)).await;
        let to_entra = match page.status {
            200 => browser.allow(self, &page).await,
            _ => page,
        };
        let back = self.entra.log_in(to_entra.location());
        let answer = browser.get(self, path_of(&back)).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.parameters()
    }

    pub(crate) async fn redeem(&self, client: &str, code: &str) -> Answer {
        self.post("/token", &redemption(client, code)).await
    }

    pub(crate) async fn refresh(&self, client: &str, token: &str) -> Answer {
        self.post("/token", &[("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client)]).await
    }

    /// A client with its first tokens.
    pub(crate) async fn tokens(&self) -> (String, Value) {
        let client = self.register(CALLBACK).await;
        let code = self.code(&mut Browser::default(), &client).await;
        let answer = self.redeem(&client, &code).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (client, answer.json())
    }

    /// What was audited, oldest first.
    pub(crate) fn audited(&self) -> Vec<String> {
        let database = self.database();
        let mut statement = database.prepare("SELECT event FROM audit ORDER BY id").unwrap();
        let events = statement.query_map([], |row| row.get(0)).unwrap();
        events.map(Result::unwrap).collect()
    }

    pub(crate) fn tenant() -> &'static str {
        TENANT
    }
}

trait Usual {
    fn usual(place: Place, clock: Clock) -> Self;
}

impl Usual for Ground {
    fn usual(place: Place, clock: Clock) -> Self {
        Self { place, fetcher: Fetcher::new(), reach: Reach::Internet, clock }
    }
}

fn open(env: &[(String, String)], clock: &Clock, ground: impl FnOnce(Place, Clock) -> Ground) -> (Router, Router) {
    let base = env.iter().rev().find(|(name, _)| name == "OAUTH_BASE_URL").map_or(BASE, |(_, value)| value);
    let env = Env::of(env.iter().cloned());
    let settings = Settings::read(&env, BaseUrl::parse(base).unwrap()).unwrap();
    let app = App::open(settings, ground(Place::of(&env).unwrap(), clock.clone())).unwrap();
    let Routes { public, private, .. } = oauth::routes(app);
    (public, private)
}

async fn send(router: Router, mut request: Request<Body>, peer: &str) -> Answer {
    let peer: IpAddr = peer.parse().unwrap();
    request.extensions_mut().insert(Peer(Some(peer)));
    let response: Response<Body> = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

pub(crate) fn post(path: &str, form: &[(&str, &str)]) -> Request<Body> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    Request::post(path).header("content-type", "application/x-www-form-urlencoded").body(body.into()).unwrap()
}

pub(crate) fn basic(name: &str, password: &str) -> String {
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!("Basic {both}")
}

/// What a client asks for when it does everything right.
pub(crate) fn wish(client: &str) -> Vec<(&str, &str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("state", "client-state"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("resource", MAIL),
        ("scope", "mail.read mail.send"),
    ]
}

/// The wish with one parameter changed, added, or (`None`) left out.
pub(crate) fn but<'a>(wish: Vec<(&'a str, &'a str)>, name: &'a str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut changed: Vec<(&str, &str)> = wish.into_iter().filter(|(other, _)| *other != name).collect();
    changed.extend(value.map(|value| (name, value)));
    changed
}

pub(crate) fn redemption<'a>(client: &'a str, code: &'a str) -> Vec<(&'a str, &'a str)> {
    assert_eq!(challenge(VERIFIER), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("client_id", client),
        ("code_verifier", VERIFIER),
        ("resource", MAIL),
    ]
}

pub(crate) fn authorize(wish: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(wish).finish();
    format!("/authorize?{query}")
}

pub(crate) fn path_of(address: &str) -> &str {
    address.strip_prefix(BASE).unwrap_or(address)
}

/// A browser: it keeps one cookie.
#[derive(Default, Clone)]
pub(crate) struct Browser {
    pub(crate) cookie: Option<String>,
}

impl Browser {
    pub(crate) fn request(&self, request: axum::http::request::Builder) -> axum::http::request::Builder {
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    pub(crate) async fn get(&mut self, world: &World, path: &str) -> Answer {
        let answer = world.send(self.request(Request::get(path)).body(Body::empty()).unwrap()).await;
        if let Some(cookie) = answer.header("set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer
    }

    /// Presses Allow, with every mark left as it is.
    pub(crate) async fn allow(&self, world: &World, page: &Answer) -> Answer {
        let answer = self.answer(world, page, "allow", &page.scopes()).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer
    }

    pub(crate) async fn answer(&self, world: &World, page: &Answer, decision: &str, scopes: &[&str]) -> Answer {
        let mut form = vec![("tx", page.tx()), ("decision", decision)];
        form.extend(scopes.iter().map(|scope| ("scope", *scope)));
        let mut request = post("/authorize", &form);
        request.headers_mut().insert("origin", BASE.parse().unwrap());
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        world.send(request).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no redirect: {self:?}"))
    }

    /// Of the address that it redirects to, or has a link to.
    pub(crate) fn parameters(&self) -> Parameters {
        let address = match self.header("location") {
            Some(location) => location.to_owned(),
            None => self.link(),
        };
        parameters(address.split_once('?').unwrap().1.as_bytes())
    }

    pub(crate) fn link(&self) -> String {
        self.between("<a rel=\"noreferrer\" href=\"")[0].replace("&amp;", "&")
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no error: {self:?}")).to_owned()
    }

    pub(crate) fn tx(&self) -> &str {
        self.between("name=\"tx\" value=\"")[0]
    }

    pub(crate) fn scopes(&self) -> Vec<&str> {
        self.between("name=\"scope\" value=\"")
    }

    fn between(&self, before: &str) -> Vec<&str> {
        let found: Vec<&str> = self.body.split(before).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(!found.is_empty(), "no `{before}`: {self:?}");
        found
    }
}
