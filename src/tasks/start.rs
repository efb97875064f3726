//! Starts an export. A request that may have created an export is never sent again.

use std::pin::Pin;
use std::time::Duration;

use super::{Tasks, unless};
use crate::download::Tell;
use crate::duration::rounded;
use crate::event::{Task, TaskEvent};
use crate::request::StartRequest;
use crate::snyk::{InFlight, NotStarted, Started};
use crate::text::Text;
use crate::watch::Policy;
use crate::watch::observation::{Failure, FailureKind, Problem};
use crate::watch::outcome::{Outcome, Signal};
use crate::watch::tries::{Defeat, Tries};

/// How long a stopped start waits for the answer to a request that was sent: the answer says whether there is an
/// export. Containers get ten seconds to stop.
const LAST_WORD: Duration = Duration::from_secs(5);

/// How a start ended.
#[derive(Debug)]
pub enum Begun {
    /// The export was started.
    Started {
        /// The export.
        started: Started,
        /// The signal that arrived meanwhile.
        signal: Option<Signal>,
    },
    /// There is no export, as far as is known.
    NotStarted(Unstarted),
}

/// Why no export was started, as far as is known.
#[derive(Debug, thiserror::Error)]
#[error("{outcome}: {problem}")]
pub struct Unstarted {
    /// The outcome that the failure counts as.
    pub outcome: Outcome,
    /// What is known about it.
    pub problem: Problem,
    /// If there may be an export anyway: what is known, in words.
    pub unsure: Option<String>,
}

/// The state of a start, for a record of it.
#[derive(Debug, Clone, Copy)]
pub enum Sent<'a> {
    /// It is about to be sent.
    Sending,
    /// It has created this export.
    Started(&'a Started),
    /// Nobody knows whether it has created an export.
    Unsure(&'a Problem),
    /// It has not created an export.
    Refused,
}

impl Unstarted {
    /// There may or may not be an export.
    pub(crate) fn unsure(problem: &Problem, signal: Option<Signal>) -> Self {
        let outcome = signal.map_or(Outcome::Unavailable, Outcome::Interrupted);
        let known = Problem { http_status: None, code: None, request_id: None, ..problem.clone() };
        let unsure = Problem::new("there may or may not be an export", &known.to_string());
        let known = problem.to_string();
        let problem = Problem { title: unsure.title, detail: unsure.detail, ..problem.clone() };
        Self { outcome, problem, unsure: Some(known) }
    }

    fn stopped(signal: Signal) -> Self {
        let problem = Problem::new(&format!("{} came, and no export was started", signal.name()), "");
        Self { outcome: Outcome::Interrupted(signal), problem, unsure: None }
    }
}

impl Tasks<'_> {
    /// Starts an export. A failed request is retried within `max-outage`, but only if it cannot have created an export.
    ///
    /// `keep` is called before each request and after it. Its error ends the task, so it should not return one after
    /// [`Sent::Started`] or [`Sent::Unsure`]: the export would be lost. After `stop`, the task waits up to five seconds
    /// for the answer to a request that was sent.
    ///
    /// # Errors
    ///
    /// What `keep` returns.
    pub async fn start<E>(
        &self,
        request: &StartRequest,
        mut keep: impl FnMut(Sent<'_>) -> Result<(), E>,
        stop: impl Future<Output = Signal>,
        tell: Tell<'_>,
    ) -> Result<Begun, E> {
        // A rejection is final.
        let policy = Policy { retry_conflict: false, ..self.policy.clone() };
        let mut stop = std::pin::pin!(stop);
        let mut tries = Tries::new(self.clock.now());
        loop {
            keep(Sent::Sending)?;
            let (answer, signal) = self.answer(request, stop.as_mut()).await;
            let NotStarted { failure, hint, .. } = match answer {
                Some(Ok(started)) => {
                    keep(Sent::Started(&started))?;
                    return Ok(Begun::Started { started, signal });
                }
                Some(Err(not_started)) if !not_started.may_exist => not_started,
                unsure => {
                    let problem = unsure.and_then(Result::err).map(|not_started| not_started.failure.problem);
                    let problem = problem.unwrap_or_else(|| Problem::new("no answer came in time", ""));
                    keep(Sent::Unsure(&problem))?;
                    return Ok(Begun::NotStarted(Unstarted::unsure(&problem, signal)));
                }
            };
            keep(Sent::Refused)?;
            if let Some(signal) = signal {
                return Ok(Begun::NotStarted(Unstarted::stopped(signal)));
            }
            let now = self.clock.now();
            let delay = match tries.failed(&failure, hint, &policy, now, &mut fastrand::Rng::new()) {
                Ok(delay) => delay,
                Err(Defeat { outcome, problem }) => {
                    let problem = with_hint(problem, hint);
                    return Ok(Begun::NotStarted(Unstarted { outcome, problem, unsure: None }));
                }
            };
            let problem = failure.problem;
            tell(TaskEvent::Retrying { task: Task::Start, file: None, problem, delay });
            let pause = self.clock.sleep_until(now.plus(delay));
            if let Err(signal) = unless(stop.as_mut(), pause).await {
                return Ok(Begun::NotStarted(Unstarted::stopped(signal)));
            }
        }
    }

    /// The answer to one request, and the signal that stopped it; no answer if it did not arrive in time.
    async fn answer(
        &self,
        request: &StartRequest,
        stop: Pin<&mut impl Future<Output = Signal>>,
    ) -> (Option<Result<Started, NotStarted>>, Option<Signal>) {
        let in_flight = InFlight::default();
        let mut asked = std::pin::pin!(self.client.start(request, self.policy.request_timeout, &in_flight));
        match unless(stop, &mut asked).await {
            Ok(answer) => (Some(answer), None),
            // Nothing was sent.
            Err(signal) if !in_flight.may_have_arrived() => {
                let failure = Failure { kind: FailureKind::Transient, problem: Problem::default() };
                (Some(Err(NotStarted { failure, hint: None, may_exist: false })), Some(signal))
            }
            Err(signal) => (tokio::time::timeout(LAST_WORD, asked).await.ok(), Some(signal)),
        }
    }
}

/// The problem, with how long Snyk asks to wait.
fn with_hint(problem: Problem, hint: Option<Duration>) -> Problem {
    let Some(hint) = hint else { return problem };
    let said = problem.detail.as_ref().map(|detail| format!("{detail}; ")).unwrap_or_default();
    let detail = format!("{said}it asks to be left alone for {}", rounded(hint));
    Problem { detail: Text::non_empty(&detail), ..problem }
}
