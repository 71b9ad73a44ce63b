//! An application that does everything right, unless a test changes a parameter.
//! Not here: what is expected.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fake_m365::{Fake, TENANT};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::http::{Answer, form, send};

pub(crate) const REDIRECT: &str = "http://127.0.0.1:9/azure_callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const SCOPE: &str = "openid profile email offline_access User.Read Mail.Read";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

pub(crate) struct App {
    pub(crate) fake: Fake,
    id: String,
    secret: String,
}

/// One change of a request: another value, or none.
pub(crate) type Change<'a> = (&'a str, Option<&'a str>);

impl App {
    pub(crate) fn new() -> Self {
        let fake = Fake::start().unwrap();
        fake.allow_redirect(REDIRECT);
        let app = fake.app();
        Self { fake, id: app.client_id, secret: app.client_secret }
    }

    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> Answer {
        send(&self.fake.base(), "GET", path, headers, "").unwrap()
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        send(&self.fake.base(), "POST", path, &["Content-Type: application/json"], &body).unwrap()
    }

    pub(crate) fn authorize_path(&self, changes: &[Change<'_>]) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let usual = [
            ("client_id", self.id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("response_mode", "query"),
            ("scope", SCOPE),
            ("state", "the state"),
            ("nonce", "the nonce"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        format!("/{TENANT}/oauth2/v2.0/authorize?{}", changed(&usual, changes))
    }

    pub(crate) fn authorize(&self, changes: &[Change<'_>]) -> Answer {
        self.get(&self.authorize_path(changes), &[])
    }

    /// A login that succeeds, up to the code.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.authorize(&[]).redirected("code").unwrap()
    }

    pub(crate) fn redeem(&self, code: &str, changes: &[Change<'_>]) -> Answer {
        self.try_redeem(code, changes).unwrap()
    }

    /// As `redeem`, but gives no answer when there is none.
    pub(crate) fn try_redeem(&self, code: &str, changes: &[Change<'_>]) -> Option<Answer> {
        let usual = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.id),
            ("client_secret", &self.secret),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.token(&changed(&usual, changes), &[FORM])
    }

    pub(crate) fn refresh(&self, token: &str, changes: &[Change<'_>]) -> Answer {
        let usual = [
            ("grant_type", "refresh_token"),
            ("client_id", &self.id),
            ("client_secret", &self.secret),
            ("refresh_token", token),
        ];
        self.token(&changed(&usual, changes), &[FORM]).unwrap()
    }

    pub(crate) fn token(&self, body: &str, headers: &[&str]) -> Option<Answer> {
        send(&self.fake.base(), "POST", &format!("/{TENANT}/oauth2/v2.0/token"), headers, body)
    }

    /// A whole login.
    #[track_caller]
    pub(crate) fn tokens(&self) -> Value {
        let answer = self.redeem(&self.code(), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) fn me(&self, token: &str) -> Answer {
        self.get("/v1.0/me", &[&format!("Authorization: Bearer {token}")])
    }

    /// The rules broken since the last time.
    pub(crate) fn broken(&self) -> Vec<fake_m365::Rule> {
        self.fake.take_violations().into_iter().map(|one| one.rule).collect()
    }
}

fn changed(usual: &[(&str, &str)], changes: &[Change<'_>]) -> String {
    let kept = usual.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name)).copied();
    let new = changes.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    form(&kept.chain(new).collect::<Vec<_>>())
}

/// The claims of an ID token, whose signature nobody looks at here.
pub(crate) fn claims(tokens: &Value) -> Value {
    let token = tokens["id_token"].as_str().unwrap();
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
