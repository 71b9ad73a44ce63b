//! What people see: the question whether they agree, and why something cannot go on.
//! Not here: the words (`words`), what follows from an answer (`authorize`).

mod html;
mod words;

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::clients::{Client, Origin};
use crate::pending::Wish;
use crate::redirect;
use crate::secret::{Secret, hash};
use html::{Html, html, text};
pub(crate) use words::Language;

const STYLE: &str = include_str!("page.css");

/// The one style that the policy allows, by its hash.
static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(hash(STYLE))));

/// Why something cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The address of the page is not one that a client makes.
    BadRequest,
    /// No such client.
    UnknownClient,
    /// It may not be sent back there.
    BadRedirect,
    /// The page or the login is too old, or was used.
    Stale,
    /// It was begun in another browser.
    OtherBrowser,
    /// The form came from another site.
    OtherSite,
    /// Nothing was chosen.
    NothingChosen,
    /// The login is not set up.
    NotConfigured,
    /// Too many requests; come again after so many seconds.
    TooMany(u64),
    /// Something of ours does not work.
    Unavailable,
}

impl Trouble {
    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::UnknownClient | Self::BadRedirect | Self::Stale | Self::NothingChosen => {
                StatusCode::BAD_REQUEST
            }
            Self::OtherBrowser | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotConfigured | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What the consent page shows.
pub(crate) struct Consent<'a> {
    /// Who asks.
    pub client: &'a Client,
    /// What for.
    pub wish: &'a Wish,
    /// What the answer is recognised by.
    pub question: &'a Secret,
    /// Where the form may lead, besides here: the login and, after it, the client.
    pub form_targets: Vec<String>,
}

/// The question whether the user agrees.
#[must_use]
pub(crate) fn consent(language: Language, page: &Consent<'_>) -> Response {
    let words = language.words();
    let Consent { client, wish, question, form_targets } = page;
    let (service, back) = (wish.service.title(), redirect::shown(&wish.redirect_uri));
    let scopes = wish.scopes.names().map(|name| {
        let meaning = language.meaning(name);
        html! { r#"<li><label><input type="checkbox" name="scope" value=""# text(name) r#"" checked> <span>"# text(meaning)
            r#" <code>"# text(name) "</code></span></label></li>" }
    });
    let local = redirect::is_local(&wish.redirect_uri);
    let warning = if local {
        html! { r#"<p class="warning" role="note">"# text(words.local) "</p>" }
    } else {
        Html::default()
    };
    let vouched = match client.origin {
        Origin::Registered => words.unverified.to_owned(),
        Origin::Document => words.documented.replace("{host}", &redirect::shown(&client.id)),
    };
    let main = html! {
        "<h1>" text(&words.asks.replace("{client}", &client.name).replace("{service}", service)) "</h1>"
        r#"<dl><dt>"# text(words.application) "</dt><dd><strong>" text(&client.name) r#"</strong><br><small>"# text(&vouched)
        "</small></dd><dt>" text(words.back_to) "</dt><dd><strong>" text(&back) "</strong></dd></dl>"
        warning
        r#"<form method="post" action="/authorize"><input type="hidden" name="tx" value=""# text(question.reveal()) r#"">"#
        "<fieldset><legend>" text(&words.may.replace("{service}", service)) "</legend><ul>" Html::concat(scopes) "</ul></fieldset>"
        "<p>" text(words.next) "</p>"
        r#"<div class="buttons"><button name="decision" value="allow" class="primary">"# text(words.allow)
        r#"</button><button name="decision" value="deny">"# text(words.deny) "</button></div></form>"
    };
    let sources = form_targets.iter().fold("'self'".to_owned(), |all, target| format!("{all} {target}"));
    respond(StatusCode::OK, language, words.consent_title, main, &sources)
}

/// Why something cannot go on, and what to do.
#[must_use]
pub(crate) fn trouble(language: Language, trouble: Trouble) -> Response {
    let (title, explanation) = language.trouble(trouble);
    let setup = match trouble {
        Trouble::NotConfigured => html! {
            "<ul><li><code>DCR_AZURE_CLIENT_ID</code></li><li><code>DCR_AZURE_CLIENT_SECRET</code></li>"
            "<li><code>DCR_AZURE_TENANT_ID</code></li></ul><p><code>docs/entra-setup.md</code></p>"
        },
        Trouble::BadRequest
        | Trouble::UnknownClient
        | Trouble::BadRedirect
        | Trouble::Stale
        | Trouble::OtherBrowser
        | Trouble::OtherSite
        | Trouble::NothingChosen
        | Trouble::TooMany(_)
        | Trouble::Unavailable => Html::default(),
    };
    let main = html! { "<h1>" text(title) "</h1><p>" text(explanation) "</p>" setup };
    let mut response = respond(trouble.status(), language, title, main, "'none'");
    if let Trouble::TooMany(wait) = trouble {
        response.headers_mut().insert(RETRY_AFTER, wait.into());
    }
    response
}

/// Why a client's wish cannot be served, with a link to `address`, which tells the client.
#[must_use]
pub(crate) fn onward(language: Language, why: &str, redirect_uri: &str, address: &str) -> Response {
    let (title, explanation, link) = language.onward();
    let link = link.replace("{host}", &redirect::shown(redirect_uri));
    let main = html! {
        "<h1>" text(title) "</h1><p>" text(explanation) "</p><p><code>" text(why) r#"</code></p><p><a rel="noreferrer" href=""#
        text(address) r#"">"# text(&link) "</a></p>"
    };
    respond(StatusCode::BAD_REQUEST, language, title, main, "'none'")
}

fn respond(status: StatusCode, language: Language, title: &str, main: Html, form_action: &str) -> Response {
    let page = html! {
        r#"<!doctype html><html lang=""# text(language.tag()) r#""><head><meta charset="utf-8">"#
        r#"<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">"#
        "<title>" text(title) "</title><style>" Html::trusted(STYLE) "</style></head><body><main>" main "</main></body></html>"
    };
    let policy = format!(
        "default-src 'none'; style-src {}; base-uri 'none'; frame-ancestors 'none'; form-action {form_action}",
        *STYLE_SOURCE
    );
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    headers.insert(VARY, HeaderValue::from_static("accept-language"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: browsers would then hide the origin of the form from us, too.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    (status, headers, page.into_string()).into_response()
}
