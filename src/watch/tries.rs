//! Retries of requests other than polls, such as a start or a download, by the rules of polls.

use std::time::Duration;

use super::observation::{Failure, Observation, Problem};
use super::outcome::Outcome;
use super::{Decision, Policy, Progress};
use crate::moment::Moment;
use crate::text::Text;

/// The tries of one request.
#[derive(Debug)]
pub struct Tries(Progress);

/// Why it is not tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defeat {
    /// The outcome, as for a watch.
    pub outcome: Outcome,
    /// The last failure.
    pub problem: Problem,
}

impl Tries {
    /// The first try starts `now`.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self(Progress::new(now))
    }

    /// For something that is known to exist: a single 404 is not final.
    #[must_use]
    pub fn of_what_is_there(now: Moment) -> Self {
        Self(Progress { in_progress_at: Some(now), ..Progress::new(now) })
    }

    /// A try made progress: a later failure begins a new outage.
    pub fn advance(&mut self, now: Moment) {
        self.0 = Progress::new(now);
    }

    /// A try has failed: the pause until the next one.
    ///
    /// # Errors
    ///
    /// When there is no next try, because the failure is final or has lasted too long.
    pub fn failed(
        &mut self,
        failure: &Failure,
        hint: Option<Duration>,
        policy: &Policy,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Result<Duration, Defeat> {
        let observation = Observation { answer: Err(failure.clone()), hint };
        match self.0.record(&observation, policy, now, rng) {
            Decision::PollAfter(delay) => Ok(delay),
            Decision::Finish(outcome) => {
                let mut problem = failure.problem.clone();
                if let Some(overlong) = self.0.overlong() {
                    let option = overlong.option;
                    problem.cure =
                        Some(Text::new(&format!("the server {overlong}: allow more with {option}")));
                }
                Err(Defeat { outcome, problem })
            }
        }
    }
}
