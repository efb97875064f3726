//! The courier: delivers notifications to an endpoint, and retries until they arrive or it is too late.
//!
//! Each endpoint has its own courier, so that a slow or dead endpoint delays neither polls nor other endpoints. What an
//! endpoint gets, and when, is decided in [`gate`].

mod gate;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use self::gate::Gate;
use crate::clock::Clock;
use crate::event::{Attempted, Event, What};
use crate::moment::Moment;
use crate::notify::{Attempt, LIMIT, Recipient};
use crate::store::{ClaimedDelivery, DeliveryRecord, GivenUp, NextDelivery, Outbox, StoreError, Turn};
use crate::text::Text;

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
    /// What is under way to the endpoint, also from couriers before this one.
    pub(crate) under_way: UnderWay,
    /// Is called with every event.
    pub(crate) tell: T,
}

/// How many deliveries are under way to an endpoint. Clones share the number, so that a reload does not begin as many again.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnderWay(Arc<AtomicUsize>);

/// One of them, until it is dropped.
struct Counted(UnderWay);

impl UnderWay {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
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
        let name = self.endpoint.name();
        let known = self.store.claim(name.to_owned(), 0, self.clock.now(), false).await?.pace;
        let mut gate = Gate::new(self.endpoint.spacing(), known);
        while !*retired.borrow() {
            let rung = self.bell.notified();
            let now = self.clock.now();
            let room = gate.room(self.under_way.count(), now);
            let anyway = gate.even_if_closed();
            let Turn { claimed, next_due, pace } =
                self.store.claim(name.to_owned(), room, now, anyway).await?;
            gate.began(pace, room, claimed.len(), now);
            under_way.extend(claimed.into_iter().map(|claimed| self.attempt(claimed, gate.round())));
            let next = next_due.unwrap_or(Moment::NEVER).max(gate.spaced_until());
            let rest_until = next.min(now.plus(LONGEST_REST));
            let has_room = gate.has_room(self.under_way.count());
            tokio::select! {
                biased;
                _ = retired.changed() => {}
                Some(attempt) = under_way.next() => self.take_in(attempt, &mut gate, &mut rng).await?,
                // The courier before this one rings when it has room again.
                () = rung => {}
                () = self.clock.sleep_until(rest_until), if has_room => {}
            }
        }
        while let Some(attempt) = under_way.next().await {
            self.take_in(attempt, &mut gate, &mut rng).await?;
            // The courier that took over does not know when this one is due again.
            self.bell.notify_waiters();
        }
        Ok(())
    }

    fn attempt(
        &self,
        claimed: ClaimedDelivery,
        round: u64,
    ) -> impl Future<Output = (ClaimedDelivery, Attempt, u64)> {
        // It counts from now on, and not only when it is first polled.
        let counted = self.under_way.begin();
        async move {
            let delivery = &claimed.delivery;
            let attempt = self.endpoint.deliver(&delivery.id, &delivery.event).await;
            drop(counted);
            (claimed, attempt, round)
        }
    }

    /// Records the result of an attempt, and then reports it.
    async fn take_in(
        &self,
        (claimed, attempt, round): (ClaimedDelivery, Attempt, u64),
        gate: &mut Gate,
        rng: &mut fastrand::Rng,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let next = gate.take_in(&claimed, attempt, round, now, rng);
        let pace = gate.pace();
        let record = DeliveryRecord { claim: claimed.claim, at: now, next: next.clone(), pace };
        self.store.record(vec![record]).await?;
        let export = export_of(&claimed.delivery.event);
        let attempted = self.attempted(claimed.delivery.id, claimed.watch, claimed.attempts + 1);
        let attempted = Attempted { export, ..attempted };
        let what = match next {
            NextDelivery::Sent => What::DeliverySent(attempted),
            NextDelivery::Due { at, problem, .. } => {
                let delay = at.max(pace.open_at).since(now);
                What::DeliveryRetrying { attempted, problem, delay }
            }
            NextDelivery::Undeliverable { problem } => {
                (self.tell)(&What::DeliveryGivenUp { attempted, problem: problem.clone() }.at(now));
                return if gate.is_dead() { self.give_up_old(now, problem).await } else { Ok(()) };
            }
        };
        (self.tell)(&what.at(now));
        Ok(())
    }

    /// Gives up all that is too old, also what was never tried: the endpoint has failed for as long.
    async fn give_up_old(&self, now: Moment, problem: Text) -> Result<(), StoreError> {
        let Some(owed_before) = now.before(LIMIT) else { return Ok(()) };
        let name = self.endpoint.name().to_owned();
        for given_up in self.store.give_up(name, owed_before, problem.clone(), now).await? {
            let attempted = self.attempted(given_up.id, given_up.watch, given_up.attempts);
            (self.tell)(&What::DeliveryGivenUp { attempted, problem: problem.clone() }.at(now));
        }
        Ok(())
    }

    fn attempted(&self, id: String, watch: Option<Uuid>, attempts: u32) -> Attempted {
        let (endpoint, kind) = (self.endpoint.name().to_owned(), Some(self.endpoint.kind()));
        Attempted { id, endpoint, kind, watch, export: None, attempts }
    }
}

/// The export that a notification is about: the end of the event's subject.
fn export_of(event: &str) -> Option<Uuid> {
    let event: serde_json::Value = serde_json::from_str(event).ok()?;
    event["subject"].as_str()?.rsplit('/').next()?.parse().ok()
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
            let attempted =
                Attempted { id, endpoint: endpoint.clone(), kind: None, watch, export: None, attempts };
            tell(&What::DeliveryGivenUp { attempted, problem: problem.clone() }.at(now));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
