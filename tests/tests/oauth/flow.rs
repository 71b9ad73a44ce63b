//! A login step by step, so that something can happen between any two: client and browser in one.
//! Not here: what happens.

use std::net::SocketAddr;

use e2e::{Response, raw_over_tcp};
use serde_json::{Value, json};

use crate::stand::Stand;

const CALLBACK: &str = "http://127.0.0.1:9/callback";
/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What a login has come to.
pub(crate) struct Flow {
    oauth: String,
    resource: String,
    pub(crate) client: String,
    /// Of the browser.
    pub(crate) cookie: String,
}

impl Flow {
    /// Registers a client.
    #[track_caller]
    pub(crate) fn register(stand: &Stand) -> Self {
        let oauth = stand.url("OAUTH");
        let metadata = json!({
            "client_name": "Flow", "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        });
        let registered = send("POST", &format!("{oauth}/register"), "application/json", "", &metadata.to_string());
        assert_eq!(registered.status, 201, "{}", registered.text());
        let client = registered.json()["client_id"].as_str().expect("a client has an id").to_owned();
        Self { oauth, resource: format!("{}/messages", stand.url("MAIL")), client, cookie: String::new() }
    }

    /// The question, and what it is recognised by.
    #[track_caller]
    pub(crate) fn ask(&mut self) -> String {
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.client),
            ("redirect_uri", CALLBACK),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "state"),
            ("resource", &self.resource),
        ]);
        let page = self.get(&format!("{}/authorize?{query}", self.oauth));
        assert_eq!(page.status, 200, "{}", page.text());
        let cookie = page.header("set-cookie").expect("a new browser gets a cookie");
        self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let text = page.text();
        let (_, rest) = text.split_once("name=\"tx\" value=\"").expect("the page has a form");
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// Agrees; gives the address of the login.
    #[track_caller]
    pub(crate) fn agree(&self, question: &str) -> String {
        let body = form(&[("tx", question), ("decision", "allow"), ("scope", "mail.read")]);
        let origin = format!("Origin: {}\r\n", self.oauth);
        let more = format!("Cookie: {}\r\n{origin}", self.cookie);
        leads_to(&send("POST", &format!("{}/authorize", self.oauth), FORM, &more, &body))
    }

    /// Logs in at the tenant; gives the address of the service to come back to.
    #[track_caller]
    pub(crate) fn log_in(&self, address: &str) -> String {
        leads_to(&send("GET", address, FORM, "", ""))
    }

    /// Comes back; gives the parameters that the client gets.
    #[track_caller]
    pub(crate) fn come_back(&self, address: &str) -> Vec<(String, String)> {
        let address = leads_to(&self.get(address));
        let query = address.strip_prefix(CALLBACK).and_then(|rest| rest.strip_prefix('?'));
        let query = query.unwrap_or_else(|| panic!("not the client's address: {address}"));
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    #[track_caller]
    pub(crate) fn redeem(&self, code: &str) -> Value {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("resource", &self.resource),
        ])
    }

    #[track_caller]
    pub(crate) fn refresh(&self, token: &str) -> Value {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    #[track_caller]
    fn token(&self, fields: &[(&str, &str)]) -> Value {
        let body = form(&[fields, &[("client_id", &self.client)]].concat());
        send("POST", &format!("{}/token", self.oauth), FORM, "", &body).json()
    }

    /// From the question to the way back.
    #[track_caller]
    pub(crate) fn whole(&mut self) -> Vec<(String, String)> {
        let question = self.ask();
        let login = self.agree(&question);
        let back = self.log_in(&login);
        self.come_back(&back)
    }

    #[track_caller]
    fn get(&self, address: &str) -> Response {
        let cookie = if self.cookie.is_empty() { String::new() } else { format!("Cookie: {}\r\n", self.cookie) };
        send("GET", address, FORM, &cookie, "")
    }
}

/// One of the parameters of a way back.
#[track_caller]
pub(crate) fn value<'a>(parameters: &'a [(String, String)], name: &str) -> &'a str {
    let found = parameters.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no `{name}` in {parameters:?}"))
}

const FORM: &str = "application/x-www-form-urlencoded";

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[track_caller]
fn leads_to(answer: &Response) -> String {
    assert!(matches!(answer.status, 302 | 303), "{}: {}", answer.status, answer.text());
    answer.header("location").expect("a redirect leads somewhere").to_owned()
}

#[track_caller]
fn send(method: &str, address: &str, kind: &str, more: &str, body: &str) -> Response {
    let rest = address.strip_prefix("http://").expect("everything is on this machine");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let length = body.len();
    let text = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n{more}\r\n{body}"
    );
    let to: SocketAddr = host.parse().expect("an address");
    raw_over_tcp(to, text.as_bytes()).unwrap_or_else(|error| panic!("{method} /{path}: {error}"))
}
