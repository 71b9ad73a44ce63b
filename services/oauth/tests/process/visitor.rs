//! A client and a browser in one, over real sockets, which may break at any moment.
//! Not here: what is to be seen.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::child::{Child, Launch};
use crate::client::{Client, Response};
use crate::entra::{APP, Entra};
use crate::{oauth, private};

pub(crate) const BASE: &str = "http://localhost:8001";
const CALLBACK: &str = "http://127.0.0.1/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A stand-in for Entra, and the data of one or more processes.
pub(crate) struct Site {
    pub(crate) data: tempfile::TempDir,
    pub(crate) entra: Entra,
    _runtime: Runtime,
}

impl Site {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let entra = runtime.block_on(Entra::start());
        Self { data: tempfile::tempdir().unwrap(), entra, _runtime: runtime }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.data.path().join("oauth").join(name)
    }

    pub(crate) fn launch(&self) -> Launch {
        let mut launch = oauth(&self.data.path().join("oauth"))
            .env("OAUTH_BASE_URL", BASE)
            .env("OAUTH_ENTRA_AUTHORITY", &self.entra.address)
            .env("DCR_AZURE_CLIENT_ID", APP)
            .env("DCR_AZURE_CLIENT_SECRET", format!("secret-of-{APP}"))
            .env("DCR_AZURE_TENANT_ID", "organizations");
        for gate in ["REGISTER", "AUTHORIZE", "TOKEN"] {
            launch = launch.env(&format!("OAUTH_RATE_{gate}"), 0);
        }
        launch
    }

    pub(crate) fn start(&self) -> Child {
        let child = self.launch().start();
        child.ready();
        child
    }

    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("oauth.db")).unwrap()
    }

    /// Of this process, as the mail service.
    pub(crate) fn introspect(&self, child: &Child, token: &str) -> Value {
        let secret = std::fs::read_to_string(self.path("svc-mail.secret")).unwrap();
        let header = format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("svc-mail:{secret}")));
        let answer = post(private(child), "/introspect", &header, &[("token", token)]).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }
}

pub(crate) fn register(at: SocketAddr) -> io::Result<String> {
    let body = format!(r#"{{"redirect_uris":["{CALLBACK}"],"token_endpoint_auth_method":"none"}}"#);
    let answer = Client::connect(at)?.request("POST", "/register", &body)?;
    assert_eq!(answer.status, 201, "{}", answer.body);
    Ok(answer.json()["client_id"].as_str().unwrap().to_owned())
}

/// Asks at one socket, answers the page at another, and comes back from the login at a third.
pub(crate) fn code(site: &Site, at: [SocketAddr; 3], client: &str) -> io::Result<String> {
    let wish = form(&[
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("state", "s"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("resource", "http://127.0.0.1:8002/messages"),
        ("scope", "mail.read"),
    ]);
    let page = Client::connect(at[0])?.get(&format!("/authorize?{wish}"))?;
    assert_eq!(page.status, 200, "{}", page.body);
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let tx = page.body.split("name=\"tx\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let headers = format!("Cookie: {cookie}\r\nOrigin: {BASE}\r\n");
    let decision = [("tx", tx), ("decision", "allow"), ("scope", "mail.read")];
    let to_entra = post(at[1], "/authorize", &headers, &decision)?;
    let back = site.entra.log_in(to_entra.header("location").unwrap_or_else(|| panic!("{}", to_entra.body)));
    let path = back.strip_prefix(BASE).unwrap();
    let mut browser = Client::connect(at[2])?;
    browser.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"))?;
    let to_client = browser.response("GET")?;
    let location = to_client.header("location").unwrap_or_else(|| panic!("{}", to_client.body));
    let code = location.split_once("code=").unwrap_or_else(|| panic!("{location}")).1;
    Ok(code.split('&').next().unwrap().to_owned())
}

pub(crate) fn redeem(at: SocketAddr, client: &str, code: &str) -> io::Result<Response> {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    post(at, "/token", "", &form)
}

pub(crate) fn refresh(at: SocketAddr, client: &str, token: &str) -> io::Result<Response> {
    post(at, "/token", "", &[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)])
}

pub(crate) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn post(at: SocketAddr, path: &str, headers: &str, fields: &[(&str, &str)]) -> io::Result<Response> {
    let body = form(fields);
    let mut client = Client::connect(at)?;
    client.send(&format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))?;
    client.response("POST")
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
