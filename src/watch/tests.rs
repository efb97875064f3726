//! The rules as tables, `(at, saw, then)`, and as properties.

mod limits;
mod properties;
mod verdicts;

use super::observation::Observation;
use super::outcome::Outcome;
use super::pace::{HINT_JITTER, Pace};
use super::rules::TIMELINE_LIMIT;
use super::*;
use crate::export::{ExportRef, Phase, Scope, parse_id};
use crate::fixtures::{self, failed, hinted, http, pace, status};
use crate::text::Text;

const START: Moment = Moment::from_unix(Duration::from_secs(1_732_529_622));

/// Delays of exactly 10 s while in progress; 1, 2, 4, 8 s while failing; 5, 10, 20 s while throttled. No limits.
fn policy() -> Policy {
    Policy {
        pace: pace(10_000, 1.0, 10),
        retry: pace(1000, 2.0, 8),
        throttle: pace(5000, 2.0, 20),
        max_wait: None,
        max_outage: None,
        ..fixtures::policy()
    }
}

fn certificate() -> Observation {
    failed(FailureKind::Unrecoverable, Problem::new("untrusted", ""))
}

/// A 4xx that Snyk did not write.
fn gateway() -> Observation {
    failed(FailureKind::Gateway, Problem { http_status: Some(421), ..Problem::default() })
}

fn after(seconds: u64) -> Decision {
    Decision::PollAfter(Duration::from_secs(seconds))
}

fn end(outcome: Outcome) -> Decision {
    Decision::Finish(outcome)
}

/// Records each observation at its second and compares what follows, without the jitter of hints.
#[track_caller]
fn check(policy: &Policy, rows: &[(u64, Observation, Decision)]) -> Progress {
    let mut progress = Progress::new(START);
    for (at, observation, then) in rows {
        let now = START.plus(Duration::from_secs(*at));
        progress.begin_poll(policy, now);
        let decision = progress.record(observation, policy, now, &mut fastrand::Rng::with_seed(1));
        let matches = match (decision, *then) {
            (Decision::PollAfter(delay), Decision::PollAfter(wanted)) if observation.hint.is_some() => {
                wanted <= delay && delay <= wanted.mul_f64(1.0 + HINT_JITTER)
            }
            (decision, then) => decision == then,
        };
        assert!(matches, "at {at} s: {decision:?} instead of {then:?} after {observation:?}");
    }
    progress
}

#[test]
fn follows_an_export_to_its_end() {
    use Outcome::{Failed, Finished, UnknownStatus};
    for (word, outcome) in [
        ("FINISHED", Finished),
        ("finished", Finished),
        ("ERROR", Failed),
        ("Errored", Failed),
        ("CANCELLED", UnknownStatus),
    ] {
        let rows = [
            (0, status("PENDING"), after(10)),
            (10, status("started"), after(10)),
            (20, status(word), end(outcome)),
        ];
        let progress = check(&policy(), &rows);
        let seen: Vec<&str> = progress.timeline().iter().map(|change| change.status.as_str()).collect();
        assert_eq!(seen[..2], ["PENDING", "STARTED"]);
        assert_eq!(progress.polls(), 3);
        assert_eq!(progress.late_at_most(START.plus(Duration::from_secs(20))), Some(Duration::from_secs(10)));
    }
}

#[test]
fn an_end_after_failed_polls_was_seen_late_since_the_last_poll_that_showed_its_export() {
    let late = |rows: &[(u64, Observation, Decision)]| {
        let seen = rows.last().expect("a poll").0;
        check(&policy(), rows).late_at_most(START.plus(Duration::from_secs(seen)))
    };
    let finished = |at| (at, status("FINISHED"), end(Outcome::Finished));
    assert_eq!(late(&[finished(0)]), None, "it may have ended at any time");
    // A failed poll does not show whether the export had ended before it.
    let failed = [(0, http(503), after(1)), (1, http(503), after(2)), finished(3)];
    assert_eq!(late(&failed), Some(Duration::from_secs(3)));
    let between = [(0, status("PENDING"), after(10)), (10, http(503), after(1)), finished(11)];
    assert_eq!(late(&between), Some(Duration::from_secs(11)));
}

#[test]
fn with_a_refused_credential_a_watch_ends_only_at_its_deadline() {
    let limits = (Some(Duration::from_secs(100)), Some(Duration::from_secs(3)));
    let policy =
        Policy { refusal: Refusal::PausesAccount, max_wait: limits.0, max_outage: limits.1, ..policy() };
    let rows = [
        (0, http(401), after(1)),
        (1, http(401), after(2)),
        (50, http(401), after(4)),
        (100, http(401), end(Outcome::TimedOut)),
    ];
    check(&policy, &rows);
}

#[test]
fn the_progress_of_an_older_release_can_be_read_and_other_text_cannot() {
    let progress = Progress::from_kept(r#"{"started_at":1732529622000,"from_a_newer_release":1}"#).unwrap();
    assert_eq!(progress.to_kept(), Progress::new(START).to_kept());
    let older =
        r#"{"started_at":1732529622000,"problem":{"title":"t","cure":"c"},"timeline":[["PENDING",5]]}"#;
    let problem = Problem { title: Some(Text::new("t")), cure: Some(Text::new("c")), ..Problem::default() };
    let progress = Progress::from_kept(older).unwrap();
    assert_eq!((progress.problem(), progress.timeline()[0].at), (Some(&problem), Moment::from_unix_ms(5)));
    assert!(Progress::from_kept("").is_err() && Progress::from_kept("{}").is_err());
}

#[test]
fn words_that_the_user_adds_are_known() {
    let mut policy = policy();
    policy.vocabulary.teach(Status::new("QUEUED").unwrap(), Phase::InProgress).unwrap();
    policy.vocabulary.teach(Status::new("Done").unwrap(), Phase::Finished).unwrap();
    check(&policy, &[(0, status("queued"), after(10)), (10, status("DONE"), end(Outcome::Finished))]);
}

#[test]
fn every_http_status_has_its_class() {
    for code in 100..1000 {
        let class = FailureKind::of_http_status(code);
        let expected = match code {
            401 => FailureKind::Unauthorized,
            403 => FailureKind::Forbidden,
            404 | 410 => FailureKind::NotFound,
            409 => FailureKind::Conflict,
            429 => FailureKind::Throttled,
            408 | 425 | ..300 | 500.. => FailureKind::Transient,
            300..=499 => FailureKind::Rejected,
        };
        assert_eq!(class, expected, "{code}");
    }
}

#[test]
fn failures_have_their_own_pace_and_do_not_change_the_main_one() {
    let mut policy = policy();
    let seconds = Duration::from_secs;
    policy.pace = Pace::new(seconds(10), 2.0, seconds(80), 0.0).unwrap();
    let rows = [
        (0, status("PENDING"), after(10)),
        (10, http(502), after(1)),
        (11, http(500), after(2)),
        (13, http(503), after(4)),
        (17, http(408), after(8)),
        (25, http(599), after(8)),
        (33, status("PENDING"), after(20)),
        (53, http(502), after(1)),
        (54, status("PENDING"), after(40)),
    ];
    let progress = check(&policy, &rows);
    assert_eq!(progress.problem(), None);
}

#[test]
fn throttling_without_a_hint_has_a_longer_pace() {
    let rows = [
        (0, http(429), after(5)),
        (5, http(429), after(10)),
        (15, http(429), after(20)),
        (35, http(429), after(20)),
        (55, http(503), after(1)),
        (56, status("PENDING"), after(10)),
        (66, http(429), after(5)),
    ];
    check(&policy(), &rows);
}

#[test]
fn a_watch_that_ends_without_a_poll_does_not_count_one() {
    let mut progress = check(&policy(), &[(0, status("PENDING"), after(10))]);
    let Err(failure) = http(401).answer else { unreachable!() };
    progress.give_up(&failure);
    assert_eq!((progress.polls(), progress.failure()), (1, Some(FailureKind::Unauthorized)));
    assert_eq!(progress.problem(), Some(&failure.problem));
}

#[test]
fn a_failed_export_says_why() {
    let mut observation = status("ERROR");
    if let Ok(report) = &mut observation.answer {
        report.error = Some(Text::new("too many rows"));
    }
    let progress = check(&policy(), &[(0, observation, end(Outcome::Failed))]);
    assert_eq!(progress.problem().unwrap().to_string(), "HTTP 200: the export failed: too many rows");
}

#[test]
fn facts_that_snyk_sent_once_are_remembered() {
    let mut observation = status("STARTED");
    if let Ok(report) = &mut observation.answer {
        (report.created, report.row_count) = (Some("2024-11-25T10:13:42.000Z".to_owned()), Some(1061));
    }
    let silent = check(&policy(), &[(0, status("PENDING"), after(10))]);
    assert_eq!((silent.created(), silent.row_count()), (None, None));
    let progress = check(
        &policy(),
        &[
            (0, observation, after(10)),
            (10, http(503), after(1)),
            (11, status("FINISHED"), end(Outcome::Finished)),
        ],
    );
    assert_eq!((progress.created(), progress.row_count()), (Some("2024-11-25T10:13:42.000Z"), Some(1061)));
}

#[test]
fn a_timeline_does_not_grow_without_end() {
    let mut progress = Progress::new(START);
    for second in 0..1000 {
        let word = if second % 2 == 0 { "PENDING" } else { "STARTED" };
        progress.record(
            &status(word),
            &policy(),
            START.plus(Duration::from_secs(second)),
            &mut fastrand::Rng::new(),
        );
    }
    assert_eq!(progress.timeline().len(), TIMELINE_LIMIT);
    assert_eq!(progress.timeline()[0].at, START);
    assert_eq!(progress.timeline().last().unwrap().at, START.plus(Duration::from_secs(999)));
}

#[test]
fn an_export_prints_as_a_path_that_can_be_pasted() {
    let id = parse_id("7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b").unwrap();
    let export = ExportRef { scope: Scope::Org, scope_id: id, export_id: id };
    assert_eq!(
        export.to_string(),
        "/orgs/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b/jobs/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b"
    );
}
