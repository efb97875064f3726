//! The rules as tables, `(at, saw, then)`, and as properties.

use proptest::prelude::*;

use super::observation::{Failure, Observation, Report};
use super::outcome::Outcome;
use super::pace::{HINT_JITTER, Pace};
use super::rules::TIMELINE_LIMIT;
use super::*;
use crate::export::{ExportRef, Phase, Scope, Vocabulary, parse_id};
use crate::text::Text;

const START: Moment = Moment::from_unix(Duration::from_secs(1_732_529_622));

/// Delays of exactly 10 s while in progress; 1, 2, 4, 8 s while failing; 5, 10, 20 s while throttled.
pub(super) fn policy() -> Policy {
    let seconds = Duration::from_secs;
    Policy {
        pace: Pace::new(seconds(10), 1.0, seconds(10), 0.0).unwrap(),
        retry: Pace::new(seconds(1), 2.0, seconds(8), 0.0).unwrap(),
        throttle: Pace::new(seconds(5), 2.0, seconds(20), 0.0).unwrap(),
        max_wait: None,
        max_outage: None,
        request_timeout: seconds(30),
        not_found_grace: Duration::ZERO,
        retry_conflict: false,
        unrecoverable_is_final: true,
        refusal: Refusal::EndsWatch,
        vocabulary: Vocabulary::default(),
        max_in_progress: Vec::new(),
    }
}

fn saw(answer: Result<Report, Failure>) -> Observation {
    Observation { answer, hint: None }
}

pub(super) fn status(word: &str) -> Observation {
    let status = Status::new(word).unwrap();
    saw(Ok(Report { status, created: None, row_count: None, results: None, error: None }))
}

/// An answer with an HTTP status and no status word.
pub(super) fn http(code: u16) -> Observation {
    let problem = Problem { http_status: Some(code), ..Problem::default() };
    saw(Err(Failure { kind: FailureKind::of_http_status(code), problem }))
}

fn certificate() -> Observation {
    saw(Err(Failure { kind: FailureKind::Unrecoverable, problem: Problem::new("untrusted", "") }))
}

/// A 4xx that Snyk did not write.
fn gateway() -> Observation {
    let problem = Problem { http_status: Some(421), ..Problem::default() };
    saw(Err(Failure { kind: FailureKind::Gateway, problem }))
}

pub(super) fn hinted(observation: Observation, seconds: u64) -> Observation {
    Observation { hint: Some(Duration::from_secs(seconds)), ..observation }
}

fn after(seconds: u64) -> Decision {
    Decision::PollAfter(Duration::from_secs(seconds))
}

fn end(outcome: Outcome) -> Decision {
    Decision::Finish(outcome)
}

/// Records each observation at its second and compares what follows; jitter of hints is left out.
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
fn a_credential_that_is_waited_for_ends_only_at_the_deadline() {
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
fn the_time_in_which_nobody_could_ask_makes_no_outage() {
    let policy = Policy { max_outage: Some(Duration::from_secs(5)), ..policy() };
    // The server asked for a pause, and then one poll failed.
    let rows = [
        (0, hinted(status("PENDING"), 6), after(10)),
        (10, http(502), after(1)),
        (11, status("PENDING"), after(10)),
        (1000, http(502), after(1)),
    ];
    check(&policy, &rows);
    // The account was blocked, or the daemon was not running, between two polls of an outage.
    let rows = [
        (0, http(502), after(1)),
        (100_000, http(502), after(2)),
        (100_002, http(502), after(2)),
        (200_000, http(502), end(Outcome::Unavailable)),
    ];
    let progress = check(&policy, &rows);
    assert_eq!(progress.overlong(), None);
}

#[test]
fn what_an_older_release_kept_can_be_read_and_what_is_none_cannot() {
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
fn taught_words_count() {
    let mut policy = policy();
    policy.vocabulary.teach(Status::new("QUEUED").unwrap(), Phase::InProgress).unwrap();
    policy.vocabulary.teach(Status::new("Done").unwrap(), Phase::Finished).unwrap();
    check(&policy, &[(0, status("queued"), after(10)), (10, status("DONE"), end(Outcome::Finished))]);
}

#[test]
fn permanent_failures_end_at_once() {
    use Outcome::{Conflict, Forbidden, NotFound, Rejected, Unauthorized, Unavailable};
    let table = [
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (410, NotFound),
        (409, Conflict),
        (400, Rejected),
    ];
    for (code, outcome) in table {
        check(&policy(), &[(0, http(code), end(outcome))]);
    }
    check(&policy(), &[(0, certificate(), end(Unavailable))]);
    let patient = Policy { unrecoverable_is_final: false, ..policy() };
    check(&patient, &[(0, certificate(), after(1))]);
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
fn failures_have_their_own_pace_and_leave_the_main_one_alone() {
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
fn hints_are_a_floor() {
    let rows = [
        (0, hinted(status("PENDING"), 60), after(60)),
        (60, hinted(http(429), 7), after(7)),
        (67, hinted(http(503), 0), after(2)),
        (69, hinted(http(503), 45), after(45)),
        (120, hinted(status("PENDING"), 1), after(10)),
    ];
    check(&policy(), &rows);
}

#[test]
fn a_hint_beyond_a_limit_ends_the_watch_now() {
    let limited = Policy { max_wait: Some(Duration::from_secs(100)), ..policy() };
    check(&limited, &[(0, hinted(status("PENDING"), 101), end(Outcome::TimedOut))]);
    check(&limited, &[(0, hinted(http(429), 101), end(Outcome::TimedOut))]);
    check(&limited, &[(0, hinted(status("PENDING"), 100), after(100))]);
    let outage = Policy { max_outage: Some(Duration::from_secs(50)), ..policy() };
    check(&outage, &[(0, hinted(http(503), 51), end(Outcome::Unavailable))]);
    check(&outage, &[(0, http(503), after(1)), (1, hinted(http(503), 50), end(Outcome::Unavailable))]);
    // A server that answers and asks for patience is no outage.
    check(&outage, &[(0, hinted(status("PENDING"), 51), after(51))]);
}

#[test]
fn a_hint_that_ends_the_watch_is_named_with_the_limit() {
    let said = |policy: &Policy, observation, outcome| {
        let progress = check(policy, &[(0, observation, end(outcome))]);
        progress.overlong().map(|overlong| overlong.to_string())
    };
    let limited = Policy { max_wait: Some(Duration::from_secs(3000)), ..policy() };
    let outage = Policy { max_outage: Some(Duration::from_secs(600)), ..policy() };
    let day = 24 * 60 * 60;
    assert_eq!(
        said(&limited, hinted(status("PENDING"), day), Outcome::TimedOut),
        Some("asks to wait 1day; --max-wait is 50m".to_owned())
    );
    assert_eq!(
        said(&outage, hinted(http(429), 3600), Outcome::Unavailable),
        Some("asks to wait 1h; --max-outage is 10m".to_owned())
    );
    let progress = check(&limited, &[(3000, hinted(http(503), day), end(Outcome::TimedOut))]);
    assert_eq!(progress.overlong(), None, "the limit had come anyway");
}

#[test]
fn tries_that_a_hint_has_ended_say_so() {
    let policy = Policy { max_outage: Some(Duration::from_secs(600)), ..policy() };
    let Err(failure) = http(503).answer else { unreachable!() };
    let hint = Some(Duration::from_secs(3600));
    let mut tries = tries::Tries::new(START);
    let defeat = tries.failed(&failure, hint, &policy, START, &mut fastrand::Rng::with_seed(1)).unwrap_err();
    let cure = "the server asks to wait 1h; --max-outage is 10m: allow more with --max-outage";
    assert_eq!((defeat.outcome, defeat.problem.cure), (Outcome::Unavailable, Some(Text::new(cure))));
}

#[test]
fn no_hint_counts_for_more_than_an_hour() {
    let year = 365 * 24 * 60 * 60;
    check(&policy(), &[(0, hinted(status("PENDING"), year), after(3600))]);
    let limited = Policy { max_wait: Some(Duration::from_secs(2 * 3600)), ..policy() };
    check(&limited, &[(0, hinted(http(429), year), after(3600))]);
}

#[test]
fn the_last_poll_is_made_at_the_deadline() {
    let limited = Policy { max_wait: Some(Duration::from_secs(25)), ..policy() };
    let rows = [
        (0, status("PENDING"), after(10)),
        (10, status("PENDING"), after(10)),
        (20, status("PENDING"), after(5)),
        (25, status("PENDING"), end(Outcome::TimedOut)),
    ];
    check(&limited, &rows);
    check(&limited, &[(0, status("PENDING"), after(10)), (26, status("FINISHED"), end(Outcome::Finished))]);
    check(&limited, &[(24, http(503), after(1)), (25, http(403), end(Outcome::Forbidden))]);
    let progress = check(&limited, &[(24, http(503), after(1)), (25, http(502), end(Outcome::TimedOut))]);
    assert_eq!(progress.problem().unwrap().http_status, Some(502));
}

#[test]
fn a_poll_gets_one_second_beyond_the_deadline() {
    let limited = Policy { max_wait: Some(Duration::from_secs(100)), ..policy() };
    let limit = |policy: &Policy, at| {
        Progress::new(START).begin_poll(policy, START.plus(Duration::from_secs(at))).as_secs()
    };
    assert_eq!(limit(&limited, 0), 30);
    assert_eq!(limit(&limited, 71), 30);
    assert_eq!(limit(&limited, 72), 29);
    assert_eq!(limit(&limited, 100), 1);
    assert_eq!(limit(&limited, 102), 1, "however late it starts");
    let hasty = Policy { request_timeout: Duration::from_millis(10), ..limited };
    assert_eq!(Progress::new(START).begin_poll(&hasty, START.plus(Duration::from_secs(100))).as_millis(), 10);
    assert_eq!(limit(&policy(), 1_000_000), 30);
}

#[test]
fn an_outage_ends_when_it_has_lasted_too_long() {
    let impatient = Policy { max_outage: Some(Duration::from_secs(10)), ..policy() };
    let rows = [
        (0, http(503), after(1)),
        (1, http(503), after(2)),
        (3, status("PENDING"), after(10)),
        (13, http(503), after(1)),
        (14, http(500), after(2)),
        (16, http(500), after(4)),
        (20, http(429), after(3)),
        (23, http(503), end(Outcome::Unavailable)),
    ];
    check(&impatient, &rows);
    // Where a refused credential is waited out, other failures are not.
    let rows = [
        (0, http(503), after(1)),
        (1, http(503), after(2)),
        (3, http(503), after(4)),
        (7, http(503), after(3)),
        (10, http(503), end(Outcome::Unavailable)),
    ];
    check(&Policy { refusal: Refusal::PausesAccount, ..impatient }, &rows);
    check(&policy(), &[(0, http(503), after(1)), (1_000_000, http(503), after(2))]);
}

#[test]
fn a_request_that_fails_slowly_counts_with_its_own_time() {
    let impatient = Policy { max_outage: Some(Duration::from_secs(40)), ..policy() };
    let mut progress = Progress::new(START);
    let mut fail = |began_at, now| {
        let [began_at, now] = [began_at, now].map(|seconds| START.plus(Duration::from_secs(seconds)));
        progress.begin_poll(&impatient, began_at);
        progress.record(&http(504), &impatient, now, &mut fastrand::Rng::with_seed(1))
    };
    assert_eq!([fail(0, 30), fail(31, 61), fail(63, 93)], [after(1), after(2), end(Outcome::Unavailable)]);
}

#[test]
fn an_outage_of_a_retried_answer_means_what_the_answer_means() {
    let max_outage = Some(Duration::from_secs(1));
    let conflict = Policy { retry_conflict: true, max_outage, ..policy() };
    check(&conflict, &[(0, http(409), after(1)), (1, http(409), end(Outcome::Conflict))]);
    check(&conflict, &[(0, http(409), after(1)), (1, http(503), end(Outcome::Unavailable))]);
    let reset = saw(Err(Failure { kind: FailureKind::Transient, problem: Problem::new("reset", "") }));
    check(&conflict, &[(0, http(409), after(1)), (1, reset.clone(), end(Outcome::Conflict))]);
    let longer = Policy { max_outage: Some(Duration::from_secs(3)), ..conflict };
    check(
        &longer,
        &[(0, http(409), after(1)), (1, http(503), after(2)), (3, reset, end(Outcome::Unavailable))],
    );
    let grace = Policy { not_found_grace: Duration::from_secs(60), max_outage, ..policy() };
    check(&grace, &[(0, http(404), after(1)), (1, http(404), end(Outcome::NotFound))]);
}

#[test]
fn the_earlier_limit_decides() {
    let both = |max_wait, max_outage| {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        Policy { max_wait: seconds(max_wait), max_outage: seconds(max_outage), ..policy() }
    };
    let then = |outcome| [(0, http(503), after(1)), (1, http(503), end(outcome))];
    check(&both(1, 2), &then(Outcome::TimedOut));
    check(&both(2, 1), &then(Outcome::Unavailable));
    check(&both(1, 1), &then(Outcome::TimedOut));
}

#[test]
fn a_missing_export_may_still_appear_within_the_grace() {
    let grace = Policy { not_found_grace: Duration::from_secs(30), ..policy() };
    check(
        &grace,
        &[(0, http(404), after(1)), (29, http(410), after(2)), (30, http(404), end(Outcome::NotFound))],
    );
    check(&grace, &[(0, http(404), after(1)), (29, status("PENDING"), after(10))]);
}

#[test]
fn an_export_that_was_seen_must_be_missing_three_times_in_a_row() {
    let rows = [
        (0, status("PENDING"), after(10)),
        (10, http(404), after(1)),
        (11, http(410), after(2)),
        (13, http(404), end(Outcome::NotFound)),
    ];
    check(&policy(), &rows);
    let interrupted = [
        (0, status("PENDING"), after(10)),
        (10, http(404), after(1)),
        (11, http(404), after(2)),
        (13, http(503), after(4)),
        (17, http(404), after(8)),
        (25, http(404), after(8)),
        (33, status("PENDING"), after(10)),
        (43, http(404), after(1)),
    ];
    check(&policy(), &interrupted);
}

#[test]
fn one_refusal_after_a_good_answer_is_no_verdict() {
    use Outcome::{Forbidden, Rejected, Unauthorized};
    for (code, outcome) in [(401, Unauthorized), (403, Forbidden)] {
        let rows = [
            (0, status("PENDING"), after(10)),
            (10, http(code), after(1)),
            (11, status("PENDING"), after(10)),
            (21, http(code), after(1)),
            (22, http(503), after(2)),
            (24, http(code), after(4)),
            (28, http(code), end(outcome)),
        ];
        check(&policy(), &rows);
    }
    let rows = [
        (0, status("PENDING"), after(10)),
        (10, gateway(), after(1)),
        (11, gateway(), after(2)),
        (13, gateway(), end(Rejected)),
    ];
    check(&policy(), &rows);
    check(&policy(), &[(0, gateway(), end(Rejected))]);
    check(&policy(), &[(0, status("PENDING"), after(10)), (10, http(400), end(Rejected))]);
}

#[test]
fn a_watch_that_ends_without_a_poll_counts_none() {
    let mut progress = check(&policy(), &[(0, status("PENDING"), after(10))]);
    let Err(failure) = http(401).answer else { unreachable!() };
    progress.give_up(&failure);
    assert_eq!((progress.polls(), progress.failure()), (1, Some(FailureKind::Unauthorized)));
    assert_eq!(progress.problem(), Some(&failure.problem));
}

#[test]
fn a_conflict_may_be_waited_out() {
    let patient = Policy { retry_conflict: true, ..policy() };
    check(&patient, &[(0, http(409), after(1)), (1, http(409), after(2)), (3, status("STARTED"), after(10))]);
}

#[test]
fn an_export_that_stays_too_long_in_one_status_has_stalled() {
    let limit = (Status::new("pending").unwrap(), Duration::from_secs(25));
    let watchful = Policy { max_in_progress: vec![limit], ..policy() };
    let rows = [
        (0, status("PENDING"), after(10)),
        (10, status("PENDING"), after(10)),
        (20, status("PENDING"), after(5)),
        (25, status("PENDING"), end(Outcome::Stalled)),
    ];
    check(&watchful, &rows);
    let moved_on = [
        (0, status("PENDING"), after(10)),
        (24, status("STARTED"), after(10)),
        (90, status("STARTED"), after(10)),
    ];
    check(&watchful, &moved_on);
    let limited = Policy { max_wait: Some(Duration::from_secs(20)), ..watchful };
    check(&limited, &[(0, status("PENDING"), after(10)), (30, status("PENDING"), end(Outcome::TimedOut))]);
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
fn what_snyk_has_said_once_is_remembered() {
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

/// Any answer, most of which do not end a watch.
fn any_observation() -> impl Strategy<Value = Observation> {
    let answer = prop_oneof![
        4 => prop_oneof![Just("PENDING"), Just("STARTED")].prop_map(status),
        1 => prop_oneof![Just("FINISHED"), Just("ERROR"), Just("ODD")].prop_map(status),
        4 => prop_oneof![Just(429_u16), Just(408), 500_u16..600].prop_map(http),
        1 => prop_oneof![Just(404_u16), Just(409), Just(410)].prop_map(http),
        1 => (100_u16..600).prop_map(http),
        1 => Just(certificate()),
        1 => Just(gateway()),
    ];
    let hint =
        prop_oneof![3 => Just(None), 1 => (0_u64..5000).prop_map(|ms| Some(Duration::from_millis(ms)))];
    (answer, hint).prop_map(|(observation, hint)| Observation { hint, ..observation })
}

/// The longest pause of any policy below: 5 s and 60 s, doubled by jitter.
const LONGEST: Duration = Duration::from_secs(130);

fn any_policy() -> impl Strategy<Value = Policy> {
    let limit =
        || prop_oneof![Just(None), (1_u64..200).prop_map(|seconds| Some(Duration::from_secs(seconds)))];
    let pace =
        (1_u64..5000, 1.0..3.0, 0_u64..60_000, 0.0..=1.0).prop_map(|(initial, multiplier, span, jitter)| {
            let [initial, max] = [initial, initial + span].map(Duration::from_millis);
            Pace::new(initial, multiplier, max, jitter).unwrap()
        });
    (pace.clone(), pace, limit(), limit(), limit(), any::<bool>()).prop_map(
        |(pace, retry, max_wait, max_outage, grace, retry_conflict)| {
            let not_found_grace = grace.unwrap_or_default();
            Policy { pace, retry, max_wait, max_outage, not_found_grace, retry_conflict, ..policy() }
        },
    )
}

proptest! {
    /// A watch that is kept and read again after each poll goes on as one that never was.
    #[test]
    fn a_watch_that_was_kept_goes_on_where_it_was(
        policy in any_policy(),
        observations in prop::collection::vec((any_observation(), 0_u64..2000), 1..60),
        seed: u64,
    ) {
        let mut rngs = [seed, seed].map(fastrand::Rng::with_seed);
        let (mut whole, mut kept) = (Progress::new(START), Progress::new(START));
        let mut now = START;
        for (observation, took) in &observations {
            let limits = [whole.begin_poll(&policy, now), kept.begin_poll(&policy, now)];
            prop_assert_eq!(limits[0], limits[1]);
            now = now.plus(Duration::from_millis(*took));
            let [first, second] = &mut rngs;
            let decision = whole.record(observation, &policy, now, first);
            prop_assert_eq!(decision, kept.record(observation, &policy, now, second));
            let text = kept.to_kept();
            kept = Progress::from_kept(&text).unwrap();
            prop_assert_eq!(kept.to_kept(), text);
            prop_assert_eq!(whole.timeline(), kept.timeline());
            prop_assert_eq!(whole.problem(), kept.problem());
            let Decision::PollAfter(delay) = decision else { return Ok(()) };
            // A store keeps whole milliseconds.
            now = Moment::from_unix_ms(now.plus(delay).unix_ms());
        }
    }

    /// Whatever a server answers: a delay respects every floor and limit, and every watch with a deadline ends.
    #[test]
    fn the_rules_hold_for_any_answers(
        policy in any_policy(),
        observations in prop::collection::vec((any_observation(), 0_u64..2000), 1..120),
        seed: u64,
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut progress = Progress::new(START);
        let mut now = START;
        // The outage, as slowly and plainly as it can be told: when each poll of it began and ended, and what was planned.
        let mut failures: Vec<(Moment, Moment, Duration)> = Vec::new();
        for (observation, took) in &observations {
            let limit = progress.begin_poll(&policy, now);
            prop_assert!(limit <= policy.request_timeout);
            let started = now;
            now = now.plus(Duration::from_millis(*took).min(limit));
            let decision = progress.record(observation, &policy, now, &mut rng);
            let deadline = progress.deadline(&policy);
            if observation.answer.is_ok() {
                failures.clear();
            }
            if let Some(deadline) = deadline {
                prop_assert!(started <= deadline, "no poll starts after the deadline");
                prop_assert!(now <= deadline.plus(LAST_POLL));
            }
            let Decision::PollAfter(delay) = decision else { return Ok(()) };
            prop_assert!(!delay.is_zero(), "no poll follows at once");
            prop_assert!(observation.hint.is_none_or(|hint| hint <= delay), "a hint is a floor");
            if let Some(deadline) = deadline {
                prop_assert!(now < deadline, "what goes on after the deadline has no end");
            }
            if observation.answer.is_err() {
                failures.push((started, now, delay));
                let gap = |pair: &[(Moment, Moment, Duration)]| {
                    let ((_, before, planned), (began, ended, _)) = (pair[0], pair[1]);
                    ended.since(before).min(planned + ended.since(began))
                };
                let outage: Duration = failures.windows(2).map(gap).sum();
                prop_assert!(policy.max_outage.is_none_or(|max| outage < max), "an outage has its end");
            }
            let hint = observation.hint.unwrap_or_default();
            prop_assert!(delay <= LONGEST.max(hint.mul_f64(1.0 + HINT_JITTER)) + Duration::from_micros(1));
            now = now.plus(delay);
        }
    }

    /// A failure, however long it lasts, does not change the pace of what follows it.
    #[test]
    fn failures_leave_the_main_pace_alone(failures in prop::collection::vec(500_u16..600, 0..20), polls in 1_usize..40) {
        let steady = Policy {
            pace: Pace::new(Duration::from_millis(500), 1.1, Duration::from_secs(30), 0.0).unwrap(),
            ..policy()
        };
        let next = |interruptions: &[u16]| {
            let mut progress = Progress::new(START);
            let mut rng = fastrand::Rng::new();
            for _ in 0..polls {
                progress.record(&status("PENDING"), &steady, START, &mut rng);
            }
            for code in interruptions {
                progress.record(&http(*code), &steady, START, &mut rng);
            }
            progress.record(&status("PENDING"), &steady, START, &mut rng)
        };
        prop_assert_eq!(next(&failures), next(&[]));
    }
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
