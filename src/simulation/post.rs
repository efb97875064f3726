//! Notifications: what is queued, delivered and given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::bounds;
use super::invent::rng;
use super::scene::{Weather, What};
use super::store::{Disk, Kept};
use super::world::World;
use crate::moment::Moment;
use crate::notify::{Attempt, LIMIT, Recipient};
use crate::store::{
    Claim, ClaimedDelivery, DeliveryRecord, GivenUp, IN_TURN, NewDelivery, Next, NextDelivery, Outbox, Pass,
    Reply, Turn,
};
use crate::text::Text;

/// How long an attempt may take.
const ATTEMPT: Duration = Duration::from_secs(30);

/// All deliveries that were ever queued, by id.
#[derive(Debug, Default)]
pub(super) struct Post {
    owed: BTreeMap<String, Owed>,
    /// Deliveries as they were before what a power cut would undo: the state, and whether there was a pace of its own.
    pub(super) undo: Vec<(String, State, bool)>,
    /// The last claim of each row, and the id in it.
    claims: BTreeMap<i64, (i64, String)>,
    /// For each endpoint: when the delivery was queued that had the latest first attempt.
    first_tries: BTreeMap<String, Moment>,
    /// For each endpoint: until when it is closed, and until when because it has asked for it. A power cut may undo it, and
    /// then it is forgotten.
    closed: BTreeMap<String, (Moment, Moment)>,
}

#[derive(Debug)]
struct Owed {
    endpoint: String,
    at: Moment,
    event: String,
    state: State,
    /// Whether it waits by a pace of its own, and not by the endpoint's.
    has_own_pace: bool,
    /// The result of the last attempt.
    last: Option<Attempt>,
    tried: u32,
    is_under_way: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Due(Moment),
    Sent,
    GivenUp,
}

impl Post {
    pub(super) fn take_back(&mut self) {
        while let Some((id, state, has_own_pace)) = self.undo.pop() {
            if let Some(owed) = self.owed.get_mut(&id) {
                (owed.state, owed.has_own_pace) = (state, has_own_pace);
            }
        }
        self.closed.clear();
    }

    /// A life has ended: attempts in flight are lost.
    pub(super) fn life_ends(&mut self) {
        self.claims.clear();
        self.first_tries.clear();
        self.owed.values_mut().for_each(|owed| owed.is_under_way = false);
    }

    /// Whether all deliveries are settled.
    pub(super) fn is_settled(&self) -> bool {
        !self.owed.values().any(|owed| matches!(owed.state, State::Due(_)))
    }
}

/// The deliveries that a pass queues, each with the number of its record, if it has one. `is_refused` says of which accounts
/// endpoints have been notified that their credential is refused.
pub(super) fn owed(pass: &Pass, is_refused: impl Fn(&str) -> bool) -> Vec<(Option<usize>, NewDelivery)> {
    let mut known = BTreeMap::new();
    let news = pass.news.iter().filter(|news| {
        let before = known.insert(&*news.account, news.is_refused);
        before.unwrap_or_else(|| is_refused(&news.account)) != news.is_refused
    });
    let news: Vec<_> = news.collect();
    let besides = news.into_iter().flat_map(|news| &news.deliveries).map(|delivery| (None, delivery.clone()));
    let of_ends = pass.records.iter().enumerate().flat_map(|(record, kept)| match &kept.next {
        Next::Ended(ended) => {
            ended.deliveries.iter().map(|delivery| (Some(record), delivery.clone())).collect()
        }
        Next::Due(_) => Vec::new(),
    });
    besides.chain(of_ends).collect()
}

impl World {
    /// The store has kept these deliveries.
    pub(super) fn owes(&self, owed: Vec<(Option<usize>, NewDelivery)>, kept: &[bool]) {
        let mut post = self.post.borrow_mut();
        for (record, NewDelivery { id, endpoint, event, at }) in owed {
            if record.is_some_and(|record| !kept.get(record).copied().unwrap_or(true)) {
                continue;
            }
            if post.owed.contains_key(&id) {
                self.violate(|| format!("{id} is owed twice"));
            }
            self.note([9, at.unix_ms(), 0], || format!("{id} is owed"));
            let at = Moment::from_unix_ms(at.unix_ms());
            let state = State::Due(IN_TURN);
            let (last, tried) = (None, 0);
            let new =
                Owed { endpoint, at, event, state, has_own_pace: false, last, tried, is_under_way: false };
            post.owed.insert(id, new);
        }
    }

    /// An attempt begins. Returns its number.
    fn attempt_begins(&self, endpoint: &str, id: &str, event: &str) -> u32 {
        let now = self.now();
        let mut post = self.post.borrow_mut();
        let post = &mut *post;
        self.note([21, now.unix_ms(), 0], || format!("{endpoint} is told of {id}"));
        let Some(owed) = post.owed.get_mut(id) else {
            self.violate(|| format!("{id} is delivered, and was never owed"));
            return 0;
        };
        if owed.endpoint != endpoint || owed.event != event {
            self.violate(|| format!("{id} is not delivered as it was owed"));
        }
        match owed.state {
            // What waits because of its endpoint is due again as soon as another arrives, or is queued.
            State::Due(at) if at <= now || !owed.has_own_pace => {}
            state => self.violate(|| format!("{id} is delivered, though it is {state:?}")),
        }
        if let Some((_, asked)) = post.closed.get(endpoint).filter(|(_, asked)| *asked > now) {
            self.violate(|| format!("{id} is delivered before {endpoint} wants it, at {asked}"));
        }
        if owed.is_under_way {
            self.violate(|| format!("{id} is delivered twice at once"));
        }
        if owed.tried == 0 {
            let last = post.first_tries.entry(endpoint.to_owned()).or_insert(owed.at);
            if owed.at < *last {
                self.violate(|| format!("{id} overtakes what is owed to {endpoint} for longer"));
            }
            *last = owed.at;
        }
        owed.tried += 1;
        owed.is_under_way = true;
        owed.tried
    }

    fn attempt_ends(&self, id: &str, attempt: &Attempt) {
        self.figures.borrow_mut().deliveries += 1;
        self.note([22, 0, 0], || format!("{id}: {attempt:?}"));
        if let Some(owed) = self.post.borrow_mut().owed.get_mut(id) {
            (owed.last, owed.is_under_way) = (Some(attempt.clone()), false);
        }
    }

    /// The store has kept the results of deliveries.
    fn is_recorded(&self, records: &[DeliveryRecord]) {
        let mut post = self.post.borrow_mut();
        let post = &mut *post;
        for DeliveryRecord { claim: Claim { row, fence }, at, next, pace } in records {
            let Some((latest, id)) = post.claims.get(row).cloned() else { continue };
            // A result from before a newer claim is not stored.
            let Some(owed) = post.owed.get_mut(&id).filter(|_| latest == *fence) else { continue };
            post.undo.push((id.clone(), owed.state, owed.has_own_pace));
            let open_at = pace.open_at.max(*at);
            let has_asked = matches!(owed.last, Some(Attempt::Failed { hint: Some(_), .. }));
            let (closed, asked) = post.closed.entry(owed.endpoint.clone()).or_default();
            *closed = pace.open_at;
            *asked = if has_asked { pace.floor } else { *asked };
            let limit = owed.at.plus(LIMIT);
            let (state, is_right) = match (next, &owed.last) {
                (NextDelivery::Sent, last) => (State::Sent, *last == Some(Attempt::Sent)),
                (NextDelivery::Due { at: due, .. }, Some(Attempt::Failed { hint, .. })) => {
                    let floor = hint.unwrap_or_default().min(Duration::from_secs(3600));
                    let is_patient = open_at.since(*at) >= floor && *at < limit;
                    // Nothing that an endpoint did not take waits much longer than the endpoint, or than it waits itself.
                    (State::Due(*due), is_patient && *due <= limit.plus(Duration::from_secs(2 * 3600)))
                }
                (NextDelivery::Undeliverable { .. }, Some(Attempt::Gone { .. })) => (State::GivenUp, true),
                (NextDelivery::Undeliverable { .. }, Some(Attempt::Failed { .. })) => {
                    (State::GivenUp, *at >= limit)
                }
                (NextDelivery::Due { at, .. }, _) => (State::Due(*at), false),
                (NextDelivery::Undeliverable { .. }, _) => (State::GivenUp, false),
            };
            owed.state = match state {
                State::Due(due) => State::Due(Moment::from_unix_ms(due.unix_ms())),
                settled => settled,
            };
            owed.has_own_pace = matches!(next, NextDelivery::Due { pace: Some(_), .. });
            if !is_right {
                self.violate(|| format!("{id} is {state:?}, after {:?}", owed.last));
            }
        }
    }

    /// The store has given these up, without another attempt.
    fn are_given_up(&self, given_up: &[GivenUp], now: Moment) {
        let mut post = self.post.borrow_mut();
        let post = &mut *post;
        for GivenUp { id, .. } in given_up {
            let Some(owed) = post.owed.get_mut(id) else { continue };
            post.undo.push((id.clone(), owed.state, owed.has_own_pace));
            if now.since(owed.at) < LIMIT || owed.is_under_way || !matches!(owed.state, State::Due(_)) {
                self.violate(|| format!("{id} is given up, though it is {:?}", owed.state));
            }
            owed.state = State::GivenUp;
        }
    }

    /// Each delivery is attempted soon after it is due.
    pub(super) fn must_be_brought(&self) {
        let now = self.now();
        let disturbed = self.state.borrow().disturbed;
        let post = self.post.borrow();
        let mut unsent: BTreeMap<&str, u32> = BTreeMap::new();
        for owed in post.owed.values().filter(|owed| owed.state != State::Sent) {
            *unsent.entry(&owed.endpoint).or_default() += 1;
        }
        for (id, owed) in &post.owed {
            let State::Due(due) = owed.state else { continue };
            let since =
                due.max(disturbed).max(post.closed.get(&owed.endpoint).map_or(IN_TURN, |closed| closed.0));
            let since = since.max(owed.at);
            let is_meant = |what: &What| match what {
                What::Endpoint { endpoint, .. } => name(*endpoint) == owed.endpoint,
                _ => false,
            };
            let rounds =
                unsent.get(&*owed.endpoint).copied().unwrap_or_default() / bounds::ATTEMPTS_AT_ONCE + 2;
            let bound = bounds::OWN + ATTEMPT * rounds;
            if now.since(since) <= bound {
                continue;
            }
            // One that was queued earlier goes first.
            let earlier =
                post.owed.values().filter(|other| other.endpoint == owed.endpoint && other.at <= owed.at);
            let turn = earlier.filter_map(|other| match other.state {
                State::Due(due) => Some(due),
                State::Sent | State::GivenUp => None,
            });
            let since = since.max(turn.max().unwrap_or(IN_TURN));
            let excused = self.is_excused(since) || self.is_troubled(since, is_meant);
            if now.since(since) > bound && !owed.is_under_way && !excused {
                self.violate(|| format!("{id} is due for {:?}, and is not brought", now.since(since)));
            }
        }
    }
}

/// The name of an endpoint.
pub(super) fn name(endpoint: usize) -> String {
    format!("endpoint-{endpoint}")
}

/// Where notifications go.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) world: Arc<World>,
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) takes: Duration,
}

impl Recipient for Ear {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "webhook"
    }

    async fn deliver(&self, id: &str, event: &str) -> Attempt {
        let tried = self.world.attempt_begins(&self.name, id, event);
        let (takes, attempt) = self.answer(tried);
        tokio::time::sleep(takes).await;
        self.world.attempt_ends(id, &attempt);
        attempt
    }
}

impl Ear {
    /// The result of an attempt, and how long it takes.
    fn answer(&self, tried: u32) -> (Duration, Attempt) {
        let failed = |hint| Attempt::Failed { problem: Text::new("it failed"), hint };
        let mut rng = rng(self.world.scene.seed, &self.name, tried as usize);
        match self.world.weather_at(self.id) {
            None | Some(Weather::Hints(_) | Weather::Retired { .. }) => (self.takes, Attempt::Sent),
            Some(Weather::Hangs) => (ATTEMPT, failed(None)),
            Some(Weather::Slow(by)) if self.takes + by < ATTEMPT => (self.takes + by, Attempt::Sent),
            Some(Weather::Slow(_)) => (ATTEMPT, failed(None)),
            Some(Weather::Code { code: 410, .. }) => {
                (self.takes, Attempt::Gone { problem: Text::new("HTTP 410") })
            }
            Some(Weather::Code { hint, .. }) => (self.takes, failed(hint)),
            Some(Weather::Unreachable | Weather::Untrusted) => (Duration::ZERO, failed(None)),
            Some(Weather::Flaky { percent, .. }) if rng.u8(0..100) < percent => (self.takes, failed(None)),
            Some(Weather::Flaky { .. }) => (self.takes, Attempt::Sent),
        }
    }
}

impl Outbox for Disk {
    fn claim(&self, endpoint: String, room: usize, now: Moment, even_if_closed: bool) -> Reply<Turn> {
        let Kept::File(file) = self.kept.clone() else { unreachable!("there are couriers over files only") };
        let world = Arc::clone(&self.world);
        self.call(async move {
            let turn = file.sqlite.claim(endpoint, room, now, even_if_closed).await?;
            let mut post = world.post.borrow_mut();
            for ClaimedDelivery { claim, delivery, .. } in &turn.claimed {
                post.claims.insert(claim.row, (claim.fence, delivery.id.clone()));
            }
            Ok(turn)
        })
    }

    fn record(&self, records: Vec<DeliveryRecord>) -> Reply<()> {
        let Kept::File(file) = self.kept.clone() else { unreachable!("there are couriers over files only") };
        let world = Arc::clone(&self.world);
        self.call(async move {
            file.sqlite.record(records.clone()).await?;
            world.is_recorded(&records);
            Ok(())
        })
    }

    fn owed_endpoints(&self) -> Reply<Vec<String>> {
        unreachable!("endpoints stay in the settings")
    }

    fn give_up(&self, endpoint: String, before: Moment, why: Text, now: Moment) -> Reply<Vec<GivenUp>> {
        let Kept::File(file) = self.kept.clone() else { unreachable!("there are couriers over files only") };
        let world = Arc::clone(&self.world);
        self.call(async move {
            let given_up = file.sqlite.give_up(endpoint, before, why, now).await?;
            world.are_given_up(&given_up, now);
            Ok(given_up)
        })
    }
}
