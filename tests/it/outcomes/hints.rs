//! Hints: a floor for the next poll, or the end of the watch if the hint lies beyond a limit.

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY};

#[test]
fn retry_after_is_a_floor_on_any_answer() {
    for code in [200, 429, 503] {
        let answer = match code {
            200 => "status = 'PENDING'".to_owned(),
            _ => format!("status-code = {code}"),
        };
        let lab =
            Lab::start(&format!("{READY}answers = [{{ {answer}, headers = {{ Retry-After = '1' }} }}]"));
        Program::wait(&lab).export(EXPORT_ID).run().exits(0);
        assert_eq!(lab.codes(), [code, 200]);
        assert!(lab.first_pause_ms() >= 1000, "{code}: {} ms", lab.first_pause_ms());
    }
}

#[test]
fn a_date_is_compared_with_the_date_of_the_answer_and_not_with_our_clock() {
    // By our clock, either is hours away, which would end the wait at once, or years past, which would be no pause.
    for day in ["Thu, 31 Dec 2099", "Fri, 31 Dec 1999"] {
        let headers = format!("Date = '{day} 23:59:56 GMT', Retry-After = '{day} 23:59:58 GMT'");
        let lab =
            Lab::start(&format!("{READY}answers = [{{ status-code = 503, headers = {{ {headers} }} }}]"));
        Program::wait(&lab).export(EXPORT_ID).run().exits(0);
        assert_eq!(lab.codes(), [503, 200]);
        assert!(lab.first_pause_ms() >= 2000, "{day}: {} ms", lab.first_pause_ms());
    }
}

#[test]
fn the_reset_of_an_exhausted_limit_is_a_floor() {
    for (code, remaining) in [("status-code = 429", "5"), ("status = 'PENDING'", "0")] {
        let headers = format!("X-RateLimit-Remaining = '{remaining}', X-RateLimit-Reset = '1'");
        let lab = Lab::start(&format!("{READY}answers = [{{ {code}, headers = {{ {headers} }} }}]"));
        Program::wait(&lab).export(EXPORT_ID).run().exits(0);
        assert!(lab.first_pause_ms() >= 1000, "{code}: {} ms", lab.first_pause_ms());
    }
}

#[test]
fn the_reset_of_a_limit_that_is_not_reached_is_ignored() {
    // With a floor of an hour the wait would end at once, without the export.
    let headers = "{ X-RateLimit-Remaining = '5', X-RateLimit-Reset = '3600' }";
    for answer in ["status = 'PENDING'", "status-code = 503"] {
        let lab = Lab::start(&format!("{READY}answers = [{{ {answer}, headers = {headers} }}]"));
        Program::wait(&lab).export(EXPORT_ID).run().exits(0);
        assert_eq!(lab.requests(), 2);
    }
}

#[test]
fn a_hint_beyond_the_deadline_ends_the_watch_at_once() {
    for answer in ["status-code = 429", "status-code = 503", "status = 'PENDING'"] {
        let answer = format!("{{ {answer}, headers = {{ Retry-After = '3600' }} }}");
        let lab = Lab::start(&format!("{NEVER}then = 'last'\nanswers = [{answer}]"));
        let run = Program::wait(&lab).export(EXPORT_ID).args("--max-outage 0").run();
        assert_eq!(run.exits(124).document()["outcome"], "timed-out");
        assert_eq!(lab.requests(), 1);
    }
}

#[test]
fn a_hint_beyond_the_longest_outage_ends_the_watch_at_once() {
    for code in [429, 503] {
        let answer = format!("{{ status-code = {code}, headers = {{ Retry-After = '1200' }} }}");
        let lab = Lab::start(&format!("{NEVER}then = 'last'\nanswers = [{answer}]"));
        let run = Program::wait(&lab).export(EXPORT_ID).run();
        assert_eq!(run.exits(69).document()["outcome"], "unavailable");
        assert_eq!(lab.requests(), 1);
    }
}

#[test]
fn a_hint_that_makes_no_sense_is_ignored() {
    for hint in
        ["soon", "-5", "1e999", "3600.5", "", "99999999999999999999999999", "Fri, 31 Dec 1999 23:59:59 GMT"]
    {
        let answer = format!("{{ status-code = 503, headers = {{ Retry-After = '{hint}' }} }}");
        let lab = Lab::start(&format!("{READY}answers = [{answer}]"));
        Program::wait(&lab).export(EXPORT_ID).run().exits(0);
        assert_eq!(lab.codes(), [503, 200], "{hint}");
    }
}
