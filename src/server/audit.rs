//! Reports changes through the API and refused requests, at a limited rate: a client that floods the API must neither fill
//! the disk with log lines nor hide other events.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Tell;
use crate::clock::Clock;
use crate::event::{ApiEvent, What};
use crate::moment::Moment;

/// How many events of a kind are reported in a minute.
const A_MINUTE: u64 = 60;

const MINUTE: Duration = Duration::from_secs(60);

/// Reports events of the API.
pub(super) struct Audit {
    tell: Tell,
    clock: Clock,
    /// One for each kind of event.
    windows: Mutex<[Window; 3]>,
}

/// A minute of one kind of events.
#[derive(Debug, Default)]
struct Window {
    began: Option<Moment>,
    told: u64,
    omitted: u64,
    /// The last event that was left out.
    last: Option<ApiEvent>,
}

impl Window {
    /// Starts a new minute if the current one is over. Returns the last event that was left out, with the number of others.
    fn end(&mut self, now: Moment) -> Option<ApiEvent> {
        let is_over = self.began.is_none_or(|began| now.since(began) >= MINUTE);
        if !is_over {
            return None;
        }
        let ended = std::mem::take(self);
        ended.last.map(|last| ApiEvent { omitted: ended.omitted - 1, ..last })
    }

    /// The event, if it may still be reported in this minute.
    fn admit(&mut self, event: ApiEvent, now: Moment) -> Option<ApiEvent> {
        self.began.get_or_insert(now);
        if self.told < A_MINUTE {
            self.told += 1;
            return Some(event);
        }
        self.omitted += 1;
        self.last = Some(event);
        None
    }
}

impl Audit {
    pub(super) fn new(tell: Tell, clock: Clock) -> Self {
        Self { tell, clock, windows: Mutex::default() }
    }

    /// Reports an event, unless there were too many of its kind in this minute.
    pub(super) fn note(&self, event: ApiEvent) {
        let now = self.clock.now();
        let window = event.what as usize;
        let events = {
            let window = &mut self.windows.lock().unwrap_or_else(PoisonError::into_inner)[window];
            [window.end(now), window.admit(event, now)]
        };
        self.tell_all(events, now);
    }

    /// Reports every minute what was left out. Never returns.
    pub(super) async fn run(&self) -> std::convert::Infallible {
        loop {
            let now = self.clock.now();
            let left_out = {
                let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
                windows.each_mut().map(|window| window.end(now))
            };
            self.tell_all(left_out, now);
            self.clock.sleep_until(now.plus(MINUTE)).await;
        }
    }

    fn tell_all(&self, events: impl IntoIterator<Item = Option<ApiEvent>>, now: Moment) {
        events.into_iter().flatten().for_each(|event| (self.tell)(&What::Api(event).at(now)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::ApiWhat;
    use crate::event::Event;

    #[tokio::test(start_paused = true)]
    async fn events_above_the_limit_of_a_minute_are_counted() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell: Tell = {
            let told = Arc::clone(&told);
            Arc::new(move |event: &Event| {
                let What::Api(event) = &event.what else { unreachable!("there are no other events here") };
                told.lock().unwrap().push((event.what, event.omitted));
            })
        };
        let audit = Audit::new(tell, Clock::start());
        let note =
            |what| audit.note(ApiEvent { what, peer: "127.0.0.1".to_owned(), request: None, omitted: 0 });
        let taken = || std::mem::take(&mut *told.lock().unwrap());
        for _ in 0..1000 {
            note(ApiWhat::Refused);
        }
        assert_eq!(taken(), vec![(ApiWhat::Refused, 0); 60]);
        // Many events of one kind do not hide another kind.
        note(ApiWhat::Changed);
        assert_eq!(taken(), [(ApiWhat::Changed, 0)]);
        tokio::time::advance(MINUTE).await;
        note(ApiWhat::Refused);
        assert_eq!(taken(), [(ApiWhat::Refused, 939), (ApiWhat::Refused, 0)]);
        for _ in 0..62 {
            note(ApiWhat::Refused);
        }
        assert_eq!(taken().len(), 59);
        // They are reported even if there is no further event.
        let running = tokio::time::timeout(2 * MINUTE, audit.run()).await;
        assert!(running.is_err());
        assert_eq!(taken(), [(ApiWhat::Refused, 2)]);
    }
}
