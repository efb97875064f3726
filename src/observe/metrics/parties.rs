//! Metrics of each endpoint and each account of the settings.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{DELIVERY_RESULTS, counters, gauges};

/// Endpoints and accounts.
#[derive(Debug)]
pub(super) struct Parties {
    pending: IntGaugeVec,
    oldest: IntGaugeVec,
    attempts: IntCounterVec,
    blocked: IntGaugeVec,
    budget: IntGaugeVec,
    watches: IntGaugeVec,
    unauthorized: IntGaugeVec,
    endpoints: Mutex<BTreeSet<String>>,
    accounts: Mutex<BTreeSet<Arc<str>>>,
}

impl Parties {
    /// Metrics of a daemon that has just started.
    pub(super) fn new(registry: &Registry, unauthorized: &str, names: [&str; 6]) -> Self {
        let [pending, oldest, attempts, blocked, budget, watches] = names;
        let of_endpoint = |name, help| gauges(registry, name, help, &["endpoint"]);
        let of_account = |name, help| gauges(registry, name, help, &["account"]);
        Self {
            pending: of_endpoint(pending, "Notifications that an endpoint is owed."),
            oldest: of_endpoint(oldest, "For how long an endpoint has been owed the oldest of them."),
            attempts: counters(
                registry,
                attempts,
                "Attempts to deliver to an endpoint, by what followed.",
                &["endpoint", "result"],
            ),
            blocked: of_account(
                blocked,
                "Whether an account's polls pause, because of its credential or a 429.",
            ),
            budget: of_account(budget, "How many requests an account may send at once now."),
            watches: of_account(watches, "Watches of an account that have not ended."),
            unauthorized: of_account(unauthorized, "Whether Snyk refuses the credential of an account."),
            endpoints: Mutex::default(),
            accounts: Mutex::default(),
        }
    }

    /// See [`Metrics::set_endpoints`](super::Metrics::set_endpoints).
    pub(super) fn set_endpoints(&self, endpoints: BTreeSet<String>) {
        let mut known = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        // An error means that it is gone already.
        for gone in known.difference(&endpoints) {
            let _ = self.pending.remove_label_values(&[gone]);
            let _ = self.oldest.remove_label_values(&[gone]);
            for result in DELIVERY_RESULTS {
                let _ = self.attempts.remove_label_values(&[gone.as_str(), result]);
            }
        }
        for endpoint in &endpoints {
            let _ = self.pending.with_label_values(&[endpoint]);
            let _ = self.oldest.with_label_values(&[endpoint]);
            for result in DELIVERY_RESULTS {
                let _ = self.attempts.with_label_values(&[endpoint.as_str(), result]);
            }
        }
        *known = endpoints;
    }

    /// See [`Metrics::set_accounts`](super::Metrics::set_accounts).
    pub(super) fn set_accounts(&self, accounts: &BTreeSet<Arc<str>>) {
        let mut known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let all = [&self.blocked, &self.budget, &self.watches, &self.unauthorized];
        for gauges in all {
            for gone in known.difference(accounts) {
                // An error means that it is gone already.
                let _ = gauges.remove_label_values(&[gone]);
            }
            for account in accounts {
                let _ = gauges.with_label_values(&[account]);
            }
        }
        known.clone_from(accounts);
    }

    /// An attempt to deliver to an endpoint of the settings.
    pub(super) fn attempted(&self, endpoint: &str, result: &str) {
        self.attempts.with_label_values(&[endpoint, result]).inc();
    }

    /// Sets what each endpoint is owed: how many deliveries, and for how long the oldest.
    pub(super) fn set_backlog(&self, backlog: &[(String, u64, Duration)]) {
        let known = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        for endpoint in known.iter() {
            let owed = backlog.iter().find(|(name, ..)| name == endpoint);
            let (pending, age) = owed.map_or((0, Duration::ZERO), |(_, pending, age)| (*pending, *age));
            self.pending.with_label_values(&[endpoint]).set(whole(pending));
            self.oldest.with_label_values(&[endpoint]).set(whole(age.as_secs()));
        }
    }

    /// Sets how many watches of each account have not ended.
    pub(super) fn set_active(&self, active: &[(String, u64)]) {
        let known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        for account in known.iter() {
            let count = active.iter().find(|(name, _)| **name == **account).map_or(0, |(_, count)| *count);
            self.watches.with_label_values(&[account]).set(whole(count));
        }
    }

    /// See [`Metrics::set_account`](super::Metrics::set_account).
    pub(super) fn set_account(&self, account: &str, is_blocked: bool, left: Option<usize>) {
        self.blocked.with_label_values(&[account]).set(is_blocked.into());
        let left = left.map_or(0, |left| i64::try_from(left).unwrap_or(i64::MAX));
        self.budget.with_label_values(&[account]).set(left);
    }

    /// Sets whether Snyk refuses the credential of an account.
    pub(super) fn set_unauthorized(&self, account: &str, is_refused: bool) {
        self.unauthorized.with_label_values(&[account]).set(is_refused.into());
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn each_endpoint_and_each_account_has_its_own() {
        let metrics = Metrics::new();
        metrics.set_endpoints(BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        metrics.set_accounts(&["acme", "beta"].map(Arc::from).into());
        metrics.set_parties(
            &[("a".to_owned(), 3, Duration::from_secs(90)), ("gone".to_owned(), 1, Duration::ZERO)],
            &[("acme".to_owned(), 7)],
        );
        metrics.set_account("beta", true, Some(4));
        let text = metrics.render();
        for line in [
            "snyk_export_deliveries_pending{endpoint=\"a\"} 3",
            "snyk_export_deliveries_pending{endpoint=\"b\"} 0",
            "snyk_export_deliveries_oldest_pending_seconds{endpoint=\"a\"} 90",
            "snyk_export_delivery_attempts_total{endpoint=\"b\",result=\"given_up\"} 0",
            "snyk_export_account_watches{account=\"acme\"} 7",
            "snyk_export_account_blocked{account=\"acme\"} 0",
            "snyk_export_account_blocked{account=\"beta\"} 1",
            "snyk_export_account_budget{account=\"beta\"} 4",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
        }
        assert!(!text.contains("gone"), "{text}");
        metrics.set_endpoints(BTreeSet::from(["b".to_owned()]));
        metrics.set_accounts(&[Arc::from("beta")].into());
        let text = metrics.render();
        assert!(!text.contains("endpoint=\"a\"") && !text.contains("acme"), "{text}");
    }
}
