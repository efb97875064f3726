//! The only place that reads the time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::moment::Moment;

/// A clock that reads the wall clock once, when it is created, and then counts monotonically.
///
/// Its moments can be written as dates, but a change of the wall clock moves no deadline. It uses tokio's time, so that tests
/// can pause it.
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

    /// A clock that starts now, at this time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the time")]
    pub fn at(wall: Moment) -> Self {
        Self { wall, start: Instant::now() }
    }

    /// This clock, moved forward to `moment` if it is earlier: the wall clock may have been set back since `moment` was stored.
    #[must_use]
    pub fn not_before(self, moment: Moment) -> Self {
        Self { wall: self.wall.plus(moment.since(self.now())), ..self }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.wall.plus(self.elapsed())
    }

    /// The time since it started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time of the wall clock, for others who compare it with theirs. Our own clock falls behind when the machine is
    /// suspended or its wall clock is set.
    #[must_use]
    pub fn wall_now() -> Moment {
        wall()
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
fn wall() -> Moment {
    Moment::from_unix(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
