//! Health and metrics, for supervisors, load balancers and monitoring.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use tokio::time::timeout;

use super::Shared;
use super::limits;
use super::problem::{Problem, Problems};
use crate::store::{Backlog, Counts, StoreError};

/// The daemon is well.
#[derive(Debug, Serialize)]
pub(super) struct Well {
    /// Which check was made.
    status: &'static str,
}

/// Whether the daemon is alive
///
/// Its server answers, and its runner makes passes. If this fails for long, restart the daemon.
pub(super) async fn healthz(State(shared): State<Arc<Shared>>) -> Result<Json<Well>, Problem> {
    if shared.service.health.is_alive(shared.service.clock.now()) {
        Ok(Json(Well { status: "alive" }))
    } else {
        Err(trouble("the runner has made no pass recently"))
    }
}

/// Whether the daemon is ready
///
/// It is alive, its store answers, no account's credential is refused, and it is not stopping. A restart helps with none of
/// these.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Result<Json<Well>, Problems> {
    let service = &shared.service;
    let mut troubles = service.health.troubles(service.clock.now());
    match timeout(limits::STORE, service.store.count()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => troubles.push(error.to_string()),
        Err(_) => troubles.push("the store does not answer".to_owned()),
    }
    Problems::of(troubles.into_iter().map(trouble).collect())?;
    Ok(Json(Well { status: "ready" }))
}

fn trouble(detail: impl Into<String>) -> Problem {
    Problem::unavailable("not-ready", "The daemon is not ready", detail)
}

/// Metrics
///
/// In Prometheus' text format.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let service = &shared.service;
    // `/readyz` reports a store that does not answer. The other metrics are still true.
    let asking = async {
        let store = &service.store;
        Ok::<_, StoreError>((store.count().await?, store.backlog().await?, store.active_accounts().await?))
    };
    if let Ok(Ok((counts, backlog, accounts))) = timeout(limits::STORE, asking).await {
        let Counts { active, ended, pending, undeliverable } = counts;
        service.metrics.set_counts(active, ended, pending, undeliverable);
        let now = service.clock.now();
        let aged = |Backlog { endpoint, pending, oldest }: Backlog| (endpoint, pending, now.since(oldest));
        let active: Vec<_> = accounts.into_iter().map(|active| (active.account, active.watches)).collect();
        service.metrics.set_parties(&backlog.into_iter().map(aged).collect::<Vec<_>>(), &active);
    }
    ([(CONTENT_TYPE, TEXT)], service.metrics.render()).into_response()
}
