//! Every route there is. The router and the description of the API are both made from this table.
//! Not here: what a route needs to be one (`route`).

use super::access::Needs;
use super::route::Route;
use super::{act, alerts, events, exits, logs, metrics, operations, page, read, reload};
use crate::config::OpenGroup;

const HEALTH: Needs = Needs::Group(OpenGroup::Health);
const STATUS: Needs = Needs::Group(OpenGroup::Status);
const METRICS: Needs = Needs::Group(OpenGroup::Metrics);

pub(super) fn all() -> Vec<Route> {
    reads().into_iter().chain(changes()).collect()
}

fn reads() -> Vec<Route> {
    let health = "whether every critical service is ready";
    vec![
        Route::read("/", STATUS, ("page", "all services on one page, for people"), page::page),
        Route::read("/livez", HEALTH, ("livez", "whether the supervisor answers"), read::livez),
        Route::read("/health", HEALTH, ("health", health), read::health),
        Route::read("/healthz", HEALTH, ("healthz", health), read::health),
        Route::read("/readyz", HEALTH, ("readyz", health), read::health),
        Route::read("/status", STATUS, ("short_status", "each service in a few words"), read::short),
        Route::read("/metrics", METRICS, ("metrics", "counters and gauges, for Prometheus"), metrics::metrics),
        Route::read("/openapi.json", STATUS, ("openapi", "the description of the API (OpenAPI)"), read::openapi),
        Route::read("/api/v1/status", STATUS, ("status", "the supervisor and its services"), read::status),
        Route::read("/api/v1/services", STATUS, ("services", "all services"), read::services),
        Route::read("/api/v1/services/{name}", STATUS, ("service", "one service"), read::service),
        Route::read(
            "/api/v1/services/{name}/logs",
            Needs::Token,
            ("logs", "the last lines of a service's log"),
            logs::tail,
        ),
        Route::read(
            "/api/v1/services/{name}/exits",
            Needs::Token,
            ("exits", "reports of a service's last ends"),
            exits::exits,
        ),
        Route::read(
            "/api/v1/operations",
            STATUS,
            ("operations", "the last changes that were asked for"),
            operations::operations,
        ),
        Route::read(
            "/api/v1/operations/{id}",
            STATUS,
            ("operation", "what has become of one of them"),
            operations::operation,
        ),
        Route::read("/api/v1/events", Needs::Token, ("events", "what happened, and what happens"), events::events),
    ]
}

fn changes() -> Vec<Route> {
    vec![
        Route::change(
            "/api/v1/start",
            ("start_all", "start services; without names all with autostart"),
            act::start_all,
        ),
        Route::change(
            "/api/v1/stop",
            ("stop_all", "stop services; without names all, and the supervisor"),
            act::stop_all,
        ),
        Route::change(
            "/api/v1/restart",
            ("restart_all", "restart services; without names all that should run"),
            act::restart_all,
        ),
        Route::change(
            "/api/v1/reload",
            ("reload", "read the configuration again, and do what differs"),
            reload::reload,
        ),
        Route::change(
            "/api/v1/alerts/test",
            ("test_alerts", "send a test to alerts; without names to all"),
            alerts::test,
        ),
        Route::change("/api/v1/services/{name}/start", ("start", "start a service"), act::start),
        Route::change("/api/v1/services/{name}/stop", ("stop", "stop a service"), act::stop),
        Route::change("/api/v1/services/{name}/restart", ("restart", "restart a service"), act::restart),
        Route::change(
            "/api/v1/services/{name}/signal",
            ("signal", "send a signal to a service's main process"),
            act::signal,
        ),
    ]
}
