//! The clock of a daemon that starts with a store: how much time has passed since that was last written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::clock::Clock;
use crate::moment::Moment;
use crate::runner::Account;
use crate::snyk::Client;
use crate::store::{Store, StoreError};

/// How far the clock may be from the store's last moment before somebody else is asked, and a warning is logged.
const FAR: Duration = Duration::from_secs(60 * 60);

/// How long an API may take to say what time it is.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The clock, from the store's last moment on.
pub(super) async fn resumed(
    clock: Clock,
    store: &dyn Store,
    accounts: &[Account<Arc<Client>>],
) -> Result<Clock, StoreError> {
    let Some(last) = store.last_moment().await? else { return Ok(clock) };
    let since_last = |now: Moment| now.wall().saturating_sub(last.wall());
    let passed = since_last(clock.now());
    let theirs = if passed > FAR { date(accounts).await.map(since_last) } else { None };
    let most = credible(passed, theirs);
    let now = clock.now();
    if last.wall().saturating_sub(now.wall()) > FAR {
        tracing::warn!(
            store.last = %last,
            hint = "if the clock is wrong now, stop the daemon, set the clock, and start again; no watch ends because of it",
            "the clock was set back since the store was last written"
        );
    } else if most + FAR < passed {
        tracing::warn!(
            store.last = %last,
            hint = "if the clock is wrong, set it and start again; if it is right, limits are later by the time in between",
            "the API does not confirm how long ago the store was last written, the time in between counts only in part"
        );
    } else if passed > FAR {
        tracing::warn!(
            store.last = %last,
            hint = "if the daemon was not stopped for so long, the clock was wrong before: add watches that have timed out again \
                    (DELETE, then POST); send notifications that were given up with `deliveries redeliver`",
            "the store was last written more than an hour ago"
        );
    }
    Ok(clock.after(last, most))
}

/// How much time counts: what our clock and that of an API agree on. Without an API it is little, because a wrong clock must
/// not end all watches.
fn credible(ours: Duration, theirs: Option<Duration>) -> Duration {
    ours.min(theirs.unwrap_or_default().max(FAR))
}

/// What time it is, as the APIs of these accounts say: the latest, because one may be wrong.
async fn date(accounts: &[Account<Arc<Client>>]) -> Option<Moment> {
    let mut asked = BTreeSet::new();
    let different = accounts.iter().filter(|account| asked.insert(account.poller.api().to_string()));
    let dates = join_all(different.map(|account| account.poller.date(ANSWER_WITHIN))).await;
    dates.into_iter().flatten().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_two_clocks_agree_on_counts() {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        let rows = [
            ("a short stop needs nobody", 10 * MINUTE, None, 10 * MINUTE),
            ("a stop of two days", 2 * DAY, Some(2 * DAY), 2 * DAY),
            ("the API's clock differs a little", 2 * DAY, Some(2 * DAY - MINUTE), 2 * DAY - MINUTE),
            ("our clock is 400 days ahead", 400 * DAY, Some(10 * MINUTE), 60 * MINUTE),
            ("our clock is ahead, after a stop of two days", 400 * DAY, Some(2 * DAY), 2 * DAY),
            ("the API's clock is ahead", 2 * DAY, Some(400 * DAY), 2 * DAY),
            ("nobody answers", 2 * DAY, None, 60 * MINUTE),
        ];
        for (what, ours, theirs, counts) in rows {
            let [ours, counts] = [ours, counts].map(Duration::from_secs);
            assert_eq!(credible(ours, theirs.map(Duration::from_secs)), counts, "{what}");
        }
    }
}
