//! The courier: delivers notifications to an endpoint, and retries until they arrive or it is too late.
//!
//! Each endpoint has its own courier, so that a slow or dead endpoint delays neither polls nor other endpoints.

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::event::{Attempted, Event, What};
use crate::moment::Moment;
use crate::notify::{Attempt, LIMIT, Recipient, next_attempt};
use crate::store::{ClaimedDelivery, DeliveryRecord, GivenUp, NextDelivery, Outbox, StoreError};
use crate::text::Text;

/// How many deliveries one endpoint gets at once. One that hangs does not delay the others.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// How long a courier sleeps at most: endpoints change, and so do their deliveries.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Delivers to one endpoint.
#[derive(Debug)]
pub(crate) struct Courier<S, R, T> {
    /// Keeps the deliveries.
    pub(crate) store: S,
    /// The endpoint.
    pub(crate) endpoint: Arc<R>,
    /// The clock.
    pub(crate) clock: Clock,
    /// Wakes the courier when there may be a new delivery.
    pub(crate) bell: Arc<Notify>,
    /// Tells the courier to start no more deliveries: another one takes over.
    pub(crate) retired: watch::Receiver<bool>,
    /// Is called with every event.
    pub(crate) tell: T,
}

impl<S: Deref<Target: Outbox>, R: Recipient, T: Fn(&Event)> Courier<S, R, T> {
    /// Runs until it is retired and its deliveries in flight are done. If it is dropped, these are cancelled, and retried later
    /// under the same ids.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn run(&self, mut rng: fastrand::Rng) -> Result<(), StoreError> {
        let mut under_way = FuturesUnordered::new();
        let mut retired = self.retired.clone();
        while !*retired.borrow() {
            let rung = self.bell.notified();
            let now = self.clock.now();
            let room = AT_ONCE.get() - under_way.len();
            let endpoint = self.endpoint.name().to_owned();
            let (claimed, due_at) = self.store.claim(endpoint, room, now).await?;
            under_way.extend(claimed.into_iter().map(|claimed| self.attempt(claimed)));
            let rest_until = due_at.unwrap_or(Moment::NEVER).min(now.plus(LONGEST_REST));
            let has_room = under_way.len() < AT_ONCE.get();
            tokio::select! {
                biased;
                _ = retired.changed() => {}
                Some((claimed, attempt)) = under_way.next() => self.take_in(claimed, attempt, &mut rng).await?,
                () = rung, if has_room => {}
                () = self.clock.sleep_until(rest_until), if has_room => {}
            }
        }
        while let Some((claimed, attempt)) = under_way.next().await {
            self.take_in(claimed, attempt, &mut rng).await?;
            // The courier that took over does not know when this one is due again.
            self.bell.notify_waiters();
        }
        Ok(())
    }

    async fn attempt(&self, claimed: ClaimedDelivery) -> (ClaimedDelivery, Attempt) {
        let delivery = &claimed.delivery;
        let attempt = self.endpoint.deliver(&delivery.id, &delivery.event).await;
        (claimed, attempt)
    }

    /// Records the result of an attempt, and then reports it.
    async fn take_in(
        &self,
        claimed: ClaimedDelivery,
        attempt: Attempt,
        rng: &mut fastrand::Rng,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let owed_at = claimed.delivery.at;
        let next = match attempt {
            Attempt::Sent => NextDelivery::Sent,
            Attempt::Gone { problem } => NextDelivery::Undeliverable { problem },
            Attempt::Failed { problem, hint } => {
                match next_attempt(owed_at, claimed.pace, hint, now, LIMIT, rng) {
                    Some((delay, pace)) => NextDelivery::Due { at: now.plus(delay), pace, problem },
                    None => NextDelivery::Undeliverable { problem },
                }
            }
        };
        let record = DeliveryRecord { claim: claimed.claim, at: now, next: next.clone() };
        self.store.record(vec![record]).await?;
        let attempted = Attempted {
            id: claimed.delivery.id,
            endpoint: self.endpoint.name().to_owned(),
            kind: Some(self.endpoint.kind()),
            watch: claimed.watch,
            attempts: claimed.attempts + 1,
        };
        let what = match next {
            NextDelivery::Sent => What::DeliverySent(attempted),
            NextDelivery::Due { at, problem, .. } => {
                What::DeliveryRetrying { attempted, problem, delay: at.since(now) }
            }
            NextDelivery::Undeliverable { problem } => What::DeliveryGivenUp { attempted, problem },
        };
        (self.tell)(&what.at(now));
        Ok(())
    }
}

/// Gives up deliveries to endpoints that the settings no longer name, once it is too late to deliver them. Until then the
/// endpoint may come back.
///
/// # Errors
///
/// When the store fails.
pub(super) async fn give_up_orphans(
    store: &(impl Outbox + ?Sized),
    known: &[Arc<impl Recipient>],
    now: Moment,
    tell: impl Fn(&Event),
) -> Result<(), StoreError> {
    let Some(owed_before) = now.before(LIMIT) else { return Ok(()) };
    let problem = Text::new("the settings no longer name this endpoint");
    for endpoint in store.owed_endpoints().await? {
        if known.iter().any(|known| known.name() == endpoint) {
            continue;
        }
        for given_up in store.give_up(endpoint.clone(), owed_before, problem.clone(), now).await? {
            let GivenUp { id, watch, attempts } = given_up;
            let attempted = Attempted { id, endpoint: endpoint.clone(), kind: None, watch, attempts };
            tell(&What::DeliveryGivenUp { attempted, problem: problem.clone() }.at(now));
        }
    }
    Ok(())
}
