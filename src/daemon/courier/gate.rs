//! What an endpoint gets, and when.
//!
//! * Backoff belongs to the endpoint. After a failure it gets nothing until its pause is over, and then one delivery, until
//!   one arrives. Then all that wait are due, in the order in which they were queued.
//! * What an endpoint refuses for its content waits by a pace of its own, and the others go on.
//! * A new delivery ends a pause early, unless the endpoint has asked for it, but not within 30 s of the failure.
//! * When a pause is over, the first in the queue goes first. If it has failed three times, another is tried right after it,
//!   as a second opinion. If that one arrives, the endpoint is well. A delivery that fails for the third time or more
//!   while its endpoint is well has a pace of its own too, and its failures no longer count. So nothing holds up an endpoint
//!   for ever.
//! * An endpoint with a limit gets its deliveries at even distances. One that has asked for a pause gets one a second for a
//!   while.

use std::time::Duration;

use crate::moment::Moment;
use crate::notify::{Attempt, LIMIT, asked, next_attempt, pause_of_endpoint};
use crate::store::{ClaimedDelivery, EndpointPace, IN_TURN, NextDelivery};
use crate::text::Text;

/// How many deliveries one endpoint gets at once. One that hangs does not delay the others.
const AT_ONCE: usize = 8;

/// After so many failures of a delivery, a second opinion is asked for.
const PATIENCE: u32 = 3;

/// An endpoint with a longer pause than this is dead: it has failed several times in a row.
const DEAD: Duration = Duration::from_secs(60);

/// A new delivery does not end a pause before this.
const NO_NEWS: Duration = Duration::from_secs(30);

/// For how many pauses a delivery is left out that has failed as a second opinion, at most.
const LEFT_OUT: u32 = 12;

/// How long an endpoint that has asked for a pause gets one delivery in each [`GENTLY`].
const GENTLE: Duration = Duration::from_secs(10 * 60);

const GENTLY: Duration = Duration::from_millis(1050);

/// What is known of an endpoint.
#[derive(Debug)]
pub(super) struct Gate {
    spacing: Option<Duration>,
    pace: EndpointPace,
    spaced_until: Moment,
    /// Whether a second opinion is asked for, although the endpoint is closed.
    second: bool,
    /// The number of pauses so far. An attempt from before a pause says nothing about the time after it.
    round: u64,
}

impl Gate {
    /// A gate before an endpoint with this pace, whose deliveries must be so far apart.
    pub(super) fn new(spacing: Option<Duration>, pace: EndpointPace) -> Self {
        let zero = Moment::from_unix_ms(0);
        Self { spacing, pace, spaced_until: zero, second: false, round: 0 }
    }

    /// How many deliveries may begin now.
    pub(super) fn room(&self, under_way: usize, now: Moment) -> usize {
        let free = self.most().saturating_sub(under_way);
        match self.spacing_at(now) {
            Some(_) if now < self.spaced_until => 0,
            Some(_) => free.min(1),
            None => free,
        }
    }

    /// Whether another delivery may begin while these are under way, now or later.
    pub(super) fn has_room(&self, under_way: usize) -> bool {
        under_way < self.most()
    }

    fn most(&self) -> usize {
        if self.pace.position.is_none() { AT_ONCE } else { 1 }
    }

    fn spacing_at(&self, now: Moment) -> Option<Duration> {
        self.spacing.max((now < self.pace.gentle_until).then_some(GENTLY))
    }

    /// The store says this of the pace, and so many deliveries begin of those for which there was room.
    pub(super) fn began(&mut self, pace: EndpointPace, room: usize, claimed: usize, now: Moment) {
        self.pace = pace;
        // There is nobody to ask, or the pause is over.
        if room > 0 && (claimed == 0 || now >= pace.open_at) {
            self.second = false;
        }
        if let Some(spacing) = self.spacing_at(now).filter(|_| claimed > 0) {
            self.spaced_until = now.plus(spacing);
        }
    }

    /// Whether a delivery may begin although the endpoint is closed: as a second opinion.
    pub(super) const fn even_if_closed(&self) -> bool {
        self.second
    }

    /// No delivery begins before.
    pub(super) const fn spaced_until(&self) -> Moment {
        self.spaced_until
    }

    /// What an attempt that begins now has to bring back.
    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    /// The pace, for the store. The distance to the next delivery is kept, too.
    pub(super) fn pace(&self) -> EndpointPace {
        EndpointPace { open_at: self.pace.open_at.max(self.spaced_until), ..self.pace }
    }

    /// Whether the endpoint has failed for long.
    pub(super) fn is_dead(&self) -> bool {
        self.pace.position.is_some_and(|position| position > DEAD)
    }

    /// Decides what follows from an attempt that began in this round.
    pub(super) fn take_in(
        &mut self,
        claimed: &ClaimedDelivery,
        attempt: Attempt,
        round: u64,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> NextDelivery {
        let is_current = round == self.round;
        match attempt {
            Attempt::Sent => {
                self.is_reached(is_current);
                NextDelivery::Sent
            }
            Attempt::Gone { problem } => NextDelivery::Undeliverable { problem },
            Attempt::Refused { problem, hint } => {
                self.is_reached(is_current);
                own(claimed, problem, hint, now, rng)
            }
            Attempt::Failed { problem, hint } if claimed.pace.is_some() => {
                if hint.is_some() {
                    self.closes_until(now.plus(asked(hint, rng)));
                }
                own(claimed, problem, None, now, rng)
            }
            Attempt::Failed { problem, hint } => {
                let is_well = self.pace.position.is_none();
                let at = match is_current {
                    true => self.fails(claimed.attempts + 1, hint, now, rng),
                    false => {
                        self.closes_until(now.plus(asked(hint, rng)));
                        IN_TURN
                    }
                };
                if now.since(claimed.delivery.at) >= LIMIT {
                    return NextDelivery::Undeliverable { problem };
                }
                match is_current && is_well && claimed.attempts + 1 >= PATIENCE {
                    true => own(claimed, problem, None, now, rng),
                    false => NextDelivery::Due { at, pace: claimed.pace, problem },
                }
            }
        }
    }

    fn is_reached(&mut self, is_current: bool) {
        if is_current {
            let gentle_until = self.pace.gentle_until;
            self.pace = EndpointPace { gentle_until, ..EndpointPace::default() };
            self.second = false;
        }
    }

    /// The endpoint has failed, at the delivery's try of this number. Returns when that one is due again.
    fn fails(&mut self, tries: u32, hint: Option<Duration>, now: Moment, rng: &mut fastrand::Rng) -> Moment {
        self.round += 1;
        if hint.is_some() {
            self.pace.gentle_until = now.plus(GENTLE);
        }
        if std::mem::take(&mut self.second) {
            // It agrees with the first.
            self.closes_until(now.plus(asked(hint, rng)));
            let left_out = tries.saturating_sub(PATIENCE - 1).min(LEFT_OUT);
            let pause = self.pace.open_at.since(now);
            return if left_out == 0 { IN_TURN } else { self.pace.open_at.plus(pause * left_out) };
        }
        let was_well = self.pace.position.is_none();
        let pause = pause_of_endpoint(&mut self.pace.position, hint, rng);
        self.pace.open_at = now.plus(pause);
        self.pace.floor = now.plus(if hint.is_some() { pause } else { pause.min(NO_NEWS) });
        self.second = !was_well && tries >= PATIENCE && hint.is_none();
        if self.second { self.pace.open_at } else { IN_TURN }
    }

    /// The endpoint has asked for a pause.
    fn closes_until(&mut self, until: Moment) {
        self.pace.open_at = self.pace.open_at.max(until);
        self.pace.floor = self.pace.floor.max(until);
    }
}

/// By the delivery's own pace.
fn own(
    claimed: &ClaimedDelivery,
    problem: Text,
    hint: Option<Duration>,
    now: Moment,
    rng: &mut fastrand::Rng,
) -> NextDelivery {
    match next_attempt(claimed.delivery.at, claimed.pace, hint, now, rng) {
        Some((delay, pace)) => NextDelivery::Due { at: now.plus(delay), pace, problem },
        None => NextDelivery::Undeliverable { problem },
    }
}
