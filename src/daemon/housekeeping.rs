//! Prunes old rows.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::courier::give_up_orphans;
use super::ledger::{Endpoints, Ledger};
use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// How often old rows are pruned.
const TIDY_EVERY: Duration = Duration::from_secs(10 * 60);

/// Prunes watches that ended longer than `keep_ended` ago, and gives up deliveries to endpoints that are gone. Never returns
/// unless the store fails.
pub(super) async fn tidy(
    store: Arc<dyn Store>,
    keep_ended: Duration,
    endpoints: Endpoints,
    ledger: Arc<Ledger>,
    clock: Clock,
) -> Result<Infallible, StoreError> {
    loop {
        let now = clock.now();
        if let Some(before) = now.before(keep_ended) {
            let pruned = store.prune(before).await?;
            if pruned > 0 {
                tracing::info!(watches.pruned = pruned, "pruned old watches");
            }
        }
        give_up_orphans(&*store, &endpoints.all, now, |event| ledger.tell(event)).await?;
        clock.sleep_until(now.plus(TIDY_EVERY)).await;
    }
}
