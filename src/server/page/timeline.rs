//! The timeline of a watch, as a drawing and in words: what it was at each time, failures, the next check, the end.

use crate::duration::brief;
use crate::moment::Moment;
use crate::store::Listed;
use crate::watch::outcome::Outcome;

/// The width of the drawing, in its own units.
pub(super) const WIDTH: u32 = 1000;

/// The narrowest bar: small enough for a hundred, wide enough to see.
const NARROWEST: u32 = 6;

/// A part of a timeline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// What it is: a class of the style.
    pub(super) kind: Kind,
    /// Where it begins, in units of the drawing.
    pub(super) x: u32,
    /// How wide it is.
    pub(super) width: u32,
    /// When it began.
    pub(super) at: Moment,
    /// What it says.
    pub(super) label: String,
}

/// The kinds of bars. Each has a shape of its own, so that nobody has to see colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No status was seen yet.
    Unseen,
    /// `PENDING`.
    Pending,
    /// `STARTED`.
    Started,
    /// Another status.
    Other,
    /// Polls failed.
    Failing,
    /// The next poll.
    Next,
    /// It finished.
    Finished,
    /// It ended otherwise.
    Ended,
}

impl Kind {
    /// Its shape, at this place: a path in a drawing that is 100 units high.
    pub(super) fn path(self, x: u32, width: u32) -> String {
        let bar = |top: u32, bottom: u32| format!("M{x} {top}h{width}V{bottom}h-{width}z");
        let right = x + width;
        match self {
            Self::Unseen => bar(58, 70),
            Self::Pending => bar(50, 70),
            Self::Started => bar(35, 70),
            Self::Other => format!("M{x} 70V45L{} 25L{right} 45V70z", x + width / 2),
            Self::Failing => format!("{}M{x} 77l14 20M{x} 97l14 -20", bar(85, 89)),
            Self::Next => format!("M{x} 75V8l-{0} 12l{0} 12", x.min(24)),
            Self::Finished => format!("M{x} 10v80M{} 52l12 14 22 -34", x.saturating_sub(34)),
            Self::Ended => {
                let left = x.saturating_sub(34);
                format!("M{x} 10v80M{left} 35l26 30M{left} 65l26 -30")
            }
        }
    }

    /// Its class in the style.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Unseen => "u",
            Self::Pending => "p",
            Self::Started => "s",
            Self::Other => "o",
            Self::Failing => "f",
            Self::Next | Self::Finished | Self::Ended => "n",
        }
    }
}

/// The times between which a timeline lies, to scale.
struct Scale {
    from: Moment,
    whole: u128,
}

impl Scale {
    fn x(&self, at: Moment) -> u32 {
        let part = at.since(self.from).as_millis().min(self.whole) * u128::from(WIDTH) / self.whole;
        u32::try_from(part).unwrap_or(WIDTH)
    }

    fn bar(&self, kind: Kind, at: Moment, until: Moment, label: String) -> Bar {
        let x = self.x(at).min(WIDTH - NARROWEST);
        let width = self.x(until).saturating_sub(x).max(NARROWEST);
        Bar { kind, x, width, at, label }
    }
}

/// The timeline of a watch as it is `now`, in the order in which it happened. `status` makes a status fit to be shown.
pub(super) fn of(listed: &Listed, now: Moment, status: impl Fn(&str) -> String) -> Vec<Bar> {
    let progress = &listed.watch.progress;
    let started = progress.started_at();
    let end = listed.end.as_ref().map(|(outcome, at, _)| (outcome.as_str(), *at));
    let over = end.map_or(now, |(_, at)| at);
    let next = listed.due_at.filter(|_| end.is_none()).map(|due_at| due_at.max(now));
    let whole = next.unwrap_or(over).max(over).since(started).as_millis().max(1);
    let scale = Scale { from: started, whole };
    let lasted = |at: Moment, until: Moment| brief(until.since(at));
    let changes = progress.timeline();
    let seen = changes.first().map_or(over, |change| change.at);
    let mut bars = Vec::new();
    if seen > started || changes.is_empty() {
        let label = format!("no status for {}", lasted(started, seen));
        bars.push(scale.bar(Kind::Unseen, started, seen, label));
    }
    for (n, change) in changes.iter().enumerate() {
        let until = changes.get(n + 1).map_or(over, |next| next.at);
        let kind = match change.status.as_str() {
            "PENDING" => Kind::Pending,
            "STARTED" => Kind::Started,
            _ => Kind::Other,
        };
        // A status with which it ended lasts no time.
        let label = match until.since(change.at).is_zero() {
            true => status(change.status.as_str()),
            false => format!("{} for {}", status(change.status.as_str()), lasted(change.at, until)),
        };
        bars.push(scale.bar(kind, change.at, until, label));
    }
    for run in progress.failing() {
        let until = run.until.unwrap_or(over);
        let polls = crate::words::counted(run.polls.into(), "poll");
        let still = if run.until.is_none() && end.is_none() { " until now" } else { "" };
        let label = format!("{polls} failed, no answer for {}{still}", lasted(run.since, until));
        bars.push(scale.bar(Kind::Failing, run.since, until, label));
    }
    bars.sort_by_key(|bar| bar.at);
    if let Some(at) = next {
        let label = if at > now {
            format!("next check in {}", brief(at.since(now)))
        } else {
            "next check now".to_owned()
        };
        bars.push(scale.bar(Kind::Next, at, at, label));
    }
    if let Some((outcome, at)) = end {
        let kind = if outcome == Outcome::Finished.as_str() { Kind::Finished } else { Kind::Ended };
        bars.push(scale.bar(kind, at, at, format!("ended: {}", status(outcome))));
    }
    bars
}

/// The drawing in small: bars that would lie on each other are one.
pub(super) fn small(bars: &[Bar]) -> impl Iterator<Item = &Bar> {
    /// Two pixels or so.
    const APART: u32 = 16;
    let mut last: Option<(u32, bool)> = None;
    bars.iter().filter(move |bar| {
        let is_mark = matches!(bar.kind, Kind::Next | Kind::Finished | Kind::Ended);
        let is_failing = bar.kind == Kind::Failing;
        let is_apart = last.is_none_or(|(x, failing)| bar.x >= x + APART || (is_failing && !failing));
        let is_drawn = is_apart || is_mark || bar.width >= APART;
        if is_drawn {
            last = Some((bar.x, is_failing));
        }
        is_drawn
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::export::{ExportRef, Scope};
    use crate::watch::{Progress, Watch};

    const START: u64 = 1_732_529_622_000;

    fn at(seconds: u64) -> Moment {
        Moment::from_unix_ms(START).plus(Duration::from_secs(seconds))
    }

    fn listed(progress: &serde_json::Value, due_at: Option<u64>, end: Option<(&str, u64)>) -> Listed {
        let export =
            ExportRef { scope: Scope::Group, scope_id: uuid::Uuid::nil(), export_id: uuid::Uuid::nil() };
        let mut watch = Watch::unnamed(export, at(0));
        watch.progress = Progress::from_kept(&progress.to_string()).unwrap();
        let end = end.map(|(word, seconds)| (word.to_owned(), at(seconds), "{}".to_owned()));
        Listed { watch, due_at: due_at.map(at), end, deliveries: Vec::new() }
    }

    fn said(bars: &[Bar]) -> Vec<(Kind, u32, u32, &str)> {
        bars.iter().map(|bar| (bar.kind, bar.x, bar.width, bar.label.as_str())).collect()
    }

    #[test]
    fn it_has_statuses_failures_and_the_next_check() {
        let ms = |seconds: u64| START + seconds * 1000;
        let progress = json!({
            "started_at": START, "timeline": [["PENDING", ms(10)], ["STARTED", ms(40)]],
            "failing": [[ms(15), ms(20), ms(25), 3], [ms(70), ms(75), null, 1]],
        });
        let bars = of(&listed(&progress, Some(100), None), at(80), str::to_owned);
        let expected = [
            (Kind::Unseen, 0, 100, "no status for 10s"),
            (Kind::Pending, 100, 300, "PENDING for 30s"),
            (Kind::Failing, 150, 100, "3 polls failed, no answer for 10s"),
            (Kind::Started, 400, 400, "STARTED for 40s"),
            (Kind::Failing, 700, 100, "1 poll failed, no answer for 10s until now"),
            (Kind::Next, 994, 6, "next check in 20s"),
        ];
        assert_eq!(said(&bars), expected);
    }

    #[test]
    fn it_ends_with_the_end() {
        let progress =
            json!({ "started_at": START, "timeline": [["PENDING", START], ["FINISHED", START + 50_000]] });
        let bars = of(&listed(&progress, None, Some(("finished", 50))), at(9999), str::to_owned);
        let expected = [
            (Kind::Pending, 0, 1000, "PENDING for 50s"),
            (Kind::Other, 994, 6, "FINISHED"),
            (Kind::Finished, 994, 6, "ended: finished"),
        ];
        assert_eq!(said(&bars), expected);
        let none = json!({ "started_at": START });
        let bars = of(&listed(&none, None, Some(("unauthorized", 0))), at(0), str::to_owned);
        assert_eq!(said(&bars).len(), 2, "a watch that ended at once");
        assert_eq!(bars[1].kind, Kind::Ended);
    }

    #[test]
    fn a_status_that_flaps_does_not_fill_the_small_drawing() {
        let flaps: Vec<_> =
            (0..100).map(|n| json!([if n % 2 == 0 { "A" } else { "B" }, START + n * 10])).collect();
        let progress = json!({ "started_at": START, "timeline": flaps });
        let bars = of(&listed(&progress, Some(3600), None), at(3599), str::to_owned);
        assert_eq!(bars.len(), 101);
        assert!(bars.iter().all(|bar| bar.x + bar.width <= WIDTH), "{bars:?}");
        assert_eq!(small(&bars).count(), 3, "the first, the last, and the next check");
    }
}
