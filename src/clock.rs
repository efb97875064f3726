//! The only place that reads the time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::moment::Moment;

/// No wall clock that is right says an earlier time (2024-01-01): the program did not exist. A machine without a battery
/// starts in 1970.
const EARLIEST: Duration = Duration::from_secs(1_704_067_200);

/// A clock that counts monotonically, and also reads the wall clock.
///
/// Its [`Moment`]s are compared by its steady time, so that a change of the wall clock moves no deadline. They show the time of
/// the wall clock at that moment. It uses tokio's time, so that tests can pause it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// When it started.
    origin: Moment,
    start: Instant,
    /// Reads the wall clock. `None` if that goes on as it was when this clock started.
    wall: Option<fn() -> Duration>,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self::reading(system)
    }

    /// A clock that starts now, and reads the wall clock so.
    #[must_use]
    pub fn reading(wall: fn() -> Duration) -> Self {
        Self { wall: Some(wall), ..Self::at(Moment::from_unix(wall())) }
    }

    /// A clock that starts now, at this time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the time")]
    pub fn at(origin: Moment) -> Self {
        Self { origin, start: Instant::now(), wall: None }
    }

    /// This clock, going on from `last`, the last moment that was recorded. In between, as much time has passed as the wall
    /// clock says, but `most` at most: none if it was set back, or was not set.
    #[must_use]
    pub fn after(self, last: Moment, most: Duration) -> Self {
        let now = self.now();
        let is_set = last.wall().min(now.wall()) >= EARLIEST;
        let passed = if is_set { now.wall().saturating_sub(last.wall()) } else { Duration::ZERO };
        Self { wall: self.wall, ..Self::at(last.plus(passed.min(most)).with_wall(now.wall())) }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Moment {
        let now = self.origin.plus(self.elapsed());
        self.wall.map_or(now, |wall| now.with_wall(wall()))
    }

    /// The time since it started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time of the wall clock, for others who compare it with theirs.
    #[must_use]
    pub fn wall_now() -> Moment {
        Moment::from_unix(system())
    }

    /// The CPU time of this thread.
    #[must_use]
    pub fn thread_time() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap_or_default()
    }

    /// Waits until `moment`.
    pub async fn sleep_until(&self, moment: Moment) {
        // tokio's timers reach about two years. Callers check the time again after a sleep that ended early.
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        tokio::time::sleep(moment.since(self.now()).min(LONGEST)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads the time")]
fn system() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static WALL: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NOW: Duration = Duration::from_secs(1_732_529_622);

    fn set(wall: Duration) {
        WALL.set(wall);
    }

    fn wall() -> Duration {
        WALL.get()
    }

    #[tokio::test(start_paused = true)]
    async fn times_follow_the_wall_clock_and_durations_do_not() {
        set(NOW);
        let clock = Clock::reading(wall);
        let before = clock.now();
        for step in [NOW + 8 * HOUR, NOW + 400 * DAY, Duration::ZERO, NOW] {
            set(step);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(clock.now().wall(), step);
        }
        assert_eq!(clock.now().since(before), Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn goes_on_from_the_last_moment_of_a_store() {
        let last = Moment::from_unix(NOW);
        let not_set = last.with_wall(HOUR);
        let once_ahead = last.plus(400 * DAY);
        let slept = last.with_wall(NOW + 8 * HOUR);
        let rows = [
            ("the daemon was not there for a day", last, NOW + DAY, DAY),
            ("the clock is far ahead", last, NOW + 400 * DAY, DAY),
            ("the clock was set back", last, NOW - DAY, Duration::ZERO),
            ("the clock was once far ahead", once_ahead, NOW, Duration::ZERO),
            ("the machine has slept before", slept, NOW + 9 * HOUR, HOUR),
            ("the clock was not set, and is now", not_set, NOW, Duration::ZERO),
            ("the clock is not set", last, HOUR, Duration::ZERO),
        ];
        for (what, last, now, passed) in rows {
            set(now);
            let clock = Clock::reading(wall).after(last, DAY);
            assert_eq!((clock.now().since(last), clock.now().wall()), (passed, now), "{what}");
            assert!(clock.now() >= last, "{what}");
        }
    }
}
