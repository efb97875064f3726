//! What is shown of accounts, watches and notifications: texts and shapes.

use std::time::Duration;

use super::html::{AccountRow, Drawn, NoteRow, WatchRow, When};
use super::verdict::{late, unanswered};
use super::{query, timeline};
use crate::duration::brief;
use crate::health::{Health, Standing};
use crate::moment::Moment;
use crate::store::{ActiveAccount, DeliveryState, Listed, ListedDelivery};
use crate::watch::outcome::Outcome;
use crate::words::thousands;

/// How many labels of a watch the table shows, and how much of each and of a status.
const LABELS: usize = 4;
const CHARS: usize = 32;

/// The longest path of a link to all watches with a label, in bytes.
const LONGEST_LINK: usize = 120;

/// A text that is not too long for a table.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A moment as it is shown `now`.
pub(super) fn when(at: Moment, now: Moment) -> When {
    let shown = at.as_seen(now);
    let said = match (at.since(now), now.since(at)) {
        (Duration::ZERO, past) if past < Duration::from_secs(1) => "now".to_owned(),
        (Duration::ZERO, past) => format!("{} ago", brief(whole(past))),
        (ahead, _) => format!("in {}", brief(whole(ahead))),
    };
    let exact = shown.to_string();
    // Without the milliseconds.
    let exact = exact.split_once('.').map_or_else(|| exact.clone(), |(seconds, _)| format!("{seconds}Z"));
    When { exact, said }
}

fn whole(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs().max(1))
}

/// A state: its class, its shape and its word.
type Shape = (&'static str, &'static str, &'static str);

/// The state of an account.
pub(super) fn account(
    name: &str,
    health: &Health,
    standing: Option<&Standing>,
    active: &[ActiveAccount],
    now: Moment,
) -> AccountRow {
    let paused = standing.and_then(|standing| standing.paused.as_ref());
    let watches = active.iter().find(|it| it.account == name).map_or(0, |it| it.watches);
    let ((class, shape, word), why): (Shape, String) = if let Some(paused) = paused {
        let word = if paused.throttled { "paused by Snyk" } else { "credential refused" };
        let until = when(paused.until, now).said;
        (("bad", "‖", word), format!("{}, next try {until}", paused.problem))
    } else if health.refused_since(name).is_some() {
        (("bad", "‖", "credential refused"), String::new())
    } else if let Some((since, problem)) = unanswered(standing, now) {
        (("bad", "▲", "no answer"), format!("for {}: {problem}", brief(now.since(since))))
    } else if let Some((since, problem)) = standing.and_then(|standing| standing.unanswered.as_ref()) {
        (("warn", "▲", "failing"), format!("since {}: {problem}", when(*since, now).exact))
    } else if let Some(due_at) = late(active, name, now) {
        (("warn", "◷", "late"), format!("by up to {}", brief(now.since(due_at))))
    } else if watches == 0 {
        (("dim", "○", "no watches"), String::new())
    } else if standing.is_some_and(|standing| standing.has_answered) {
        (("good", "✓", "well"), String::new())
    } else {
        (("dim", "○", "not polled yet"), String::new())
    };
    let number = |count: Option<usize>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    let budget = standing.and_then(|standing| Some((standing.left?, standing.per_minute?)));
    let budget = budget.map_or_else(
        || "no limit".to_owned(),
        |(left, rate)| format!("{rate} requests a minute; {left} may be sent at once now"),
    );
    AccountRow {
        name: name.to_owned(),
        path: query::of_account(name),
        class,
        shape,
        word,
        why,
        watches: thousands(watches),
        under_way: number(standing.map(|standing| standing.under_way)),
        budget,
    }
}

/// The state of a watch.
fn state(listed: &Listed, is_paused: bool, now: Moment) -> (&'static str, &'static str, String) {
    let (class, shape, word) = match (&listed.end, listed.due_at) {
        (Some((outcome, ..)), _) if outcome == Outcome::Finished.as_str() => ("good", "✓", outcome.as_str()),
        (Some((outcome, ..)), _) => ("bad", "✗", outcome.as_str()),
        (None, _) if is_paused => ("bad", "‖", "account paused"),
        (None, _) if listed.watch.progress.failure().is_some() => ("warn", "▲", "last poll failed"),
        (None, Some(due_at)) if now.since(due_at) >= super::LATE => ("warn", "◷", "poll overdue"),
        (None, _) => ("", "●", "followed"),
    };
    (class, shape, cut(word, CHARS))
}

/// A watch in the table, or in full.
pub(super) fn watch(listed: &Listed, is_paused: bool, in_full: bool, now: Moment) -> WatchRow {
    let Listed { watch, due_at, end, .. } = listed;
    let (class, shape, word) = state(listed, is_paused, now);
    let cleaned = |text: &str| cut(text, CHARS);
    let bars = timeline::of(listed, now, cleaned);
    let said: Vec<&str> = bars.iter().map(|bar| bar.label.as_str()).collect();
    // What happened last says most.
    let line = said[said.len().saturating_sub(if in_full { 12 } else { 4 })..].join("; ");
    let drawn = |bar: &timeline::Bar| Drawn {
        class: bar.kind.class(),
        path: bar.kind.path(bar.x, bar.width),
        label: if in_full { bar.label.clone() } else { String::new() },
        when: when(bar.at, now),
    };
    let bars = match in_full {
        true => bars.iter().map(drawn).collect(),
        false => timeline::small(&bars).map(drawn).collect(),
    };
    let (lasts_until, shown) = match (end, due_at) {
        (Some((_, at, _)), _) => (*at, *at),
        (None, due_at) => (now, due_at.unwrap_or(now).max(now)),
    };
    let label = |(key, value): (&String, &String)| {
        // Long ones would make the page large.
        let path = Some(query::of_label(key, value)).filter(|path| path.len() <= LONGEST_LINK);
        (cut(key, CHARS), cut(value, CHARS), path.unwrap_or_default())
    };
    let export = watch.export.export_id.to_string();
    WatchRow {
        id: watch.id.to_string(),
        export: if in_full { export } else { export[..8].to_owned() },
        scope: format!("{} {}", watch.export.scope, &watch.export.scope_id.to_string()[..8]),
        class,
        shape,
        word,
        status: watch.progress.status().map(|status| cut(status.as_str(), CHARS)).unwrap_or_default(),
        line,
        bars,
        lasted: brief(whole(lasts_until.since(watch.progress.started_at()))),
        when: when(shown, now),
        account: watch.account.to_string(),
        labels: watch.labels.iter().take(LABELS).map(label).collect(),
        omitted: watch.labels.len().saturating_sub(LABELS),
    }
}

/// A notification.
pub(super) fn note(delivery: &ListedDelivery, now: Moment) -> NoteRow {
    let (class, shape) = match delivery.state {
        DeliveryState::Pending => ("warn", "◷"),
        DeliveryState::Sent => ("good", "✓"),
        DeliveryState::Undeliverable => ("bad", "✗"),
    };
    NoteRow {
        id: delivery.id.clone(),
        endpoint: delivery.endpoint.clone(),
        class,
        shape,
        word: delivery.state.as_str(),
        problem: delivery.problem.as_ref().map(ToString::to_string).unwrap_or_default(),
        watch: delivery.watch.map(|id| id.to_string()).unwrap_or_default(),
        since: when(delivery.at, now),
        attempts: delivery.attempts,
        next: delivery.due_at.map(|due_at| when(due_at.max(now), now)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::export::{ExportRef, Scope};
    use crate::watch::observation::Failure;
    use crate::watch::{Labels, Watch};

    const NOW: Moment = Moment::from_unix_ms(1_732_529_622_470);

    fn followed() -> Listed {
        let export =
            ExportRef { scope: Scope::Org, scope_id: uuid::Uuid::nil(), export_id: uuid::Uuid::nil() };
        let watch = Watch::unnamed(export, NOW.before(Duration::from_secs(90)).unwrap());
        Listed { watch, due_at: Some(NOW), end: None, deliveries: Vec::new() }
    }

    #[test]
    fn each_state_has_a_word_and_a_shape_of_its_own() {
        let end = |word: &str| Listed {
            end: Some((word.to_owned(), NOW, "{}".to_owned())),
            due_at: None,
            ..followed()
        };
        let mut failing = followed();
        failing.watch.progress.give_up(&Failure::transient("down", ""));
        let late = Listed { due_at: NOW.before(Duration::from_secs(61)), ..followed() };
        let rows = [
            (followed(), false, "followed"),
            (failing, false, "last poll failed"),
            (late, false, "poll overdue"),
            (followed(), true, "account paused"),
            (end("finished"), true, "finished"),
            (end("timed-out"), false, "timed-out"),
        ];
        let mut shapes = BTreeSet::new();
        for (listed, is_paused, word) in rows {
            let row = watch(&listed, is_paused, false, NOW);
            assert_eq!((row.word.as_str(), row.lasted.as_str()), (word, "1m 30s"));
            assert!(shapes.insert(row.shape), "{word} has the shape of another");
        }
    }

    #[test]
    fn an_account_is_well_once_it_has_answered_and_while_it_does() {
        let active = [ActiveAccount { account: "a".to_owned(), watches: 1, due_at: NOW }];
        let failed = |seconds| {
            let problem = crate::watch::observation::Problem::new("down", "");
            Some((NOW.before(Duration::from_secs(seconds)).unwrap(), problem))
        };
        let standing =
            |has_answered, unanswered| Standing { has_answered, unanswered, ..Standing::default() };
        for (standing, word, why) in [
            (standing(false, None), "not polled yet", ""),
            (standing(true, None), "well", ""),
            (standing(true, failed(2)), "failing", "since 2024-11-25T10:13:40Z: down"),
            (standing(false, failed(60)), "no answer", "for 1m: down"),
        ] {
            let row = account("a", &Health::default(), Some(&standing), &active, NOW);
            assert_eq!((row.word, row.why.as_str()), (word, why));
        }
    }

    #[test]
    fn what_is_long_is_cut_and_has_no_link() {
        let label = |key: &str, value: &str| {
            let mut listed = followed();
            listed.watch.labels = Labels::from([(key.to_owned(), value.to_owned())]);
            watch(&listed, false, false, NOW).labels.remove(0)
        };
        let short = label("team", "a b");
        assert_eq!(short, ("team".to_owned(), "a b".to_owned(), "/?label=team%3Da+b".to_owned()));
        let (key, value, path) = label(&"k".repeat(64), &"ü".repeat(256));
        assert_eq!((key, value), (format!("{}…", "k".repeat(32)), format!("{}…", "ü".repeat(32))));
        assert_eq!(path, "");
    }

    #[test]
    fn times_are_exact_and_as_people_say_them() {
        let said = |at: Moment| when(at, NOW).said;
        let [second, hour] = [1, 3600].map(Duration::from_secs);
        assert_eq!(when(NOW, NOW).exact, "2024-11-25T10:13:42Z");
        assert_eq!([said(NOW), said(NOW.plus(hour)), said(NOW.plus(second / 2))], ["now", "in 1h", "in 1s"]);
        assert_eq!(said(NOW.before(hour + second).unwrap()), "1h ago");
    }
}
