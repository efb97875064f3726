//! Who has changed what through the API, and who was refused: told to those who mind the daemon, but not more often than a
//! log can bear. A client that floods the API must not be able to fill a disk, nor to hide what else was done.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Tell;
use crate::clock::Clock;
use crate::event::{ApiEvent, ApiWhat, What};
use crate::moment::Moment;

/// How many events of a kind are told in a minute.
const A_MINUTE: u64 = 60;

const MINUTE: Duration = Duration::from_secs(60);

/// Tells of what comes to the API.
pub(super) struct Audit {
    tell: Tell,
    clock: Clock,
    changed: Mutex<Window>,
    refused: Mutex<Window>,
    crowded: Mutex<Window>,
}

/// A minute of one kind of events.
#[derive(Debug, Default)]
struct Window {
    began: Option<Moment>,
    told: u64,
    omitted: u64,
    /// The last that was left out.
    last: Option<ApiEvent>,
}

impl Window {
    /// Ends a minute that is over: what was left out in it is told by its last event.
    fn end(&mut self, now: Moment) -> Option<ApiEvent> {
        let is_over = self.began.is_none_or(|began| now.since(began) >= MINUTE);
        if !is_over {
            return None;
        }
        let ended = std::mem::take(self);
        ended.last.map(|last| ApiEvent { omitted: ended.omitted - 1, ..last })
    }

    /// The event, if it may still be told in this minute.
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
        let [changed, refused, crowded] = [(); 3].map(|()| Mutex::default());
        Self { tell, clock, changed, refused, crowded }
    }

    /// Tells of an event, unless too many like it were told of in this minute.
    pub(super) fn note(&self, event: ApiEvent) {
        let now = self.clock.now();
        let window = match event.what {
            ApiWhat::Changed => &self.changed,
            ApiWhat::Refused => &self.refused,
            ApiWhat::Crowded => &self.crowded,
        };
        let (before, admitted) = {
            let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
            (window.end(now), window.admit(event, now))
        };
        before.into_iter().chain(admitted).for_each(|event| (self.tell)(&What::Api(event).at(now)));
    }

    /// Tells each minute of what was left out in it; for ever.
    pub(super) async fn run(&self) -> std::convert::Infallible {
        loop {
            let now = self.clock.now();
            for window in [&self.changed, &self.refused, &self.crowded] {
                let left_out = window.lock().unwrap_or_else(PoisonError::into_inner).end(now);
                left_out.into_iter().for_each(|event| (self.tell)(&What::Api(event).at(now)));
            }
            self.clock.sleep_until(now.plus(MINUTE)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Event;

    #[tokio::test(start_paused = true)]
    async fn so_many_are_told_in_a_minute_and_the_rest_is_counted() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell: Tell = {
            let told = Arc::clone(&told);
            Arc::new(move |event: &Event| {
                let What::Api(event) = &event.what else { unreachable!("nothing else is told here") };
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
        // A flood of one kind hides nothing of another.
        note(ApiWhat::Changed);
        assert_eq!(taken(), [(ApiWhat::Changed, 0)]);
        tokio::time::advance(MINUTE).await;
        note(ApiWhat::Refused);
        assert_eq!(taken(), [(ApiWhat::Refused, 939), (ApiWhat::Refused, 0)]);
        for _ in 0..62 {
            note(ApiWhat::Refused);
        }
        assert_eq!(taken().len(), 59);
        // And where no further one comes, they are told of all the same.
        let running = tokio::time::timeout(2 * MINUTE, audit.run()).await;
        assert!(running.is_err());
        assert_eq!(taken(), [(ApiWhat::Refused, 2)]);
    }
}
