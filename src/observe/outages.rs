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

/// How many lines an account may have in a minute: the begins and the ends of two outages. Outages that come and go faster
/// are counted.
const LINES: usize = 4;

/// The outages of all accounts.
#[derive(Debug, Default)]
pub(super) struct Outages(BTreeMap<Arc<str>, Outage>);

/// The failed polls of one account.
#[derive(Debug, Default)]
struct Outage {
    since: Moment,
    /// The watches whose last poll failed.
    failing: BTreeSet<ExportRef>,
    /// Whether a line has said that there is an outage.
    is_told: bool,
    /// When the last lines were, the latest one first.
    lines: [Option<Moment>; LINES],
    /// What no line has told yet: failed polls, their watches, and how many outages they began.
    polls: u64,
    watches: BTreeSet<ExportRef>,
    begun: u64,
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
    /// The same, and a minute has passed since the last line.
    Still(Untold),
    /// Every watch has been answered again.
    Over { account: Arc<str>, lasted: Duration },
    /// All is well, but for a minute outages came and went so fast that no line told them.
    WereMany { account: Arc<str>, untold: Untold },
}

/// What no line has told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Untold {
    /// How many polls have failed.
    pub(super) polls: u64,
    /// Of how many watches.
    pub(super) watches: usize,
    /// How many outages began with them.
    pub(super) outages: u64,
    /// How long the last outage has lasted.
    pub(super) lasted: Duration,
}

impl Outages {
    /// Takes an event, and says what to tell of it.
    pub(super) fn take(&mut self, event: &Event) -> Note {
        if let What::Retrying { watch, .. } = &event.what {
            self.0.entry(Arc::clone(&watch.account)).or_default().failed(watch, event.at)
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

    /// Nobody polls this watch any more, and its last poll may have failed: that is not the end of an outage.
    fn left(&mut self, watch: &Watch) -> Note {
        if let Some(outage) = self.0.get_mut(&watch.account) {
            outage.failing.remove(&watch.export);
        }
        Note::Nothing
    }

    fn answered(&mut self, watch: &Watch, now: Moment) -> Note {
        self.0.get_mut(&watch.account).map_or(Note::Nothing, |outage| outage.answered(watch, now))
    }
}

impl Outage {
    fn failed(&mut self, watch: &Watch, now: Moment) -> Note {
        let begins = self.failing.is_empty();
        self.failing.insert(watch.export);
        if begins {
            (self.since, self.is_told) = (now, false);
            if self.begun == 0 {
                // These belong to an outage that was told.
                self.polls = 0;
                self.watches.clear();
            }
            // The end of an outage that is told needs a line, too.
            if self.begun == 0 && self.lines_since(now) + 2 <= LINES {
                self.speak(now);
                return Note::First;
            }
            self.begun += 1;
        }
        self.polls += 1;
        self.watches.insert(watch.export);
        if self.is_silent(now) { Note::Still(self.tell(now)) } else { Note::Again }
    }

    fn answered(&mut self, watch: &Watch, now: Moment) -> Note {
        let is_over = self.failing.remove(&watch.export) && self.failing.is_empty();
        let account = || Arc::clone(&watch.account);
        if is_over && self.is_told {
            self.speak(now);
            return Note::Over { account: account(), lasted: now.since(self.since) };
        }
        if self.failing.is_empty() && self.begun > 0 && self.is_silent(now) {
            return Note::WereMany { account: account(), untold: self.tell(now) };
        }
        Note::Nothing
    }

    /// How many lines there were in the last minute.
    fn lines_since(&self, now: Moment) -> usize {
        self.lines.iter().flatten().filter(|line| now.since(**line) < HEARTBEAT).count()
    }

    /// Whether there was no line in the last minute.
    fn is_silent(&self, now: Moment) -> bool {
        self.lines_since(now) == 0
    }

    /// A line is written.
    fn speak(&mut self, now: Moment) {
        self.lines.rotate_right(1);
        self.lines[0] = Some(now);
        self.is_told = !self.failing.is_empty();
    }

    /// A line tells what no line has told yet.
    fn tell(&mut self, now: Moment) -> Untold {
        self.speak(now);
        let watches = std::mem::take(&mut self.watches).len();
        let (polls, outages) = (std::mem::take(&mut self.polls), std::mem::take(&mut self.begun));
        Untold { polls, watches, outages, lasted: now.since(self.since) }
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
        let still = |seconds| {
            Note::Still(Untold { polls: 300, watches: 100, outages: 0, lasted: Duration::from_secs(seconds) })
        };
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

    /// The lines of a watch whose polls fail or not at these seconds, each with its second.
    fn told(outages: &mut Outages, polls: impl IntoIterator<Item = (u64, bool)>) -> Vec<(u64, Note)> {
        let told = polls.into_iter().map(|(second, fails)| (second, outages.take(&event(1, fails, second))));
        told.filter(|(_, note)| !matches!(note, Note::Nothing | Note::Again)).collect()
    }

    fn over(seconds: u64) -> Note {
        Note::Over { account: "default".into(), lasted: Duration::from_secs(seconds) }
    }

    #[test]
    fn each_outage_is_told_at_once() {
        let polls = [(100, true), (110, false), (115, true), (120, true), (125, false), (400, true)];
        let lines =
            [(100, Note::First), (110, over(10)), (115, Note::First), (125, over(10)), (400, Note::First)];
        assert_eq!(told(&mut Outages::default(), polls), lines, "also within a minute of the last one");
    }

    #[test]
    fn outages_that_come_and_go_have_few_lines_that_say_how_many_they_were() {
        let mut outages = Outages::default();
        let polls = (100..100 + 10 * MINUTE).map(|second| (second, second % 2 == 0));
        let mut lines = told(&mut outages, polls);
        lines.extend(told(&mut outages, (100 + 10 * MINUTE..1000).map(|second| (second, false))));
        let mut begun = 0;
        for (_, note) in &lines {
            begun += match note {
                Note::First => 1,
                Note::Still(untold) | Note::WereMany { untold, .. } => untold.outages,
                Note::Nothing | Note::Again | Note::Over { .. } => 0,
            };
        }
        assert_eq!(begun, 300, "each is told or counted: {lines:?}");
        for (second, _) in &lines {
            let minute = *second..*second + MINUTE;
            let in_minute = lines.iter().filter(|(second, _)| minute.contains(second)).count();
            assert!(in_minute <= LINES, "{in_minute} lines in the minute from {second} on");
        }
        assert!(matches!(lines.last(), Some((_, Note::WereMany { .. }))), "{lines:?}");
    }
}
