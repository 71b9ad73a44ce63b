//! Clients whose id is the address of a document, over real TLS.
//! Not here: what such a document may say; that is tested beside the code.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use oauth::fetch::{FetchError, Fetcher, Question, Reach};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::world::{Browser, CALLBACK, World, authorize, wish};

const HOST: &str = "client.example";

/// A web server with documents. It counts who asks.
struct Web {
    at: SocketAddr,
    roots: RootCertStore,
    pages: Arc<Mutex<BTreeMap<String, String>>>,
    asked: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Web {
    async fn start() -> Self {
        let certified = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let certificate = certified.cert.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (pages, asked) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicUsize::new(0)));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), pages.clone(), asked.clone()));
        Self { at, roots, pages, asked, _server: server }
    }

    fn address(&self, path: &str) -> String {
        format!("https://{HOST}{path}")
    }

    /// Puts a whole answer, head and body, under a path.
    fn put(&self, path: &str, answer: String) {
        self.pages.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn put_document(&self, path: &str) -> String {
        let id = self.address(path);
        let document = json!({ "client_id": id, "client_name": "Documented", "redirect_uris": [CALLBACK] });
        self.put(path, ok(&document.to_string()));
        id
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    pages: Arc<Mutex<BTreeMap<String, String>>>,
    asked: Arc<AtomicUsize>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        asked.fetch_add(1, Ordering::Relaxed);
        let Ok(mut stream) = tls.accept(stream).await else { continue };
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap_or(0);
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let path = request.split(' ').nth(1).unwrap_or("/");
        let answer = pages.lock().unwrap().get(path).cloned();
        let answer = answer.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned());
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

#[tokio::test]
async fn a_documented_client_needs_no_registration_and_is_asked_for_once() {
    let (web, mut world) = (Web::start().await, World::new().await);
    world.reach(&Fetcher::trusting(web.roots.clone()), Reach::Only(web.at));
    let client = web.put_document("/client.json");
    let page = Browser::default().get(&world, &authorize(&wish(&client))).await;
    assert!(page.status == 200 && page.body.contains("Documented") && page.body.contains(HOST), "{page:?}");
    let code = world.code(&mut Browser::default(), &client).await;
    assert_eq!(world.redeem(&client, &code).await.status, 200);
    assert_eq!(web.asked.load(Ordering::Relaxed), 1, "it is kept");
    world.clock.advance(301);
    world.get(&authorize(&wish(&client))).await;
    assert_eq!(web.asked.load(Ordering::Relaxed), 2, "and asked for again after a while");
}

#[tokio::test]
async fn an_address_within_our_own_network_is_never_asked() {
    let (web, mut world) = (Web::start().await, World::new().await);
    world.reach(&Fetcher::trusting(web.roots.clone()), Reach::Internet);
    let client = web.put_document("/client.json");
    for client in ["https://127.0.0.1/client.json", "https://[::1]/c", "https://169.254.169.254/latest"] {
        assert_eq!(world.get(&authorize(&wish(client))).await.status, 400, "{client}");
    }
    assert_eq!(world.get(&authorize(&wish(&client))).await.status, 503, "a name that cannot be found");
    let request = Request::get(format!("https://localhost:{}/client.json", web.at.port())).body(Body::empty()).unwrap();
    let question = Question { request, reach: Reach::Internet, deadline: Duration::from_secs(5), most: 1000 };
    let refused = Fetcher::trusting(web.roots.clone()).ask(question).await.err().unwrap();
    assert!(matches!(refused, FetchError::Forbidden(_)), "a name may lead to ourselves: {refused}");
    assert_eq!(web.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_document_that_is_too_large_elsewhere_or_not_its_own_makes_no_client() {
    let (web, mut world) = (Web::start().await, World::new().await);
    world.reach(&Fetcher::trusting(web.roots.clone()), Reach::Only(web.at));
    let good = web.put_document("/good.json");
    web.put("/redirect.json", format!("HTTP/1.1 302 Found\r\nLocation: {good}\r\nContent-Length: 0\r\n\r\n"));
    let id = web.address("/large.json");
    let large = json!({ "client_id": id, "redirect_uris": [CALLBACK], "padding": "x".repeat(6000) });
    web.put("/large.json", ok(&large.to_string()));
    web.put("/other.json", ok(&json!({ "client_id": good, "redirect_uris": [CALLBACK] }).to_string()));
    web.put("/html.json", ok("<html>"));
    for path in ["/redirect.json", "/large.json", "/other.json", "/html.json", "/missing.json"] {
        assert_eq!(world.get(&authorize(&wish(&web.address(path)))).await.status, 400, "{path}");
    }
    assert_eq!(world.get(&authorize(&wish(&good))).await.status, 200);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reach = Reach::Only(silent.local_addr().unwrap());
    for scheme in ["http", "https"] {
        let request = Request::get(format!("{scheme}://{HOST}/client.json")).body(Body::empty()).unwrap();
        let question = Question { request, reach, deadline: Duration::from_millis(100), most: 1000 };
        let refused = Fetcher::trusting(RootCertStore::empty()).ask(question).await.err().unwrap();
        assert!(matches!(refused, FetchError::Silent { .. }), "{refused}");
    }
}

#[tokio::test]
async fn beyond_a_thousand_documents_one_is_asked_for_each_time() {
    let (web, mut world) = (Web::start().await, World::new().await);
    world.reach(&Fetcher::trusting(web.roots.clone()), Reach::Only(web.at));
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                INSERT INTO client_documents SELECT 'https://x.example/' || i, '', ?1 FROM n";
    world.database().execute(fill, [world.clock.now() + 600]).unwrap();
    let client = web.put_document("/client.json");
    for asked in [1, 2] {
        assert_eq!(world.get(&authorize(&wish(&client))).await.status, 200);
        assert_eq!(web.asked.load(Ordering::Relaxed), asked);
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_is_not_believed() {
    let (web, mut world) = (Web::start().await, World::new().await);
    world.reach(&Fetcher::trusting(RootCertStore::empty()), Reach::Only(web.at));
    let client = web.put_document("/client.json");
    assert_eq!(world.get(&authorize(&wish(&client))).await.status, 400);
}

#[tokio::test]
async fn a_client_whose_server_is_down_is_not_told_to_be_unknown() {
    let (web, mut world) = (Web::start().await, World::new().await);
    world.reach(&Fetcher::trusting(web.roots.clone()), Reach::Only(web.at));
    let client = web.put_document("/client.json");
    let code = world.code(&mut Browser::default(), &client).await;
    let tokens = world.redeem(&client, &code).await.json();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    for status in ["500 Oops", "503 Later", "429 Slowly"] {
        world.clock.advance(301);
        web.put("/client.json", format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        let answer = world.refresh(&client, refresh).await;
        assert_eq!((answer.status, answer.error().as_str()), (503, "temporarily_unavailable"), "{status}");
        assert_eq!(world.get(&authorize(&wish(&client))).await.status, 503, "{status}");
    }
    world.reach(&Fetcher::trusting(web.roots.clone()), Reach::Only("127.0.0.1:1".parse().unwrap()));
    assert_eq!(world.refresh(&client, refresh).await.status, 503, "nobody listens");
    world.reach(&Fetcher::trusting(web.roots.clone()), Reach::Only(web.at));
    web.put_document("/client.json");
    assert_eq!(world.refresh(&client, refresh).await.status, 200);
    world.clock.advance(301);
    web.put("/client.json", "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n".to_owned());
    assert_eq!(world.refresh(&client, refresh).await.error(), "invalid_client", "it has said so itself");
}
