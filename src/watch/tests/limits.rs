//! What ends a watch whose export does not end: hints, deadlines, outages.

use super::*;

#[test]
fn time_without_polls_does_not_count_as_an_outage() {
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
    // A server that answers with a hint is not an outage.
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
        Some("asks to wait 1day, longer than --max-wait allows (50m)".to_owned())
    );
    assert_eq!(
        said(&outage, hinted(http(429), 3600), Outcome::Unavailable),
        Some("asks to wait 1h, longer than --max-outage allows (10m)".to_owned())
    );
    let progress = check(&limited, &[(3000, hinted(http(503), day), end(Outcome::TimedOut))]);
    assert_eq!(progress.overlong(), None, "the limit had come anyway");
}

#[test]
fn tries_that_a_hint_ended_say_so() {
    let policy = Policy { max_outage: Some(Duration::from_secs(600)), ..policy() };
    let Err(failure) = http(503).answer else { unreachable!() };
    let hint = Some(Duration::from_secs(3600));
    let mut tries = tries::Tries::new(START);
    let defeat = tries.failed(&failure, hint, &policy, START, &mut fastrand::Rng::with_seed(1)).unwrap_err();
    let cure =
        "the server asks to wait 1h, longer than --max-outage allows (10m): allow more with --max-outage";
    assert_eq!((defeat.outcome, defeat.problem.cure), (Outcome::Unavailable, Some(Text::new(cure))));
}

#[test]
fn a_hint_counts_for_at_most_an_hour() {
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
    assert_eq!(limit(&limited, 102), 1, "even if it starts late");
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
    // If a refused credential pauses the account, other failures are still final.
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
fn an_outage_of_a_retried_answer_ends_as_that_answer() {
    let max_outage = Some(Duration::from_secs(1));
    let conflict = Policy { retry_conflict: true, max_outage, ..policy() };
    check(&conflict, &[(0, http(409), after(1)), (1, http(409), end(Outcome::Conflict))]);
    check(&conflict, &[(0, http(409), after(1)), (1, http(503), end(Outcome::Unavailable))]);
    let reset = failed(FailureKind::Transient, Problem::new("reset", ""));
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
