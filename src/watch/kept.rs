//! How a store keeps the progress of a watch: as JSON. Later versions may add members.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failing::Failing;
use super::observation::{FailureKind, Problem};
use super::outage::Outage;
use super::pace::Position;
use super::{Change, Progress};
use crate::export::Status;
use crate::moment::Moment;
use crate::text::Text;

/// A stored progress that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("what was kept of the watch cannot be read: {0}")]
pub struct NotKept(#[from] serde_json::Error);

/// Times are milliseconds on the steady time line, positions of paces nanoseconds. A missing member is as in a watch that has
/// just started.
#[derive(Serialize, Deserialize)]
struct Kept {
    started_at: u64,
    #[serde(default)]
    polls: u32,
    polled_at: Option<u64>,
    in_progress_at: Option<u64>,
    #[serde(default)]
    timeline: Vec<(Status, u64)>,
    /// What the wall clock said at `started_at` and at each change of the timeline, where it said something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    walls: Vec<u64>,
    created: Option<String>,
    row_count: Option<u64>,
    problem: Option<Problem>,
    /// The problem's cure: the problem itself is written without it.
    cure: Option<Text>,
    failure: Option<FailureKind>,
    refusal: Option<FailureKind>,
    #[serde(default)]
    in_a_row: u32,
    failed_at: Option<u64>,
    planned: Option<u64>,
    outage: Option<u64>,
    /// The runs of failed polls: the first, the last, the answer after them, how many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failing: Vec<(u64, u64, Option<u64>, u32)>,
    pace: Option<u64>,
    retry: Option<u64>,
    throttle: Option<u64>,
}

impl Progress {
    /// The text to keep.
    #[must_use]
    pub fn to_kept(&self) -> String {
        let shown = || std::iter::once(self.started_at).chain(self.timeline.iter().map(|change| change.at));
        let differ = shown().any(|moment| moment.unix_ms() != moment.wall_ms());
        let kept = Kept {
            started_at: self.started_at.unix_ms(),
            walls: if differ { shown().map(Moment::wall_ms).collect() } else { Vec::new() },
            polls: self.polls,
            polled_at: Some(self.polled_at.unix_ms()),
            in_progress_at: self.in_progress_at.map(Moment::unix_ms),
            timeline: self
                .timeline
                .iter()
                .map(|change| (change.status.clone(), change.at.unix_ms()))
                .collect(),
            created: self.created.clone(),
            row_count: self.row_count,
            cure: self.problem.as_ref().and_then(|problem| problem.cure.clone()),
            problem: self.problem.clone(),
            failure: self.failure,
            refusal: self.refusal,
            in_a_row: self.in_a_row,
            failed_at: self.outage.failed_at.map(Moment::unix_ms),
            planned: nanos(Some(self.outage.planned)),
            outage: nanos(Some(self.outage.length)),
            failing: self.failing.iter().map(kept_run).collect(),
            pace: nanos(self.pace),
            retry: nanos(self.retry),
            throttle: nanos(self.throttle),
        };
        serde_json::to_string(&kept).unwrap_or_else(|_| unreachable!("all members can be written as JSON"))
    }

    /// The progress that was kept as `text`.
    ///
    /// # Errors
    ///
    /// When `text` is not a progress.
    pub fn from_kept(text: &str) -> Result<Self, NotKept> {
        let kept: Kept = serde_json::from_str(text)?;
        let mut walls = kept.walls.into_iter();
        let mut shown = |ms| Moment::from_unix_ms(ms).with_wall_ms(walls.next().unwrap_or(ms));
        let started_at = shown(kept.started_at);
        let change = |(status, at)| Change { status, at: shown(at) };
        Ok(Self {
            started_at,
            polls: kept.polls,
            polled_at: kept.polled_at.map_or(started_at, Moment::from_unix_ms),
            in_progress_at: kept.in_progress_at.map(Moment::from_unix_ms),
            timeline: kept.timeline.into_iter().map(change).collect(),
            created: kept.created,
            row_count: kept.row_count,
            problem: kept.problem.map(|problem| Problem { cure: kept.cure.or(problem.cure), ..problem }),
            failure: kept.failure,
            refusal: kept.refusal,
            in_a_row: kept.in_a_row,
            overlong: None,
            outage: Outage {
                failed_at: kept.failed_at.map(Moment::from_unix_ms),
                planned: duration(kept.planned),
                length: duration(kept.outage),
            },
            failing: kept.failing.into_iter().map(run).collect(),
            pace: kept.pace.map(Duration::from_nanos),
            retry: kept.retry.map(Duration::from_nanos),
            throttle: kept.throttle.map(Duration::from_nanos),
        })
    }
}

fn kept_run(run: &Failing) -> (u64, u64, Option<u64>, u32) {
    (run.since.unix_ms(), run.last.unix_ms(), run.until.map(Moment::unix_ms), run.polls)
}

fn run((since, last, until, polls): (u64, u64, Option<u64>, u32)) -> Failing {
    let at = Moment::from_unix_ms;
    Failing { since: at(since), last: at(last), until: until.map(at), polls }
}

fn nanos(position: Position) -> Option<u64> {
    position.map(|delay| u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX))
}

fn duration(nanos: Option<u64>) -> Duration {
    Duration::from_nanos(nanos.unwrap_or_default())
}
