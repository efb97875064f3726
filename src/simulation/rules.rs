//! The rules of following once more: slow, obvious, and written from the design alone. They look back at everything that
//! the polls of a watch saw, and remember nothing themselves.

use std::time::Duration;

use super::scene::Limits;
use crate::moment::Moment;
use crate::watch::observation::FailureKind;
use crate::watch::outcome::Outcome;

/// What a poll saw.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Saw {
    Word(&'static str),
    /// A failure, and whether it was an HTTP answer.
    Failed(FailureKind, bool),
}

/// A completed poll.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) began: Moment,
    pub(super) ended: Moment,
    pub(super) saw: Saw,
    pub(super) hint: Option<Duration>,
    /// The pause that was planned then.
    pub(super) planned: Duration,
    /// Its pace, and the delay that the pace gave.
    pub(super) base: (Pace, Duration),
}

/// The three paces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Main,
    Retry,
    Throttle,
}

/// What follows the last poll.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ruling {
    End(Outcome),
    /// The next poll is due no earlier and no later.
    Again(Duration, Duration),
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Rounding: delays are kept in nanoseconds, drawn as floating point numbers, and grow step by step.
const ROUNDING: Duration = Duration::from_millis(1);

/// The schedule of a pace: its first delay, its growth, its longest delay, its jitter.
pub(super) fn schedule(limits: &Limits, pace: Pace) -> (Duration, f64, Duration, f64) {
    match pace {
        Pace::Main => limits.pace,
        Pace::Retry => (SECOND, 2.0, 30 * SECOND, 0.1),
        Pace::Throttle => (5 * SECOND, 2.0, 60 * SECOND, 0.1),
    }
}

/// How many times in a row this must happen once the export was seen.
const fn needed(kind: FailureKind) -> usize {
    match kind {
        FailureKind::NotFound | FailureKind::Gateway => 3,
        FailureKind::Unauthorized | FailureKind::Forbidden => 2,
        _ => 1,
    }
}

/// How a watch goes on after the last of these polls. `waits_for_credential` says that a 401 is the account's trouble.
pub(super) fn ruling(
    limits: &Limits,
    is_wait: bool,
    waits_for_credential: bool,
    started: Moment,
    history: &[Seen],
) -> (Ruling, (Pace, Duration)) {
    let Some(last) = history.last() else { unreachable!("there was a poll") };
    let now = last.ended;
    let deadline = limits.max_wait.map(|max_wait| started.plus(max_wait));
    match &last.saw {
        Saw::Word(word) => {
            let outcome = match word.to_ascii_uppercase().as_str() {
                "PENDING" | "STARTED" => None,
                "FINISHED" => Some(Outcome::Finished),
                "ERROR" | "ERRORED" => Some(Outcome::Failed),
                _ => Some(Outcome::UnknownStatus),
            };
            let base = (Pace::Main, base(limits, Pace::Main, &history[..history.len() - 1]));
            let ruling = match outcome {
                Some(outcome) => Ruling::End(outcome),
                None => in_progress(limits, word, base.1, deadline, history),
            };
            (ruling, base)
        }
        Saw::Failed(kind, _) => {
            let pace = match (kind, last.hint) {
                (FailureKind::Throttled, None) => Pace::Throttle,
                _ => Pace::Retry,
            };
            // With each outage, the paces of failures start again.
            let failures = failures(history);
            let base = (pace, base(limits, pace, &failures[..failures.len() - 1]));
            if let Some(outcome) =
                final_failure(*kind, limits, is_wait, waits_for_credential, started, history)
            {
                return (Ruling::End(outcome), base);
            }
            let waits = |seen: &Seen| {
                waits_for_credential && matches!(seen.saw, Saw::Failed(FailureKind::Unauthorized, _))
            };
            let mut limit = deadline.map(|at| (at, Outcome::TimedOut));
            if let Some(max) = limits.max_outage.filter(|_| !waits(last)) {
                let from = failures.iter().rposition(waits).map_or(0, |at| at + 1);
                let at = now.plus(max.saturating_sub(outage(&failures[from..])));
                let means = failures.iter().rev().find_map(|seen| match seen.saw {
                    Saw::Failed(kind, true) => Some(kind),
                    _ => None,
                });
                let outcome = match means {
                    Some(FailureKind::NotFound) => Outcome::NotFound,
                    Some(FailureKind::Conflict) => Outcome::Conflict,
                    _ => Outcome::Unavailable,
                };
                if limit.is_none_or(|(deadline, _)| at < deadline) {
                    limit = Some((at, outcome));
                }
            }
            (again(schedule(limits, base.0), base.1, last, limit), base)
        }
    }
}

/// The failures since the last status word.
fn failures(history: &[Seen]) -> &[Seen] {
    let from = history.iter().rposition(|seen| matches!(seen.saw, Saw::Word(_))).map_or(0, |at| at + 1);
    &history[from..]
}

/// The delay that a pace gives after these polls.
fn base(limits: &Limits, pace: Pace, before: &[Seen]) -> Duration {
    let (first, growth, longest, _) = schedule(limits, pace);
    let last = before.iter().rev().find(|seen| seen.base.0 == pace);
    last.map_or(first, |seen| seen.base.1.mul_f64(growth).clamp(first, longest))
}

/// The sum of the gaps between failures, each at most the planned pause plus the time of the request.
pub(super) fn outage(failures: &[Seen]) -> Duration {
    let gap = |pair: &[Seen]| {
        let (before, after) = (&pair[0], &pair[1]);
        after.ended.since(before.ended).min(before.planned + after.ended.since(after.began))
    };
    failures.windows(2).map(gap).sum()
}

fn final_failure(
    kind: FailureKind,
    limits: &Limits,
    is_wait: bool,
    waits_for_credential: bool,
    started: Moment,
    history: &[Seen],
) -> Option<Outcome> {
    let last = history.last()?;
    let same = |seen: &&Seen| matches!(seen.saw, Saw::Failed(other, _) if other == kind);
    let in_a_row = history.iter().rev().take_while(same).count();
    let was_seen = history.iter().any(|seen| matches!(seen.saw, Saw::Word(_)));
    if was_seen && in_a_row < needed(kind) {
        return None;
    }
    match kind {
        FailureKind::Unauthorized => (!waits_for_credential).then_some(Outcome::Unauthorized),
        FailureKind::Forbidden => Some(Outcome::Forbidden),
        FailureKind::NotFound => {
            (last.ended.since(started) >= limits.not_found_grace).then_some(Outcome::NotFound)
        }
        FailureKind::Conflict => (!limits.retry_conflict).then_some(Outcome::Conflict),
        FailureKind::Rejected | FailureKind::Gateway => Some(Outcome::Rejected),
        FailureKind::Unrecoverable => is_wait.then_some(Outcome::Unavailable),
        FailureKind::Throttled | FailureKind::Transient => None,
    }
}

fn in_progress(
    limits: &Limits,
    word: &str,
    base: Duration,
    deadline: Option<Moment>,
    history: &[Seen],
) -> Ruling {
    let Some(last) = history.last() else { unreachable!("there was a poll") };
    let mut schedule = schedule(limits, Pace::Main);
    let mut base = base;
    if let Some(at_most) = limits.pending_at_most.filter(|_| word == "PENDING") {
        let words = history.iter().rev().filter(|seen| matches!(seen.saw, Saw::Word(_)));
        let since = words
            .take_while(|seen| seen.saw == Saw::Word("PENDING"))
            .last()
            .map_or(last.ended, |seen| seen.ended);
        let stalled_at = since.plus(at_most);
        if last.ended >= stalled_at && deadline.is_none_or(|deadline| stalled_at <= deadline) {
            return Ruling::End(Outcome::Stalled);
        }
        let left = stalled_at.since(last.ended).max(ROUNDING);
        if left < base.mul_f64(1.0 + schedule.3) {
            // Somewhere between, depending on the jitter.
            let longest = base.mul_f64(1.0 + schedule.3).min(left);
            base = base.min(left);
            schedule.3 = longest.as_secs_f64() / base.as_secs_f64() - 1.0;
        }
    }
    again(schedule, base, last, deadline.map(|at| (at, Outcome::TimedOut)))
}

/// After the pace, not before the hint, not after the limit. If the limit has passed, or comes before the hint, the watch ends.
fn again(
    (_, _, _, jitter): (Duration, f64, Duration, f64),
    base: Duration,
    last: &Seen,
    limit: Option<(Moment, Outcome)>,
) -> Ruling {
    let floor = last.hint.unwrap_or_default().min(HOUR);
    let (mut earliest, mut latest) =
        (base.max(floor), base.mul_f64(1.0 + jitter).max(floor.mul_f64(1.1)) + ROUNDING);
    if let Some((at, outcome)) = limit {
        if last.ended >= at || last.ended.plus(floor) > at {
            return Ruling::End(outcome);
        }
        let left = at.since(last.ended);
        (earliest, latest) = (earliest.min(left), latest.min(left));
    }
    Ruling::Again(earliest.saturating_sub(ROUNDING), latest)
}
