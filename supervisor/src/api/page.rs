//! `GET /`: how the services are, for people: a page of HTML without scripts for browsers, text for everybody else.
//! Not here: anything that `GET /api/v1/status` does not tell.

use std::fmt::Write as _;
use std::sync::OnceLock;

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::json_schema;
use supervisor_core::{HealthStatus, State};

use super::access::Needs;
use super::answer::{Answer, HTML, Told, names};
use super::document::{ServiceDocument, StatusDocument};
use super::input::{Fixed, Input};
use super::openapi::Schemas;
use super::problem::Problem;
use super::site::Reader;
use super::{render, routes};
use crate::spans::span;
use crate::timestamp;
use crate::untrusted::commands;

const TEXT: &str = "text/plain";
/// A browser that shows the page asks again so often, in seconds.
const REFRESH: u32 = 5;
const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;margin:2em;color-scheme:light dark}\
                     table{border-collapse:collapse}th,td{text-align:left;padding:.2em 1em .2em 0;vertical-align:top}\
                     th{font-weight:normal;opacity:.6}.good{color:#1a7f37}.busy{color:#9a6700}.bad{color:#cf222e}";
/// The page may load nothing and run nothing; that it may be styled as above, and not otherwise, is said by the SHA-256
/// of that (<https://www.w3.org/TR/CSP3/#grammardef-hash-source>).
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
                      style-src 'sha256-HyjOeIbMcEjqZGGi20W5ipP8L1Wl4HuvDJWz1DVKIqI='";

/// How the services are, in the format that was asked for.
pub(super) enum Page {
    Html(String),
    Text(String),
}

impl Answer for Page {
    const KINDS: &'static [&'static str] = &[HTML, TEXT];

    fn told(_: &mut Schemas) -> Vec<Told> {
        let content = Self::KINDS.iter().map(|kind| (*kind, json_schema!({ "type": "string" }))).collect();
        vec![Told { status: StatusCode::OK, about: "as it is now", headers: &[], content }]
    }

    fn respond(self) -> Response {
        let (kind, text) = match self {
            Self::Html(text) => ("text/html; charset=utf-8", text),
            Self::Text(text) => ("text/plain; charset=utf-8", text),
        };
        let mut response = (StatusCode::OK, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }
}

pub(super) async fn page(reader: Reader, input: Input<Fixed>) -> Result<Page, Problem> {
    let status = render::status(&reader.cache.latest().view);
    Ok(if names(&input.headers, HTML) { Page::Html(html(&status)) } else { Page::Text(text(&status)) })
}

/// One line of the list of routes: method, path, what it is for, whether a browser may follow it.
type Listed = (Method, &'static str, &'static str, bool);

fn listed() -> &'static [Listed] {
    static LISTED: OnceLock<Vec<Listed>> = OnceLock::new();
    LISTED.get_or_init(|| {
        let all = routes::all().into_iter();
        all.map(|route| {
            let open = matches!(route.needs, Needs::Group(_));
            let followed = open && route.method == Method::GET && !route.path.contains('{');
            (route.method, route.path, route.about, followed)
        })
        .collect()
    })
}

fn text(status: &StatusDocument) -> String {
    let mut page = format!("{}: {}\n\n", status.supervisor.name, health(status));
    for error in rejected(status) {
        let _ = writeln!(page, "{}", harmless(&error));
    }
    let width = status.services.iter().map(|service| service.name.as_str().len()).max().unwrap_or(0);
    for service in &status.services {
        let line = format!("{:width$}  {:10}  {}", service.name.as_str(), service.state.as_str(), why(service));
        let _ = writeln!(page, "{}", harmless(line.trim_end()));
    }
    page.push('\n');
    for (method, path, about, _) in listed() {
        let _ = writeln!(page, "{:4}  {path:33}  {about}", method.as_str());
    }
    page
}

fn html(status: &StatusDocument) -> String {
    let (name, health) = (escaped(&status.supervisor.name), health(status));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH}\">\n\
         <title>{name}: {health}</title>\n<style>{STYLE}</style>\n<h1>{name}: {health}</h1>\n",
    );
    for error in rejected(status) {
        let _ = writeln!(page, "<p class=\"bad\">{}</p>", escaped(&error));
    }
    page.push_str("<table>\n<tr><th>name<th>state<th>pid<th>uptime<th>restarts<th>address<th>why\n");
    for service in &status.services {
        row(&mut page, service);
    }
    let _ = writeln!(page, "</table>\n<p>As of {}.</p>\n<table>", timestamp::now());
    for (method, path, about, followed) in listed() {
        let path = escaped(path);
        let path = if *followed { format!("<a href=\"{path}\">{path}</a>") } else { path };
        let _ = writeln!(page, "<tr><td>{method}<td>{path}<td>{}", escaped(about));
    }
    page.push_str("</table>\n");
    page
}

fn row(page: &mut String, service: &ServiceDocument) {
    let running = service.pid.and(service.started.as_deref()).and_then(timestamp::parse);
    let uptime = running.map(|started| span(timestamp::now_ms().saturating_sub(started))).unwrap_or_default();
    let address = escaped(service.address.as_deref().unwrap_or_default());
    let address = if address.starts_with("http") {
        format!("<a href=\"{address}\" rel=\"noreferrer\">{address}</a>")
    } else {
        address
    };
    let name = escaped(service.name.as_str());
    let _ = writeln!(
        page,
        "<tr><td><a href=\"/api/v1/services/{name}\">{name}</a><td class=\"{}\">{}<td>{}<td>{uptime}<td>{}<td>{address}<td>{}",
        class(service.state),
        service.state.as_str(),
        service.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        service.restarts,
        escaped(&why(service)),
    );
}

fn health(status: &StatusDocument) -> &'static str {
    match status.supervisor.health {
        HealthStatus::Healthy => "healthy",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Unhealthy => "unhealthy",
    }
}

fn class(state: State) -> &'static str {
    match state {
        State::Running | State::Completed => "good",
        State::Waiting | State::Starting | State::Rolling | State::Stopping | State::Backoff => "busy",
        State::Unhealthy | State::CrashLoop | State::Failed => "bad",
        State::Stopped => "",
    }
}

fn why(service: &ServiceDocument) -> String {
    // What a start waits for is in its cause already.
    let failing = service.failing.first().filter(|failing| !service.cause.contains(&failing.answer));
    let failing = failing.map(|failing| format!("{}: {}; ", failing.check, failing.answer)).unwrap_or_default();
    failing + &service.cause
}

fn rejected(status: &StatusDocument) -> impl Iterator<Item = String> {
    let errors = status.config.rejected.iter().flat_map(|rejected| &rejected.errors);
    errors.map(|error| format!("the file as it is now is not in force: {}", error.in_short()))
}

/// For a terminal, too: curl shows what it gets.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if commands(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// As text or a quoted attribute of HTML.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in harmless(text).chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            c => shown.push(c),
        }
    }
    shown
}
