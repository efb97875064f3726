//! Starting an export, once: what may have created one is never sent again.

use std::time::Duration;

use crate::commands::{Asking, CommandError, Session};
use crate::duration::rounded;
use crate::observe::{Transfer, Trying};
use crate::request::StartRequest;
use crate::snyk::{InFlight, NotStarted, Started};
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Problem};
use crate::watch::outcome::{Outcome, Signal};
use crate::watch::tries::{Defeat, Tries};

/// How long an interrupted start waits for the answer to what it has sent: by it we know whether there is an export. Less
/// than the ten seconds that containers are given to stop.
const LAST_WORD: Duration = Duration::from_secs(5);

/// An export that has been started.
pub(in crate::commands) struct Began {
    pub(in crate::commands) started: Started,
    /// What interrupted us meanwhile.
    pub(in crate::commands) signal: Option<Signal>,
}

/// No export, as far as we know.
#[derive(Debug)]
pub(in crate::commands) struct Unstarted {
    pub(in crate::commands) outcome: Outcome,
    pub(in crate::commands) problem: Problem,
    /// Whether there may be one all the same, and then what is known of it.
    pub(in crate::commands) unsure: Option<String>,
}

impl Unstarted {
    /// Nobody knows: what is known of it is told behind what that means.
    pub(in crate::commands) fn unsure(problem: &Problem, signal: Option<Signal>) -> Self {
        let outcome = signal.map_or(Outcome::Unavailable, Outcome::Interrupted);
        let known = Problem { http_status: None, code: None, request_id: None, ..problem.clone() };
        let unsure = Problem::new("there may or may not be an export", &known.to_string());
        let known = problem.to_string();
        let problem = Problem { title: unsure.title, detail: unsure.detail, ..problem.clone() };
        Self { outcome, problem, unsure: Some(known) }
    }
}

/// Who writes down that a start is sent, before it is, and what became of it.
pub(in crate::commands) trait Keep {
    /// A start is about to be sent.
    fn sending(&mut self) -> Result<(), CommandError>;
    /// It has become an export.
    fn started(&mut self, started: &Started) -> Result<(), CommandError>;
    /// Nobody knows whether it has.
    fn unsure(&mut self, problem: &Problem) -> Result<(), CommandError>;
    /// It surely has not.
    fn refused(&mut self) -> Result<(), CommandError>;
}

/// Nobody writes anything down.
pub(in crate::commands) struct Unrecorded;

impl Keep for Unrecorded {
    fn sending(&mut self) -> Result<(), CommandError> {
        Ok(())
    }

    fn started(&mut self, _: &Started) -> Result<(), CommandError> {
        Ok(())
    }

    fn unsure(&mut self, _: &Problem) -> Result<(), CommandError> {
        Ok(())
    }

    fn refused(&mut self) -> Result<(), CommandError> {
        Ok(())
    }
}

/// Starts an export. What surely created none is tried again within `max-outage`; nothing else is.
pub(in crate::commands) async fn begin(
    request: &StartRequest,
    asking: &Asking,
    transfer: &Transfer,
    keep: &mut dyn Keep,
    session: &mut Session,
) -> Result<Result<Began, Unstarted>, CommandError> {
    let mut tries = Tries::new(session.clock.now());
    loop {
        keep.sending()?;
        let (answer, signal) = answer(request, asking, transfer, session).await;
        let not_started = match answer {
            Some(Ok(started)) => {
                // Whether or not it can be written down, it is there.
                if let Err(error) = keep.started(&started) {
                    session.console.error(&error, Some(&format!("the export is {}", started.export)));
                }
                return Ok(Ok(Began { started, signal }));
            }
            Some(Err(not_started)) if !not_started.may_exist => not_started,
            unsure => {
                let problem = unsure.and_then(Result::err).map(|not_started| not_started.failure.problem);
                let problem = problem.unwrap_or_else(|| Problem::new("no answer came in time", ""));
                // What is written down by now says as much, in fewer words.
                if let Err(error) = keep.unsure(&problem) {
                    session.console.error(&error, None);
                }
                return Ok(Err(Unstarted::unsure(&problem, signal)));
            }
        };
        keep.refused()?;
        if let Some(signal) = signal {
            return Ok(Err(given_up(signal)));
        }
        if let Err(unstarted) = pause(not_started, &mut tries, asking, transfer, session).await {
            return Ok(Err(unstarted));
        }
    }
}

/// Waits until a start that surely created nothing may be sent again; the error says why it may not.
async fn pause(
    not_started: NotStarted,
    tries: &mut Tries,
    asking: &Asking,
    transfer: &Transfer,
    session: &mut Session,
) -> Result<(), Unstarted> {
    let NotStarted { failure, hint, .. } = not_started;
    let (clock, now) = (session.clock, session.clock.now());
    let delay = tries.failed(&failure, hint, &asking.policy, now, &mut fastrand::Rng::new());
    let delay = delay.map_err(|Defeat { outcome, problem }| Unstarted {
        outcome,
        problem: with_hint(problem, hint),
        unsure: None,
    })?;
    transfer.retrying(Trying::Start, None, &failure.problem, delay);
    let pause = transfer.ticking(clock.sleep_until(now.plus(delay)));
    session.signals.unless_interrupted(pause).await.map_err(given_up)
}

/// The answer to one start, and what interrupted us; no answer where none came in time after that.
async fn answer(
    request: &StartRequest,
    asking: &Asking,
    transfer: &Transfer,
    session: &mut Session,
) -> (Option<Result<Started, NotStarted>>, Option<Signal>) {
    let in_flight = InFlight::default();
    let limit = asking.policy.request_timeout;
    let mut asked = std::pin::pin!(asking.client.start(request, limit, &in_flight));
    match session.signals.unless_interrupted(transfer.ticking(&mut asked)).await {
        Ok(answer) => (Some(answer), None),
        // Nothing has gone out, and nothing will.
        Err(signal) if !in_flight.may_have_arrived() => {
            let failure = Failure { kind: FailureKind::Transient, problem: Problem::default() };
            (Some(Err(NotStarted { failure, hint: None, may_exist: false })), Some(signal))
        }
        Err(signal) => (tokio::time::timeout(LAST_WORD, asked).await.ok(), Some(signal)),
    }
}

/// The problem, with how long Snyk asks us to stay away.
fn with_hint(problem: Problem, hint: Option<Duration>) -> Problem {
    let Some(hint) = hint else { return problem };
    let said = problem.detail.as_ref().map(|detail| format!("{detail}; ")).unwrap_or_default();
    let detail = format!("{said}it asks to be left alone for {}", rounded(hint));
    Problem { detail: Text::non_empty(&detail), ..problem }
}

fn given_up(signal: Signal) -> Unstarted {
    let problem = Problem::new(&format!("{} came, and no export was started", signal.name()), "");
    Unstarted { outcome: Outcome::Interrupted(signal), problem, unsure: None }
}
