//! Trying at what is no poll, such as starting an export or fetching a file: it fails by the rules of polls.

use std::time::Duration;

use super::observation::{Failure, Observation, Problem};
use super::outcome::Outcome;
use super::{Decision, Policy, Progress};
use crate::moment::Moment;
use crate::text::Text;

/// How tries at something go.
#[derive(Debug)]
pub struct Tries(Progress);

/// Why something is not tried any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defeat {
    /// How that counts, as if it were a watch's end.
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

    /// Asking for something that is known to be there: that it is missing once may pass.
    #[must_use]
    pub fn of_what_is_there(now: Moment) -> Self {
        Self(Progress { in_progress_at: Some(now), ..Progress::new(now) })
    }

    /// A try has brought something: what fails after this is another outage.
    pub fn advance(&mut self, now: Moment) {
        self.0 = Progress::new(now);
    }

    /// A try has failed: the pause until the next one.
    ///
    /// # Errors
    ///
    /// When there is no next one, since the failure is final or has lasted too long.
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
