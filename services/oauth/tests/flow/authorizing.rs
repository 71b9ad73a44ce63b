//! `/register`, `/authorize` and the way back from Entra: every answer that they have.
//! Not here: what comes after the code (`tokens`).

use serde_json::json;

use crate::world::{BASE, Browser, CALLBACK, MAIL, World, authorize, but, path_of, wish};

#[tokio::test]
async fn a_registration_is_answered_as_the_rfc_says() {
    let world = World::new().await;
    let metadata = json!({
        "redirect_uris": [CALLBACK, "http://127.0.0.1/cb"],
        "client_name": "  My <b>App</b>\u{202e} ",
        "token_endpoint_auth_method": "none",
        "logo_uri": "https://app.example/logo.png",
    });
    let answer = world.register_as(metadata).await;
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")));
    let client = answer.json();
    assert_eq!(client["client_name"], "My <b>App</b>");
    assert_eq!(client["redirect_uris"], json!([CALLBACK, "http://127.0.0.1/cb"]));
    assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(client["token_endpoint_auth_method"], "none");
    assert!(client.get("client_secret").is_none() && client["client_id_issued_at"].is_i64());
    let refused = world.register_as(json!({ "redirect_uris": ["http://evil.example/"] })).await;
    assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_redirect_uri"));
}

#[tokio::test]
async fn an_operator_can_switch_registration_and_documents_off() {
    let world = World::with(&[("OAUTH_DCR", "off"), ("OAUTH_CIMD", "off")]).await;
    let refused = world.register_as(json!({ "redirect_uris": [CALLBACK] })).await;
    assert_eq!((refused.status, refused.error().as_str()), (403, "access_denied"));
    let metadata = world.get("/.well-known/oauth-authorization-server").await.json();
    assert!(metadata.get("registration_endpoint").is_none());
    assert_eq!(metadata["client_id_metadata_document_supported"], false);
    assert_eq!(world.get(&authorize(&wish("https://app.example/client.json"))).await.status, 400);
}

#[tokio::test]
async fn an_address_that_is_not_the_clients_is_never_redirected_to() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    for uri in [
        "https://evil.example/cb",
        "https://app.example/cb/",
        "https://app.example/cb?x",
        "https://app.example/cb#x",
        "https://app.example:444/cb",
        "https://app.example@evil.example/cb",
        "https://app.example\\@evil.example/cb",
        "https://app.example/cb\r\nSet-Cookie: x=y",
        "//app.example/cb",
        "javascript:alert(1)",
    ] {
        let answer = world.get(&authorize(&but(wish(&client), "redirect_uri", Some(uri)))).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{uri}");
    }
    let repeated = [wish(&client), vec![("redirect_uri", "https://evil.example/cb")]].concat();
    assert_eq!(world.get(&authorize(&repeated)).await.status, 400);
    assert_eq!(world.get(&authorize(&but(wish(&client), "redirect_uri", None))).await.status, 400);
    assert_eq!(world.get("/authorize").await.status, 400);
}

#[tokio::test]
async fn what_is_wrong_otherwise_is_told_to_the_client_with_its_state_and_our_name() {
    let world = World::new().await;
    let (site, program) = (world.register(CALLBACK).await, world.register("http://127.0.0.1/cb").await);
    for (name, value, error) in [
        ("response_type", None, "invalid_request"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_mode", Some("fragment"), "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("scope", Some("mail.read nonsense"), "invalid_scope"),
        ("scope", Some("files.read"), "invalid_scope"),
        ("resource", None, "invalid_target"),
        ("resource", Some("https://evil.example/messages"), "invalid_target"),
        ("resource", Some("https://mail.example.com/other"), "invalid_target"),
        ("resource", Some("https://mail.example.com.evil.example/messages"), "invalid_target"),
    ] {
        let wrong = but(wish(&program), "redirect_uri", Some("http://127.0.0.1:4711/cb"));
        let answer = world.get(&authorize(&but(wrong, name, value))).await;
        assert_eq!((answer.status, answer.header("cache-control")), (303, Some("no-store")), "{name}={value:?}");
        assert!(answer.location().starts_with("http://127.0.0.1:4711/cb?error="), "{}", answer.location());
        let page = world.get(&authorize(&but(wish(&site), name, value))).await;
        assert_eq!((page.status, page.header("location")), (400, None), "nobody is sent to a site unasked: {page:?}");
        assert!(page.link().starts_with("https://app.example/cb?error="), "{}", page.link());
        for told in [answer.parameters(), page.parameters()] {
            assert_eq!(
                (told["error"].as_str(), told["state"].as_str(), told["iss"].as_str()),
                (error, "client-state", BASE)
            );
        }
    }
}

#[tokio::test]
async fn several_tabs_that_come_at_once_are_all_answered_and_nobody_elses_question_is() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let (mut one, mut other) = (Browser::default(), Browser::default());
    let first = one.get(&world, &authorize(&wish(&client))).await;
    other.get(&world, &authorize(&wish(&client))).await;
    // Both are tabs of one browser, which keeps the cookie that came last.
    one.cookie.clone_from(&other.cookie);
    for decision in ["allow", "deny"] {
        let again = one.answer(&world, &first, decision, &first.scopes()).await;
        assert_eq!((again.status, again.header("location")), (200, None), "it is asked again");
        assert!(again.tx() != first.tx() && again.scopes() == first.scopes());
        assert_eq!(one.answer(&world, &again, decision, &again.scopes()).await.status, 303);
    }
    let stranger = Browser { cookie: one.cookie.clone().map(|cookie| cookie.replace("mcp_br_", "x")) };
    assert_eq!(stranger.answer(&world, &first, "allow", &first.scopes()).await.status, 403, "without a cookie of ours");
}

#[tokio::test]
async fn what_an_operator_comes_to_forbid_is_forbidden_to_those_who_registered_before() {
    let mut world = World::new().await;
    let client = world.register(CALLBACK).await;
    world.restart(&[("OAUTH_ALLOWED_REDIRECT_HOSTS", "claude.ai")]);
    let refused = world.get(&authorize(&wish(&client))).await;
    assert_eq!((refused.status, refused.header("location")), (400, None));
    world.restart(&[("OAUTH_ALLOWED_REDIRECT_HOSTS", "claude.ai, app.example")]);
    assert_eq!(world.get(&authorize(&wish(&client))).await.status, 200);
}

#[tokio::test]
async fn a_service_is_meant_by_its_address_however_it_is_written() {
    let world = World::with(&[("OAUTH_DEFAULT_RESOURCE", "teams"), ("MAIL_DEFAULT_SCOPES", "mail.write")]).await;
    let client = world.register(CALLBACK).await;
    for resource in [
        "https://mail.example.com",
        "https://mail.example.com/",
        "HTTPS://Mail.Example.Com/messages",
        "https://mail.example.com/messages/",
        "https://mail.example.com/mcp",
        "https://mail.example.com:443/messages",
    ] {
        let page = world.get(&authorize(&but(wish(&client), "resource", Some(resource)))).await;
        assert!(page.status == 200 && page.body.contains("Outlook Mail"), "{resource}: {page:?}");
    }
    let unsaid = but(but(wish(&client), "resource", None), "scope", None);
    let page = world.get(&authorize(&unsaid)).await;
    assert_eq!(page.scopes(), ["chats.read", "chats.send"], "the default service, with its default scopes");
    let page = world.get(&authorize(&but(wish(&client), "scope", None))).await;
    assert_eq!(page.scopes(), ["mail.read", "mail.write"], "as the operator decided");
}

#[tokio::test]
async fn the_page_names_who_asks_and_cannot_be_framed_scripted_or_kept() {
    let world = World::new().await;
    let metadata = json!({
        "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none",
        "client_name": "<img src=x onerror=alert(1)>'; DROP TABLE clients; --",
    });
    let client = world.register_as(metadata).await.json()["client_id"].as_str().unwrap().to_owned();
    let wish = but(wish(&client), "redirect_uri", Some("http://127.0.0.1:4711/cb"));
    let page = Browser::default().get(&world, &authorize(&wish)).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("&lt;img src=x onerror=alert(1)&gt;&#39;; DROP TABLE clients; --"), "{}", page.body);
    assert!(!page.body.contains("<img") && !page.body.contains("<script"));
    assert!(page.body.contains("127.0.0.1:4711") && page.body.contains("class=\"warning\""), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "style-src 'sha256-",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        &format!("form-action 'self' {} http://127.0.0.1:4711", world.entra.address),
    ] {
        assert!(policy.contains(part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (header, value) in [
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("content-language", "en"),
    ] {
        assert_eq!(page.header(header), Some(value));
    }
    let cookie = page.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure") && cookie.contains("; HttpOnly"), "{cookie}");
}

#[tokio::test]
async fn the_user_decides_what_is_allowed() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize(&wish(&client))).await;
    assert_eq!(page.scopes(), ["mail.read", "mail.send"]);
    assert_eq!(browser.answer(&world, &page, "allow", &[]).await.status, 400, "nothing chosen");
    assert_eq!(browser.answer(&world, &page, "allow", &["mail.write"]).await.status, 400, "not what was asked");
    let to_entra = browser.answer(&world, &page, "allow", &["mail.read", "mail.write"]).await;
    assert_eq!(to_entra.parameters()["scope"], "openid profile offline_access Mail.Read User.Read");
    let back = world.entra.log_in(to_entra.location());
    let code = browser.get(&world, path_of(&back)).await.parameters()["code"].clone();
    assert_eq!(world.redeem(&client, &code).await.json()["scope"], "mail.read");

    let wider = but(wish(&client), "scope", Some("mail.read mail.write"));
    let page = browser.get(&world, &authorize(&wider)).await;
    assert_eq!(page.status, 200, "more than was agreed to is asked again");
    let told = browser.answer(&world, &page, "deny", &["mail.read"]).await.parameters();
    assert_eq!((told["error"].as_str(), told["iss"].as_str()), ("access_denied", BASE));
    assert_eq!(browser.answer(&world, &page, "deny", &[]).await.status, 400, "decided is decided");
}

#[tokio::test]
async fn a_page_and_a_login_end_after_ten_minutes_and_a_consent_after_thirty_days() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize(&wish(&client))).await;
    world.clock.advance(601);
    assert_eq!(browser.answer(&world, &page, "allow", &["mail.read"]).await.status, 400);

    let page = browser.get(&world, &authorize(&wish(&client))).await;
    let back = world.entra.log_in(browser.allow(&world, &page).await.location());
    world.clock.advance(601);
    assert_eq!(browser.get(&world, path_of(&back)).await.status, 400);

    world.clock.advance(-1202);
    world.code(&mut browser, &client).await;
    assert_eq!(browser.get(&world, &authorize(&wish(&client))).await.status, 303, "remembered");
    world.clock.advance(30 * 24 * 3600 + 1);
    assert_eq!(browser.get(&world, &authorize(&wish(&client))).await.status, 200, "asked again");
}

#[tokio::test]
async fn a_program_of_this_machine_is_asked_about_every_time() {
    let world = World::new().await;
    let client = world.register("http://127.0.0.1/cb").await;
    let mut browser = Browser::default();
    for port in [4711, 4712] {
        let uri = format!("http://127.0.0.1:{port}/cb");
        let page = browser.get(&world, &authorize(&but(wish(&client), "redirect_uri", Some(&uri)))).await;
        assert_eq!(page.status, 200, "any other program could pose as it");
        let back = world.entra.log_in(browser.allow(&world, &page).await.location());
        assert!(browser.get(&world, path_of(&back)).await.location().starts_with(&uri));
    }
}

#[tokio::test]
async fn a_way_back_is_gone_once() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize(&wish(&client))).await;
    let back = world.entra.log_in(browser.allow(&world, &page).await.location());
    assert_eq!(browser.get(&world, path_of(&back)).await.status, 303);
    assert_eq!(browser.get(&world, path_of(&back)).await.status, 400, "used");
    assert_eq!(world.get("/azure_callback?code=x").await.status, 400, "no state");
    assert_eq!(world.get("/azure_callback?code=x&state=unknown").await.status, 400);
}

#[tokio::test]
async fn two_services_have_two_applications_where_the_operator_wants_it() {
    let world = World::with(&[
        ("DCR_AZURE_CLIENT_ID_MAIL", "app-mail"),
        ("DCR_AZURE_CLIENT_SECRET_MAIL", "secret-of-app-mail"),
    ])
    .await;
    let client = world.register(CALLBACK).await;
    for (resource, scope, app) in
        [(MAIL, "mail.read", "app-mail"), ("https://teams.example.com/mcp", "chats.read", crate::entra::APP)]
    {
        let wish = but(but(wish(&client), "resource", Some(resource)), "scope", Some(scope));
        let mut browser = Browser::default();
        let page = browser.get(&world, &authorize(&wish)).await;
        assert_eq!(browser.allow(&world, &page).await.parameters()["client_id"], app);
        assert!(world.login(&mut browser, &wish).await.contains_key("code"));
    }
}

#[tokio::test]
async fn the_pages_speak_the_browsers_language() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    for (path, status) in [(authorize(&wish(&client)), 200), ("/authorize".to_owned(), 400)] {
        let request = axum::http::Request::get(path).header("accept-language", "ko-KR,ko;q=0.9");
        let page = world.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!((page.status, page.header("content-language")), (status, Some("ko")));
        assert!(page.body.contains("lang=\"ko\""));
    }
}
