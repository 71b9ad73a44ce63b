//! `GET /metrics`: what the view, the counters of the loop and a look at the processes say, as Prometheus or OpenMetrics text.
//! Not here: which metrics there are (`families`), counting (`control::instruments`), looking (`resources`).

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use schemars::json_schema;
use tokio::sync::Semaphore;

use super::answer::{Answer, Told, names};
use super::families::Scrape;
use super::input::{Fixed, Input};
use super::openapi::Schemas;
use super::problem::Problem;
use super::site::Reader;

const PROMETHEUS: &str = "text/plain";
const OPEN_METRICS: &str = "application/openmetrics-text";

/// Each occupies a thread that launches need, too.
static SCRAPES: Semaphore = Semaphore::const_new(2);
const PATIENCE: Duration = Duration::from_secs(5);

/// The text, in the format that was asked for.
pub(super) struct Exposition(Format, String);

impl Answer for Exposition {
    const KINDS: &'static [&'static str] = &[PROMETHEUS, OPEN_METRICS];

    fn told(_: &mut Schemas) -> Vec<Told> {
        let content = Self::KINDS.iter().map(|kind| (*kind, json_schema!({ "type": "string" }))).collect();
        vec![Told { status: StatusCode::OK, about: "as it is now", headers: &[], content }]
    }

    fn respond(self) -> Response {
        let mut response = (StatusCode::OK, self.1).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.0.content_type()));
        response
    }
}

pub(super) async fn metrics(reader: Reader, input: Input<Fixed>) -> Result<Exposition, Problem> {
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "other scrapes are being answered; try again");
    let permit = tokio::time::timeout(PATIENCE, SCRAPES.acquire()).await.ok().and_then(Result::ok).ok_or_else(busy)?;
    let view = Arc::clone(&reader.cache.latest().view);
    let instruments = reader.cache.instruments.clone();
    let sample = instruments.sampler.latest(&view).await;
    let now = crate::control::now();
    let format = Format::of(&input.headers);
    let writing = tokio::task::spawn_blocking(move || {
        let text = written(Scrape::new(now, view, sample, &instruments), format);
        drop(permit);
        text
    });
    let text = writing.await.ok().and_then(Result::ok).ok_or_else(busy)?;
    Ok(Exposition(format, text))
}

/// <https://prometheus.io/docs/instrumenting/exposition_formats> and the specification of OpenMetrics 1.0.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// OpenMetrics for those who say that they take it, unless only as the last resort (`q=0`).
    fn of(headers: &HeaderMap) -> Self {
        if names(headers, OPEN_METRICS) { Self::OpenMetrics } else { Self::Prometheus }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) fn written(scrape: Scrape, format: Format) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("supervisor");
    registry.register_collector(Box::new(scrape));
    let mut open = String::new();
    text::encode(&mut open, &registry)?;
    Ok(match format {
        Format::OpenMetrics => open,
        Format::Prometheus => as_prometheus(&open),
    })
}

/// The older format names a family as its samples are named, and knows neither `info` nor an end mark.
fn as_prometheus(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        if line.starts_with("# HELP ") {
            // The type is on the next line, and decides the name.
            help = line;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            let words = help.strip_prefix("# HELP ").and_then(|rest| rest.strip_prefix(name)).unwrap_or_default();
            text.push_str(&format!("# HELP {name}{suffix}{words}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_take_it() {
        let format = |accept: &str| {
            let value = HeaderValue::from_str(accept).unwrap();
            Format::of(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        assert_eq!(Format::of(&HeaderMap::new()), Format::Prometheus);
        for accept in ["*/*", "text/plain", "application/openmetrics-text;q=0", "text/html, application/json"] {
            assert_eq!(format(accept), Format::Prometheus, "{accept}");
        }
        // What Prometheus itself sends.
        let scraper = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(format(scraper), Format::OpenMetrics);
    }

    #[test]
    fn the_older_format_has_its_own_names_and_no_end() {
        let open = "# HELP a_build V.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n# HELP b What, # TYPE or not.\n\
                    # TYPE b counter\nb_total{x=\"# EOF\"} 2\n# HELP c C.\n# TYPE c gauge\n# EOF\n";
        let older = "# HELP a_build_info V.\n# TYPE a_build_info gauge\na_build_info{v=\"1\"} 1\n\
                     # HELP b_total What, # TYPE or not.\n# TYPE b_total counter\nb_total{x=\"# EOF\"} 2\n\
                     # HELP c C.\n# TYPE c gauge\n";
        assert_eq!(as_prometheus(open), older);
    }
}
