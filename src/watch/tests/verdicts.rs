//! When a failure is a verdict, and when it is only a blip.

use super::*;

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
fn one_refusal_after_a_good_answer_is_not_final() {
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
fn a_conflict_may_be_retried() {
    let patient = Policy { retry_conflict: true, ..policy() };
    check(&patient, &[(0, http(409), after(1)), (1, http(409), after(2)), (3, status("STARTED"), after(10))]);
}
