//! Starting an export, once: what may have created one is never sent again.

use std::time::Duration;

use crate::commands::{Asking, CommandError, Session};
use crate::observe::{Transfer, Trying, rounded};
use crate::request::StartRequest;
use crate::snyk::{NotStarted, Started};
use crate::text::Text;
use crate::watch::observation::Problem;
use crate::watch::outcome::{Outcome, Signal};
use crate::watch::tries::Tries;

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
    /// Whether there may be one all the same.
    pub(in crate::commands) may_exist: bool,
}

impl Unstarted {
    /// Nobody knows: what is known of it is told behind what that means.
    pub(in crate::commands) fn unsure(problem: &Problem, signal: Option<Signal>) -> Self {
        let outcome = signal.map_or(Outcome::Unavailable, Outcome::Interrupted);
        let known = Problem { http_status: None, code: None, request_id: None, ..problem.clone() };
        let unsure = Problem::new("there may or may not be an export", &known.to_string());
        let problem = Problem { title: unsure.title, detail: unsure.detail, ..problem.clone() };
        Self { outcome, problem, may_exist: true }
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
    let clock = session.clock;
    let mut tries = Tries::new(clock.now());
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
            Some(Err(not_started)) => not_started,
            None => return Ok(Err(Unstarted::unsure(&Problem::new("no answer came in time", ""), signal))),
        };
        let NotStarted { failure, hint, may_exist } = not_started;
        if may_exist {
            keep.unsure(&failure.problem)?;
            return Ok(Err(Unstarted::unsure(&failure.problem, signal)));
        }
        keep.refused()?;
        if let Some(signal) = signal {
            return Ok(Err(given_up(signal)));
        }
        let now = clock.now();
        match tries.failed(&failure, hint, &asking.policy, now, &mut fastrand::Rng::new()) {
            Ok(delay) => {
                transfer.retrying(Trying::Start, None, &failure.problem, delay);
                let pause = ticking(transfer, clock.sleep_until(now.plus(delay)));
                if let Err(signal) = session.signals.unless_interrupted(pause).await {
                    return Ok(Err(given_up(signal)));
                }
            }
            Err(defeat) => {
                let (outcome, problem) = (defeat.outcome, with_hint(defeat.problem, hint));
                return Ok(Err(Unstarted { outcome, problem, may_exist: false }));
            }
        }
    }
}

/// The answer to one start, and what interrupted us; no answer where none came in time after that.
async fn answer(
    request: &StartRequest,
    asking: &Asking,
    transfer: &Transfer,
    session: &mut Session,
) -> (Option<Result<Started, NotStarted>>, Option<Signal>) {
    let mut asked = std::pin::pin!(asking.client.start(request, asking.policy.request_timeout));
    match session.signals.unless_interrupted(ticking(transfer, &mut asked)).await {
        Ok(answer) => (Some(answer), None),
        Err(signal) => (tokio::time::timeout(LAST_WORD, asked).await.ok(), Some(signal)),
    }
}

/// Does something while the progress line is redrawn.
pub(in crate::commands) async fn ticking<T>(transfer: &Transfer, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = crate::observe::keep_ticking(|| transfer.tick()) => match never {},
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
    Unstarted { outcome: Outcome::Interrupted(signal), problem, may_exist: false }
}
