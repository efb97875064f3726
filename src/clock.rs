//! The only place that reads the time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::moment::Moment;

/// A clock that takes the wall's time once, when it is made, and from then on counts monotonically.
///
/// Its moments can be written as dates, and yet a wall clock that is set back or forward meanwhile moves no
/// deadline. It follows tokio's time, so that tests can pause it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Moment,
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self::at(wall())
    }

    /// A clock that starts now, when the wall says so.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the time")]
    pub fn at(wall: Moment) -> Self {
        Self { wall, start: Instant::now() }
    }

    /// This clock, put forward so that it is not before `moment`, where the wall's clock was set back since that was
    /// written down.
    #[must_use]
    pub fn not_before(self, moment: Moment) -> Self {
        Self { wall: self.wall.plus(moment.since(self.now())), ..self }
    }

    /// The moment that it is.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.wall.plus(self.elapsed())
    }

    /// How long it has counted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// What the wall says now, for others who compare it with theirs: a machine that was suspended, or whose wall clock was
    /// set, has left our own count behind.
    #[must_use]
    pub fn wall_now() -> Moment {
        wall()
    }

    /// How long this thread has had a processor.
    #[must_use]
    pub fn thread_time() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap_or_default()
    }

    /// Waits until `moment` has come.
    pub async fn sleep_until(&self, moment: Moment) {
        // A sleep longer than tokio's timers reach (about two years) ends early; whoever sleeps looks again.
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        tokio::time::sleep(moment.since(self.now()).min(LONGEST)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads the time")]
fn wall() -> Moment {
    Moment::from_unix(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
