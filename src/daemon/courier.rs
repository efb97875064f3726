//! The courier: brings notifications that are owed to their endpoints, until they are there or it is too late.
//!
//! Each endpoint has a courier of its own, so that one that is slow or dead delays neither polls nor other endpoints.

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

/// How many deliveries are brought to one endpoint at once: one that hangs does not hold the others up.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// How long a courier rests at most: endpoints change, and so does what is owed to them.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Brings what is owed to one endpoint.
#[derive(Debug)]
pub(crate) struct Courier<S, R, T> {
    /// Where what is owed is kept.
    pub(crate) store: S,
    /// The endpoint.
    pub(crate) endpoint: Arc<R>,
    /// What time it is.
    pub(crate) clock: Clock,
    /// Rings when something new may be owed.
    pub(crate) bell: Arc<Notify>,
    /// Says that nothing more is to be begun: others take over.
    pub(crate) retired: watch::Receiver<bool>,
    /// Hears of every event.
    pub(crate) tell: T,
}

impl<S: Deref<Target: Outbox>, R: Recipient, T: Fn(&Event)> Courier<S, R, T> {
    /// Works until it is retired and what it has begun is done, or until it is dropped, which breaks off what is under
    /// way: it is tried again later, under the same id.
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
            // Whoever has taken over does not know when it is due again.
            self.bell.notify_waiters();
        }
        Ok(())
    }

    async fn attempt(&self, claimed: ClaimedDelivery) -> (ClaimedDelivery, Attempt) {
        let delivery = &claimed.delivery;
        let attempt = self.endpoint.deliver(&delivery.id, &delivery.event).await;
        (claimed, attempt)
    }

    /// Keeps what came of an attempt, and then tells.
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

/// Gives up what is owed to endpoints that the settings no longer name, once it is too late; until then they may come
/// back.
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
