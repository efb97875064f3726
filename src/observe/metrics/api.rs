//! Metrics of the daemon's API.

use prometheus::{IntCounterVec, Registry};

/// The routes; every other path is `other`.
const ROUTES: [&str; 16] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/",
    "/watches/{id}",
    "/notifications",
    "/events",
    "/login",
    "/logout",
    "/v1/watches",
    "/v1/watches/{id}",
    "/v1/watches/{id}/deliveries/{delivery}/redeliver",
    "/v1/deliveries",
    "/v1/deliveries/{id}/redeliver",
    "other",
];

/// The codes of answers; every other one is `other`.
const CODES: [&str; 21] = [
    "200", "201", "202", "204", "303", "400", "401", "403", "404", "405", "408", "409", "413", "415", "422",
    "429", "431", "500", "503", "507", "other",
];

/// What happens to connections.
const CONNECTIONS: [&str; 3] = ["accepted", "closed", "refused"];

/// Requests and connections.
#[derive(Debug)]
pub(super) struct Api {
    requests: IntCounterVec,
    connections: IntCounterVec,
}

impl Api {
    /// Metrics of an API that has just started.
    pub(super) fn new(registry: &Registry, [requests, connections]: [&str; 2]) -> Self {
        let counters = super::counters;
        let help = "Requests to the daemon's API, by route and answer.";
        let requests = counters(registry, requests, help, &["route", "code"]);
        for (route, code) in ROUTES.iter().flat_map(|route| CODES.map(|code| (*route, code))) {
            let _ = requests.with_label_values(&[route, code]);
        }
        let help = "Connections to the daemon's API, by what became of them.";
        let connections = counters(registry, connections, help, &["result"]);
        for result in CONNECTIONS {
            let _ = connections.with_label_values(&[result]);
        }
        Self { requests, connections }
    }

    pub(super) fn answered(&self, route: &str, code: u16) {
        let code = code.to_string();
        let route = ROUTES.into_iter().find(|known| *known == route).unwrap_or("other");
        let code = CODES.into_iter().find(|known| *known == code).unwrap_or("other");
        self.requests.with_label_values(&[route, code]).inc();
    }

    pub(super) fn connected(&self, result: &str) {
        self.connections.with_label_values(&[result]).inc();
    }
}
