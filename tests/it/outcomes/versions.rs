//! Which API version is used, and when another one is tried.

use crate::lab::{EXPORT_ID, Lab, NEVER, Program, READY, SECOND_ID, THIRD_ID};

const DEFAULT: &str = "2024-05-10~experimental";
const GA: &str = "2024-10-15";
const GONE: &str = "experimental-version = false\n";

#[test]
fn the_default_version_is_kept_where_it_answers() {
    let lab = Lab::start(&format!("{READY}answers = [{{ status = 'PENDING' }}]"));
    Program::wait(&lab).export(EXPORT_ID).run().exits(0);
    assert_eq!(lab.versions(), [DEFAULT; 2]);
}

#[test]
fn the_ga_version_is_kept_and_logged_once_if_the_default_is_gone() {
    let lab = Lab::start(&format!("{READY}{GONE}answers = [{{ status = 'PENDING', repeat = 2 }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    assert_eq!(run.exits(0).document()["polls"], 3);
    assert_eq!(lab.versions(), [DEFAULT, GA, GA, GA]);
    assert_eq!(run.stderr.matches("keeping to the GA version").count(), 1, "{run}");
}

#[test]
fn several_exports_find_the_ga_version_but_say_so_once() {
    let lab = Lab::start(&format!("{READY}{GONE}answers = [{{ status = 'PENDING', repeat = 2 }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).export(SECOND_ID).export(THIRD_ID).run();
    assert_eq!(run.exits(0).stderr.matches("keeping to the GA version").count(), 1, "{run}");
}

#[test]
fn what_is_in_neither_version_is_not_found_and_the_first_answer_stands() {
    let lab = Lab::start(&format!("{GONE}unknown-exports = 'not-found'"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    assert_eq!(run.exits(5).document()["error"]["detail"], "no matching version");
    assert_eq!((lab.versions(), lab.codes()), (vec![DEFAULT.to_owned(), GA.to_owned()], vec![404, 404]));
}

#[test]
fn another_failure_in_the_ga_version_is_the_answer() {
    let lab =
        Lab::start(&format!("{READY}{GONE}answers = [{{ status-code = 503 }}, {{ status-code = 409 }}]"));
    Program::wait(&lab).export(EXPORT_ID).run().exits(6);
    assert_eq!(lab.versions(), [DEFAULT, GA, GA], "the GA version is kept");
}

#[test]
fn an_export_may_appear_in_the_ga_version_within_its_grace() {
    let lab = Lab::start(&format!("{READY}{GONE}answers = [{{ status-code = 404, repeat = 2 }}]"));
    Program::wait(&lab).export(EXPORT_ID).args("--not-found-grace 1m").run().exits(0);
    assert_eq!(lab.codes().last(), Some(&200));
}

#[test]
fn a_default_version_that_goes_after_it_has_answered_is_replaced() {
    let answers = "answers = [{ status = 'PENDING' }, { status-code = 404 }, { status = 'PENDING' }]";
    let lab = Lab::start(&format!("{READY}{answers}"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    assert_eq!(run.exits(0).document()["polls"], 3);
    assert_eq!(lab.versions(), [DEFAULT, DEFAULT, GA, GA]);
    assert_eq!(run.stderr.matches("keeping to the GA version").count(), 1, "{run}");
}

#[test]
fn a_404_costs_two_requests() {
    let lab = Lab::start(&format!("{NEVER}answers = [{{}}, {{ status-code = 404, repeat = 6 }}]"));
    Program::wait(&lab).export(EXPORT_ID).run().exits(5);
    assert_eq!(lab.versions(), [DEFAULT, DEFAULT, GA, DEFAULT, GA, DEFAULT, GA]);
}

#[test]
fn a_version_that_has_taken_the_place_of_the_default_stays() {
    let lab = Lab::start(&format!("{NEVER}{GONE}answers = [{{}}, {{ status-code = 404, repeat = 3 }}]"));
    Program::wait(&lab).export(EXPORT_ID).run().exits(5);
    assert_eq!(lab.versions(), [DEFAULT, GA, GA, GA, GA]);
}

#[test]
fn a_version_that_the_user_set_is_never_replaced() {
    let lab = Lab::start(&format!("{READY}{GONE}"));
    Program::wait(&lab).export(EXPORT_ID).args(&format!("--api-version {DEFAULT}")).run().exits(5);
    Program::wait(&lab).export(EXPORT_ID).env("SNYK_EXPORT_API_VERSION", DEFAULT).run().exits(5);
    assert_eq!(lab.versions(), [DEFAULT; 2]);
    Program::wait(&lab).export(EXPORT_ID).args("--api-version 2025-01-01").run().exits(0);
    assert_eq!(lab.versions()[2], "2025-01-01");
}

#[test]
fn a_deprecated_version_is_logged_once() {
    let ends = "deprecation = '2026-01-01T00:00:00Z'\nsunset = '2026-07-01'\n";
    let lab = Lab::start(&format!("{READY}{ends}answers = [{{ repeat = 3, status = 'PENDING' }}]"));
    let run = Program::wait(&lab).export(EXPORT_ID).run();
    run.exits(0).stderr_has("2026-01-01T00:00:00Z").stderr_has("2026-07-01");
    assert_eq!(run.stderr.matches("the API version is deprecated").count(), 1, "{run}");
}
