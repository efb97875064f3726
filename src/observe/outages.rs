//! An outage in few lines: its first failure, a line a minute, and its end. A hundred watches of one account would otherwise
//! say the same a hundred times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::HEARTBEAT;
use crate::event::{Ending, Event, What};
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::watch::Watch;
use crate::watch::outcome::Outcome;

/// The outages of all accounts.
#[derive(Debug, Default)]
pub(super) struct Outages(BTreeMap<Arc<str>, Outage>);

/// The failed polls of one account, one after the other.
#[derive(Debug)]
struct Outage {
    since: Moment,
    spoke_at: Moment,
    /// The watches whose last poll failed.
    failing: BTreeSet<ExportRef>,
    /// The failed polls since the last line, and their watches.
    polls: u64,
    watches: BTreeSet<ExportRef>,
    /// Whether a line has said that there is an outage.
    is_told: bool,
}

/// What is said of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// The event says nothing about an outage.
    Nothing,
    /// A failure that begins an outage: it is told in full.
    First,
    /// One of many failures: it is told only to those who want to see each.
    Again,
    /// The same, and a minute has passed: so many polls of so many watches have failed in it.
    Still { polls: u64, watches: usize, lasted: Duration },
    /// Every watch has been answered again.
    Over { account: Arc<str>, lasted: Duration },
}

impl Outages {
    /// Takes an event, and says what to tell of it.
    pub(super) fn take(&mut self, event: &Event) -> Note {
        if let What::Retrying { watch, .. } = &event.what {
            self.failed(watch, event.at)
        } else if let What::Polled { watch, .. } | What::StatusChanged { watch, .. } = &event.what {
            self.answered(watch, event.at)
        } else if let What::Finished(ending) = &event.what {
            match is_answered(ending) {
                true => self.answered(&ending.watch, event.at),
                false => self.left(&ending.watch),
            }
        } else {
            Note::Nothing
        }
    }

    fn failed(&mut self, watch: &Watch, now: Moment) -> Note {
        let begun = || Outage {
            since: now,
            spoke_at: now,
            failing: BTreeSet::from([watch.export]),
            polls: 0,
            watches: BTreeSet::new(),
            is_told: true,
        };
        let Some(outage) = self.0.get_mut(&watch.account) else {
            self.0.insert(Arc::clone(&watch.account), begun());
            return Note::First;
        };
        let is_silent = now.since(outage.spoke_at) < HEARTBEAT;
        if outage.failing.is_empty() {
            if !is_silent {
                *outage = begun();
                return Note::First;
            }
            // Failures that come and go are not told each time either.
            outage.since = now;
        }
        outage.failing.insert(watch.export);
        outage.watches.insert(watch.export);
        outage.polls += 1;
        if is_silent {
            return Note::Again;
        }
        (outage.spoke_at, outage.is_told) = (now, true);
        let watches = std::mem::take(&mut outage.watches).len();
        Note::Still { polls: std::mem::take(&mut outage.polls), watches, lasted: now.since(outage.since) }
    }

    /// Nobody polls this watch any more, and its last poll may have failed: that is not the end of an outage.
    fn left(&mut self, watch: &Watch) -> Note {
        if let Some(outage) = self.0.get_mut(&watch.account) {
            outage.failing.remove(&watch.export);
        }
        Note::Nothing
    }

    fn answered(&mut self, watch: &Watch, now: Moment) -> Note {
        let Some(outage) = self.0.get_mut(&watch.account) else { return Note::Nothing };
        let is_over = outage.failing.remove(&watch.export) && outage.failing.is_empty();
        if !is_over || !std::mem::take(&mut outage.is_told) {
            return Note::Nothing;
        }
        outage.spoke_at = now;
        Note::Over { account: Arc::clone(&watch.account), lasted: now.since(outage.since) }
    }
}

/// Whether an answer ended the watch, rather than a credential that is refused, a failure, a limit or a signal.
const fn is_answered(ending: &Ending) -> bool {
    let is_final = matches!(
        ending.outcome,
        Outcome::Forbidden | Outcome::NotFound | Outcome::Conflict | Outcome::Rejected
    );
    is_final || ending.report.is_some()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::Timing;
    use crate::export::Scope;
    use crate::fixtures::report;
    use crate::watch::observation::Failure;

    const MINUTE: u64 = 60;

    fn event(id: u128, fails: bool, at: u64) -> Event {
        let export = ExportRef { scope: Scope::Group, scope_id: Uuid::nil(), export_id: Uuid::from_u128(id) };
        let watch = Watch::unnamed(export, Moment::default());
        let (watch, delay, timing) = (Arc::new(watch), Duration::ZERO, Timing::default());
        let what = match fails {
            true => What::Retrying { watch, failure: failure(), delay, timing },
            false => What::Polled { watch, delay, timing },
        };
        what.at(Moment::from_unix(Duration::from_secs(at)))
    }

    fn failure() -> Failure {
        Failure::transient("no connection", "")
    }

    #[test]
    fn an_outage_is_its_first_failure_a_line_a_minute_and_its_end() {
        let mut outages = Outages::default();
        assert_eq!(outages.take(&event(0, false, 0)), Note::Nothing, "all is well");
        let mut told = Vec::new();
        // A hundred watches, each polled every 20 s for three minutes.
        for second in (0..3 * MINUTE).step_by(20) {
            for id in 0..100 {
                let note = outages.take(&event(id, true, 100 + second));
                if note != Note::Again {
                    told.push((second, note));
                }
            }
        }
        let still = |seconds| Note::Still { polls: 300, watches: 100, lasted: Duration::from_secs(seconds) };
        // The first poll after each minute says it; it is one of those that it counts.
        assert_eq!(told, [(0, Note::First), (60, still(60)), (120, still(120))]);
        for id in 0..99 {
            assert_eq!(outages.take(&event(id, false, 290)), Note::Nothing, "some are not answered yet");
        }
        let over = Note::Over { account: "default".into(), lasted: Duration::from_secs(200) };
        assert_eq!(outages.take(&event(99, false, 300)), over);
        assert_eq!(outages.take(&event(99, false, 301)), Note::Nothing);
    }

    #[test]
    fn only_an_answer_ends_an_outage() {
        for (outcome, report, is_over) in [
            (Outcome::Unauthorized, None, false),
            (Outcome::Unavailable, None, false),
            (Outcome::TimedOut, None, false),
            (Outcome::NotFound, None, true),
            (Outcome::Finished, Some(report("FINISHED")), true),
        ] {
            let (mut outages, failed) = (Outages::default(), event(1, true, 100));
            assert_eq!(outages.take(&failed), Note::First);
            let What::Retrying { watch, .. } = failed.what else { panic!() };
            let ending = Ending { watch, outcome, report, at: failed.at, timing: None };
            let note = outages.take(&What::Finished(Arc::new(ending)).at(failed.at));
            assert_eq!(matches!(note, Note::Over { .. }), is_over, "{outcome}");
        }
    }

    #[test]
    fn failures_that_come_and_go_do_not_fill_the_log() {
        let mut outages = Outages::default();
        let (mut lines, mut again) = (0, 0);
        for second in 0..10 * MINUTE {
            match outages.take(&event(1, second % 2 == 0, second)) {
                Note::Nothing => {}
                Note::Again => again += 1,
                Note::First | Note::Still { .. } | Note::Over { .. } => lines += 1,
            }
        }
        assert!((10..=22).contains(&lines) && again > 250, "{lines} {again}");
    }
}
