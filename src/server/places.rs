//! Which connections there may be: so many in all and from each address, and a few more for health checks from this machine.
//! If there is no room, the connection that has waited longest for its client (for a request, or to send an answer) is closed.
//! A new connection, whose first request may be in flight, is closed only if there is no other and no place for a health check.
//! While half of the places are taken, connections are closed after their answers, so that nobody keeps a place by many
//! requests at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::limits;
use crate::moment::Moment;

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// By number. Older connections have smaller numbers.
    connections: BTreeMap<u64, Connection>,
    /// Counts connections and changes of their states, to order them.
    count: u64,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    only_health: bool,
    /// Since when its first request has been waited for; `None` after it.
    new_since: Option<Moment>,
    /// Since when it has waited for a request; `None` while one is answered.
    idle_since: Option<u64>,
    /// Since when its client has received nothing of what is sent.
    stalled_since: Option<u64>,
    /// The share of [`limits::OUTSTANDING`] that its answer has until it is sent.
    room: Option<OwnedSemaphorePermit>,
    gone: Arc<Notify>,
}

/// The place of a connection. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    /// The client's address.
    pub(super) address: IpAddr,
    /// Whether it is a place for health checks.
    pub(super) only_health: bool,
    /// Notifies the connection that it has to be closed.
    pub(super) gone: Arc<Notify>,
    is_answering: AtomicBool,
}

impl Places {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `address`, if there is one, and the address of the connection that is closed for it, if one
    /// is.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, now: Moment) -> Option<(Place, Option<IpAddr>)> {
        let address = address.to_canonical();
        let mut held = self.held();
        let (is_own_full, is_full) = held.is_full(address, 1);
        let (only_health, makes_room) = if is_full {
            let competes = |it: &Connection| !it.only_health && (it.address == address || !is_own_full);
            let is_known = |it: &Connection| competes(it) && !it.is_new(now);
            let is_health = |it: &Connection| it.only_health;
            let has_health = address.is_loopback() && held.count(is_health) < limits::CONNECTIONS_FOR_HEALTH;
            if let Some(oldest) = held.oldest_waiting(is_known) {
                (false, Some(oldest))
            } else if has_health {
                (true, None)
            } else if let Some(oldest) = held.oldest_waiting(competes) {
                (false, Some(oldest))
            } else {
                (true, Some(held.oldest_waiting(is_health).filter(|_| address.is_loopback())?))
            }
        } else {
            (false, None)
        };
        let lost = makes_room.and_then(|number| held.connections.remove(&number));
        let place = Place {
            places: Arc::clone(self),
            number: held.next(),
            address,
            only_health,
            gone: Arc::default(),
            is_answering: AtomicBool::new(false),
        };
        let gone = Arc::clone(&place.gone);
        let (new_since, idle_since, stalled_since, room) = (None, None, None, None);
        let connection =
            Connection { address, only_health, new_since, idle_since, stalled_since, room, gone };
        held.connections.insert(place.number, connection);
        let lost = lost.map(|lost| {
            lost.gone.notify_one();
            lost.address
        });
        Some((place, lost))
    }
}

impl Held {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn count(&self, of: impl Fn(&Connection) -> bool) -> usize {
        self.connections.values().filter(|connection| of(connection)).count()
    }

    /// Whether a part of the places of an address is taken; and whether that is so, or the same part of all places is.
    fn is_full(&self, address: IpAddr, part: usize) -> (bool, bool) {
        let of_address = self.count(|it| !it.only_health && it.address == address);
        let is_own_full = of_address >= limits::CONNECTIONS_EACH / part;
        (is_own_full, is_own_full || self.count(|it| !it.only_health) >= limits::CONNECTIONS / part)
    }

    /// Among these connections, the one that has waited longest for its client.
    fn oldest_waiting(&self, of: impl Fn(&Connection) -> bool) -> Option<u64> {
        let some = self.connections.iter().filter(|(_, connection)| of(connection));
        some.filter_map(|(number, connection)| Some((connection.waits_since()?, *number)))
            .min()
            .map(|(_, it)| it)
    }
}

impl Connection {
    /// Whether its first request may still be in flight.
    fn is_new(&self, now: Moment) -> bool {
        self.new_since.is_some_and(|since| now.since(since) < limits::FIRST_REQUEST)
    }

    fn waits_since(&self) -> Option<u64> {
        self.stalled_since.or(self.idle_since)
    }
}

impl Place {
    fn change(&self, change: impl FnOnce(&mut Connection, u64)) {
        let mut held = self.places.held();
        let now = held.next();
        if let Some(connection) = held.connections.get_mut(&self.number) {
            change(connection, now);
        }
    }

    /// The first request is waited for from now on. Until then the connection is not closed: its request may be there.
    pub(super) fn waits(&self, now: Moment) {
        self.change(|connection, count| {
            (connection.idle_since, connection.new_since) = (Some(count), Some(now));
        });
    }

    /// Whether half of the places are taken, of this address or in all.
    pub(super) fn is_crowded(&self) -> bool {
        self.places.held().is_full(self.address, 2).1
    }

    /// The client has stopped receiving, or receives again.
    pub(super) fn stalls(&self, stalls: bool) {
        self.change(|connection, now| connection.stalled_since = stalls.then_some(now));
    }

    /// Whether its first request is waited for.
    pub(super) fn is_new(&self) -> bool {
        let held = self.places.held();
        held.connections.get(&self.number).is_some_and(|connection| connection.new_since.is_some())
    }

    /// A request has arrived.
    pub(super) fn asked(&self) {
        self.change(|connection, _| (connection.idle_since, connection.new_since) = (None, None));
    }

    /// The answer is ready to be sent. It keeps `room` until it is sent.
    pub(super) fn answers(&self, room: Option<OwnedSemaphorePermit>) {
        self.change(|connection, _| connection.room = room);
        self.is_answering.store(true, Ordering::Relaxed);
    }

    /// Everything is sent that was ready to be sent.
    pub(super) fn sent(&self) {
        if self.is_answering.swap(false, Ordering::Relaxed) {
            self.change(|connection, now| (connection.room, connection.idle_since) = (None, Some(now)));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    /// When the connections of a test are no longer new.
    fn later() -> Moment {
        Moment::default().plus(limits::FIRST_REQUEST)
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// The place, whose connection has waited for its first request from the start on.
    #[track_caller]
    fn taken(taken: Option<(Place, Option<IpAddr>)>) -> Place {
        let (place, lost) = taken.unwrap();
        assert_eq!(lost, None);
        place.waits(Moment::default());
        place
    }

    #[track_caller]
    fn in_place_of(taken: Option<(Place, Option<IpAddr>)>, address: IpAddr) -> Place {
        let (place, lost) = taken.unwrap();
        assert_eq!(lost, Some(address));
        place
    }

    fn answered(place: &Place) {
        place.answers(None);
        place.sent();
    }

    fn is_gone(place: &Place) -> bool {
        place.gone.notified().now_or_never().is_some()
    }

    #[test]
    fn an_address_has_a_limit_and_closes_its_own_connections() {
        let places = Arc::new(Places::default());
        let mut own: Vec<Place> = (0..limits::CONNECTIONS_EACH)
            .map(|_| taken(places.take(address(1), Moment::default())))
            .collect();
        let other = taken(places.take(address(2), later()));
        // The first has been answered since, and the second is being answered.
        own[0].asked();
        answered(&own[0]);
        own[1].asked();
        let new = in_place_of(places.take(address(1), later()), address(1));
        assert!(is_gone(&own[2]) && !is_gone(&own[0]) && !is_gone(&own[1]) && !is_gone(&other));
        answered(&own[1]);
        // A place that was dropped is free.
        own.remove(2);
        drop(new);
        own.push(taken(places.take(address(1), later())));
    }

    #[test]
    fn a_client_that_does_not_receive_its_answer_makes_room() {
        let places = Arc::new(Places::default());
        let own: Vec<Place> = (0..limits::CONNECTIONS_EACH)
            .map(|_| taken(places.take(address(1), Moment::default())))
            .collect();
        own.iter().for_each(Place::asked);
        assert!(places.take(address(1), later()).is_none());
        [3, 2, 4].iter().for_each(|n: &usize| own[*n].stalls(true));
        own[3].stalls(false);
        let _new = in_place_of(places.take(address(1), later()), address(1));
        assert!(is_gone(&own[2]) && !is_gone(&own[3]) && !is_gone(&own[4]));
    }

    #[test]
    fn there_is_a_limit_for_all_and_room_for_health_checks_from_this_machine() {
        let places = Arc::new(Places::default());
        let all: Vec<Place> =
            (0..limits::CONNECTIONS)
                .map(|n| {
                    taken(places.take(
                        address(u8::try_from(n / limits::CONNECTIONS_EACH).unwrap()),
                        Moment::default(),
                    ))
                })
                .collect();
        let newest = in_place_of(places.take(address(9), later()), address(0));
        assert!(is_gone(&all[0]));
        all.iter().chain([&newest]).for_each(Place::asked);
        assert!(places.take(address(10), later()).is_none());
        let health: Vec<Place> = (0..limits::CONNECTIONS_FOR_HEALTH)
            .map(|_| taken(places.take(HERE, Moment::default())))
            .collect();
        assert!(health.iter().all(|place| place.only_health));
        let place = in_place_of(places.take(HERE, later()), HERE);
        assert!(place.only_health && is_gone(&health[0]));
        all.iter().for_each(answered);
        assert!(!in_place_of(places.take(HERE, later()), address(0)).only_health);
    }

    #[test]
    fn a_new_connection_keeps_its_place_until_its_first_request() {
        let (places, start) = (Arc::new(Places::default()), Moment::default());
        let mut own: Vec<Place> =
            (0..limits::CONNECTIONS_EACH).map(|_| taken(places.take(HERE, start))).collect();
        let new = own.pop().unwrap();
        own.iter().for_each(Place::asked);
        // All others are being answered: it is the only one that waits for its client.
        let health: Vec<Place> =
            (0..limits::CONNECTIONS_FOR_HEALTH).map(|_| taken(places.take(HERE, start))).collect();
        assert!(health.iter().all(|place| place.only_health) && !is_gone(&new));
        // A connection that has been answered is closed first, even if it has waited less.
        own.iter().for_each(answered);
        let next = in_place_of(places.take(HERE, start), HERE);
        assert!(is_gone(&own[0]) && !is_gone(&new) && !next.only_health);
        // Nor is one closed that has not been looked at.
        let (unseen, _) = places.take(address(3), start).unwrap();
        let held = places.held().connections[&unseen.number].waits_since();
        assert_eq!(held, None);
        // A connection that sends nothing is not new for long.
        let later = start.plus(limits::FIRST_REQUEST);
        own.iter().for_each(Place::asked);
        let _next = in_place_of(places.take(HERE, later), HERE);
        assert!(is_gone(&new));
    }

    #[test]
    fn it_is_crowded_while_half_of_the_places_are_taken() {
        let places = Arc::new(Places::default());
        let mut own: Vec<Place> =
            (0..limits::CONNECTIONS_EACH / 2).map(|_| taken(places.take(address(1), later()))).collect();
        let other = taken(places.take(address(2), later()));
        assert!(own[0].is_crowded() && !other.is_crowded());
        own.pop();
        assert!(!own[0].is_crowded());
    }

    #[test]
    fn if_all_connections_are_new_the_oldest_is_closed() {
        let (places, start) = (Arc::new(Places::default()), Moment::default());
        let all = limits::CONNECTIONS_EACH + limits::CONNECTIONS_FOR_HEALTH;
        let all: Vec<Place> = (0..all).map(|_| taken(places.take(HERE, start))).collect();
        let next = in_place_of(places.take(HERE, start), HERE);
        assert!(is_gone(&all[0]) && !is_gone(&all[1]) && !next.only_health);
    }
}
