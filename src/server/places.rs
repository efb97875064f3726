//! Which connections there may be: so many in all and from each address, and a few more for health checks from this machine.
//! Where there is no room, the connection is closed that has waited for its client for the longest: for a request, or to take
//! an answer. A new connection whose first request may be on its way is closed only if there is no other, and no place that is
//! kept for a health check.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::limits;
use crate::moment::Moment;

/// All places for connections.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// By their numbers: the older, the smaller.
    connections: BTreeMap<u64, Connection>,
    /// Counts connections and the ends of requests.
    count: u64,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    only_health: bool,
    /// When it came; nothing once it has sent a request.
    new_since: Option<Moment>,
    /// Since when it has waited for a request; nothing while one is answered.
    idle_since: Option<u64>,
    /// Since when its client has taken nothing of what was sent to it.
    stalled_since: Option<u64>,
    gone: Arc<Notify>,
}

/// The place of a connection, which is free when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    /// Where the connection has come from.
    pub(super) address: IpAddr,
    /// Whether it has a place that is kept for health checks.
    pub(super) only_health: bool,
    /// Is told when the connection has to make room.
    pub(super) gone: Arc<Notify>,
}

/// What became of a new connection.
#[derive(Debug)]
pub(super) enum Seat {
    /// It has a place.
    Taken(Place),
    /// It has a place, and the connection of this address has lost one.
    InPlaceOf(Place, IpAddr),
    /// There is no place for it.
    None,
}

/// While this lives a request is answered, and the connection is not idle.
#[derive(Debug)]
pub(super) struct Answering {
    places: Arc<Places>,
    number: u64,
}

impl Places {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `address`, if there is one.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, now: Moment) -> Seat {
        let address = address.to_canonical();
        let mut held = self.held();
        let count = |of: &dyn Fn(&Connection) -> bool| held.connections.values().filter(|it| of(it)).count();
        let is_usual = |it: &Connection| !it.only_health;
        let is_own = |it: &Connection| !it.only_health && it.address == address;
        let is_health = |it: &Connection| it.only_health;
        let is_own_full = count(&is_own) >= limits::CONNECTIONS_EACH;
        let (only_health, makes_room) = if !is_own_full && count(&is_usual) < limits::CONNECTIONS {
            (false, None)
        } else {
            let competes = |it: &Connection| if is_own_full { is_own(it) } else { is_usual(it) };
            let is_known = |it: &Connection| competes(it) && !it.is_new(now);
            let has_health = address.is_loopback() && count(&is_health) < limits::CONNECTIONS_FOR_HEALTH;
            if let Some(oldest) = held.oldest_waiting(is_known) {
                (false, Some(oldest))
            } else if has_health {
                (true, None)
            } else if let Some(oldest) = held.oldest_waiting(competes) {
                (false, Some(oldest))
            } else if let Some(oldest) = held.oldest_waiting(is_health).filter(|_| address.is_loopback()) {
                (true, Some(oldest))
            } else {
                return Seat::None;
            }
        };
        let lost = makes_room.and_then(|number| held.connections.remove(&number));
        let place = Place {
            places: Arc::clone(self),
            number: held.next(),
            address,
            only_health,
            gone: Arc::default(),
        };
        let (idle_since, gone) = (Some(place.number), Arc::clone(&place.gone));
        let new_since = Some(now);
        let connection =
            Connection { address, only_health, new_since, idle_since, stalled_since: None, gone };
        held.connections.insert(place.number, connection);
        match lost {
            Some(lost) => {
                lost.gone.notify_one();
                Seat::InPlaceOf(place, lost.address)
            }
            None => Seat::Taken(place),
        }
    }
}

impl Held {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Of some connections the one that has waited for its client for the longest.
    fn oldest_waiting(&self, of: impl Fn(&Connection) -> bool) -> Option<u64> {
        let some = self.connections.iter().filter(|(_, connection)| of(connection));
        some.filter_map(|(number, connection)| Some((connection.waits_since()?, *number)))
            .min()
            .map(|(_, it)| it)
    }
}

impl Connection {
    /// Whether its first request may still be on its way.
    fn is_new(&self, now: Moment) -> bool {
        self.new_since.is_some_and(|since| now.since(since) < limits::FIRST_REQUEST)
    }

    fn waits_since(&self) -> Option<u64> {
        self.stalled_since.or(self.idle_since)
    }
}

impl Place {
    /// The client takes nothing of what is sent to it, or takes it again.
    pub(super) fn stalls(&self, stalls: bool) {
        let mut held = self.places.held();
        let now = held.next();
        if let Some(connection) = held.connections.get_mut(&self.number) {
            connection.stalled_since = stalls.then_some(now);
        }
    }

    /// A request has come in.
    pub(super) fn answer(&self) -> Answering {
        if let Some(connection) = self.places.held().connections.get_mut(&self.number) {
            (connection.idle_since, connection.new_since) = (None, None);
        }
        Answering { places: Arc::clone(&self.places), number: self.number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held().connections.remove(&self.number);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut held = self.places.held();
        let now = held.next();
        if let Some(connection) = held.connections.get_mut(&self.number) {
            connection.idle_since = Some(now);
        }
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

    /// Long after all connections of a test came.
    fn later() -> Moment {
        Moment::default().plus(limits::FIRST_REQUEST)
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[track_caller]
    fn taken(seat: Seat) -> Place {
        match seat {
            Seat::Taken(place) => place,
            Seat::InPlaceOf(..) | Seat::None => panic!("{seat:?}"),
        }
    }

    #[track_caller]
    fn in_place_of(seat: Seat, address: IpAddr) -> Place {
        match seat {
            Seat::InPlaceOf(place, lost) if lost == address => place,
            Seat::Taken(_) | Seat::InPlaceOf(..) | Seat::None => panic!("{seat:?}"),
        }
    }

    fn is_gone(place: &Place) -> bool {
        place.gone.notified().now_or_never().is_some()
    }

    #[test]
    fn an_address_has_so_many_places_and_its_own_connections_make_room() {
        let places = Arc::new(Places::default());
        let mut own: Vec<Place> = (0..limits::CONNECTIONS_EACH)
            .map(|_| taken(places.take(address(1), Moment::default())))
            .collect();
        let other = taken(places.take(address(2), later()));
        // The first has asked since, and the second is asking.
        drop(own[0].answer());
        let answering = own[1].answer();
        let new = in_place_of(places.take(address(1), later()), address(1));
        assert!(is_gone(&own[2]) && !is_gone(&own[0]) && !is_gone(&own[1]) && !is_gone(&other));
        drop(answering);
        // A place that is given back is free.
        own.remove(2);
        drop(new);
        own.push(taken(places.take(address(1), later())));
    }

    #[test]
    fn who_takes_nothing_of_an_answer_makes_room() {
        let places = Arc::new(Places::default());
        let own: Vec<Place> = (0..limits::CONNECTIONS_EACH)
            .map(|_| taken(places.take(address(1), Moment::default())))
            .collect();
        let _busy: Vec<Answering> = own.iter().map(Place::answer).collect();
        assert!(matches!(places.take(address(1), later()), Seat::None));
        [3, 2, 4].iter().for_each(|n: &usize| own[*n].stalls(true));
        own[3].stalls(false);
        let _new = in_place_of(places.take(address(1), later()), address(1)).answer();
        assert!(is_gone(&own[2]) && !is_gone(&own[3]) && !is_gone(&own[4]));
    }

    #[test]
    fn there_are_so_many_places_in_all_and_some_more_for_health_checks_from_here() {
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
        let busy: Vec<Answering> = all.iter().chain([&newest]).map(Place::answer).collect();
        assert!(matches!(places.take(address(10), later()), Seat::None));
        let health: Vec<Place> = (0..limits::CONNECTIONS_FOR_HEALTH)
            .map(|_| taken(places.take(HERE, Moment::default())))
            .collect();
        assert!(health.iter().all(|place| place.only_health));
        let place = in_place_of(places.take(HERE, later()), HERE);
        assert!(place.only_health && is_gone(&health[0]));
        drop(busy);
        assert!(!in_place_of(places.take(HERE, later()), address(0)).only_health);
    }

    #[test]
    fn a_new_connection_keeps_its_place_until_its_first_request() {
        let (places, start) = (Arc::new(Places::default()), Moment::default());
        let mut own: Vec<Place> =
            (0..limits::CONNECTIONS_EACH).map(|_| taken(places.take(HERE, start))).collect();
        let new = own.pop().unwrap();
        let busy: Vec<Answering> = own.iter().map(Place::answer).collect();
        // All others are busy: it is the only one that waits for its client.
        let health: Vec<Place> =
            (0..limits::CONNECTIONS_FOR_HEALTH).map(|_| taken(places.take(HERE, start))).collect();
        assert!(health.iter().all(|place| place.only_health) && !is_gone(&new));
        // One that has had an answer goes first, even if it waits for a shorter time.
        drop(busy);
        let next = in_place_of(places.take(HERE, start), HERE);
        assert!(is_gone(&own[0]) && !is_gone(&new) && !next.only_health);
        // One that sends nothing is not new for long.
        let later = start.plus(limits::FIRST_REQUEST);
        let _busy: Vec<Answering> = own.iter().map(Place::answer).collect();
        let _next = in_place_of(places.take(HERE, later), HERE);
        assert!(is_gone(&new));
    }

    #[test]
    fn if_all_connections_are_new_the_oldest_goes() {
        let (places, start) = (Arc::new(Places::default()), Moment::default());
        let all = limits::CONNECTIONS_EACH + limits::CONNECTIONS_FOR_HEALTH;
        let all: Vec<Place> = (0..all).map(|_| taken(places.take(HERE, start))).collect();
        let next = in_place_of(places.take(HERE, start), HERE);
        assert!(is_gone(&all[0]) && !is_gone(&all[1]) && !next.only_health);
    }
}
