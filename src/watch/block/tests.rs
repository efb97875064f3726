//! What blocks an account, answer by answer. What an answer proves depends on when its poll began.

use super::*;
use crate::fixtures::{hinted, http, policy, status};

/// The moment `seconds` after the start.
fn at(seconds: u64) -> Moment {
    Moment::from_unix_ms(1_732_529_622_000).plus(Duration::from_secs(seconds))
}

/// A block with everything that it depends on. Moments are in seconds.
struct Blocked {
    blocking: Blocking,
    policy: Policy,
    /// The progress of the watch that is polled.
    progress: Progress,
}

impl Blocked {
    fn new(refusal: Refusal) -> Self {
        let policy = Policy { refusal, max_wait: None, max_outage: None, ..policy() };
        Self { blocking: Blocking::default(), policy, progress: Progress::new(at(0)) }
    }

    /// One whose credential worked at second 10 and was refused at second 20.
    fn doubted() -> Self {
        let mut bed = Self::new(Refusal::PausesAccount);
        assert_eq!(bed.says(&status("PENDING"), 10, 10), None);
        assert_eq!(bed.says(&http(401), 20, 20), None);
        assert!(bed.blocking.is_blocked(at(1000)), "a doubt does not end by itself");
        bed
    }

    /// One whose credential was refused at second 20 and never worked.
    fn refused(refusal: Refusal) -> Self {
        let mut bed = Self::new(refusal);
        assert_eq!(bed.says(&http(401), 19, 20), Some("refused".to_owned()));
        bed
    }

    /// What an answer says about the credential, if its poll began and ended then.
    fn says(&mut self, answer: &Observation, polled_at: u64, now: u64) -> Option<String> {
        self.progress.begin_poll(&self.policy, at(polled_at));
        let news = self.blocking.record_credential(answer, &self.progress, &self.policy, at(now));
        news.and_then(|news| match news {
            News::Refused(_) => Some("refused".to_owned()),
            News::Works(paused) => paused.map(|paused| format!("works after {} s", paused.as_secs())),
        })
    }

    /// Until when an answer blocks the account because of its pace.
    fn slows(&mut self, answer: &Observation, polled_at: u64, now: u64) -> Option<u64> {
        let mut rng = fastrand::Rng::with_seed(1);
        let until = self.blocking.record_pace(answer, at(polled_at), &self.policy, at(now), &mut rng);
        until.map(|until| until.since(at(0)).as_secs())
    }

    fn until(&self) -> u64 {
        self.blocking.until().since(at(0)).as_secs()
    }
}

fn hint(seconds: u64) -> Observation {
    hinted(http(429), seconds)
}

#[test]
fn a_401_to_a_poll_from_before_the_last_good_answer_is_ignored() {
    for (polled_at, is_blocked) in [(9, false), (10, true), (11, true)] {
        let mut bed = Blocked::new(Refusal::PausesAccount);
        bed.says(&status("PENDING"), 10, 10);
        bed.says(&http(401), polled_at, 12);
        assert_eq!(bed.blocking.is_blocked(at(12)), is_blocked, "{polled_at}");
    }
}

#[test]
fn a_doubt_is_confirmed_by_a_poll_that_began_no_earlier() {
    for (polled_at, news, until) in [(19, None, 21), (20, Some("refused"), 55), (21, Some("refused"), 55)] {
        let mut bed = Blocked::doubted();
        assert_eq!(bed.until(), 21, "the first delay of a retry");
        assert_eq!(bed.says(&http(401), polled_at, 25).as_deref(), news, "{polled_at}");
        assert_eq!(bed.until(), until, "{polled_at}");
    }
}

#[test]
fn a_doubt_is_over_with_a_good_answer_to_a_poll_that_began_no_earlier() {
    for (polled_at, is_blocked) in [(19, true), (20, false), (21, false)] {
        let mut bed = Blocked::doubted();
        assert_eq!(bed.says(&status("PENDING"), polled_at, 25), None, "the doubt was not reported");
        assert_eq!(bed.blocking.is_blocked(at(25)), is_blocked, "{polled_at}");
    }
}

#[test]
fn an_answer_that_proves_nothing_delays_the_next_try_of_a_doubt_only() {
    for (code, polled_at, until) in [(503, 19, 21), (503, 20, 26), (429, 21, 26)] {
        let mut bed = Blocked::doubted();
        assert_eq!(bed.says(&http(code), polled_at, 25), None);
        assert_eq!(bed.until(), until, "{code} to a poll of {polled_at}");
        assert!(bed.blocking.is_blocked(at(25)));
    }
    let mut bed = Blocked::refused(Refusal::PausesAccount);
    assert_eq!(bed.says(&http(503), 30, 40), None);
    assert_eq!(bed.until(), 50);
    for code in [403, 404, 409] {
        let mut bed = Blocked::doubted();
        bed.says(&http(code), 20, 25);
        assert!(!bed.blocking.is_blocked(at(25)), "{code} proves that the credential works");
    }
}

#[test]
fn a_refusal_lasts_until_the_next_good_answer_and_is_reported_once() {
    let mut bed = Blocked::refused(Refusal::PausesAccount);
    assert_eq!(bed.until(), 50, "half a minute");
    assert_eq!(bed.says(&http(401), 50, 51), None);
    assert_eq!((bed.until(), bed.blocking.is_blocked(at(1000))), (81, true));
    assert_eq!(bed.says(&status("PENDING"), 19, 85), None, "an answer to an older poll");
    assert!(bed.blocking.is_blocked(at(85)));
    assert_eq!(bed.says(&status("PENDING"), 20, 90).as_deref(), Some("works after 70 s"));
    assert!(!bed.blocking.is_blocked(at(90)));
}

#[test]
fn a_credential_that_worked_before_a_restart_is_only_doubted() {
    let mut bed = Blocked::new(Refusal::PausesAccount);
    let mut rng = fastrand::Rng::with_seed(1);
    bed.progress.record(&status("PENDING"), &bed.policy, at(0), &mut rng);
    assert_eq!(bed.says(&http(401), 1, 2), None);
    assert_eq!((bed.until(), bed.blocking.is_blocked(at(2))), (3, true));
}

#[test]
fn the_policy_decides_what_a_refusal_does() {
    let mut bed = Blocked::new(Refusal::EndsWatch);
    assert_eq!(bed.says(&http(401), 1, 2), None);
    assert!(!bed.blocking.is_blocked(at(2)));
    let mut bed = Blocked::refused(Refusal::EndsAccount);
    assert!(!bed.blocking.may_ask(at(1_000_000)), "it is never tried again");
    assert_eq!(bed.blocking.over(&bed.policy, at(20)), Some(at(20)), "all end");
    let bed = Blocked::refused(Refusal::PausesAccount);
    assert_eq!(bed.blocking.over(&bed.policy, at(20)), None);
    let mut bed = Blocked::doubted();
    bed.policy.refusal = Refusal::EndsAccount;
    assert_eq!(bed.blocking.over(&bed.policy, at(20)), None, "a doubt ends nothing");
    // The second 401 is believed.
    assert_eq!(bed.says(&http(401), 21, 22).as_deref(), Some("refused"));
    assert_eq!(bed.blocking.over(&bed.policy, at(22)), Some(at(22)));
}

#[test]
fn a_refusal_and_a_429_do_not_end_each_other() {
    let mut bed = Blocked::new(Refusal::PausesAccount);
    bed.slows(&http(429), 0, 0);
    assert_eq!((bed.until(), bed.says(&http(401), 0, 1).as_deref()), (5, Some("refused")));
    assert_eq!(bed.until(), 31);
    // A pause that is longer than the time to the next try.
    let until = bed.slows(&hint(100), 31, 32).unwrap();
    assert!((132..=142).contains(&until), "{until}");
    assert_eq!((bed.until(), bed.blocking.is_blocked(at(500))), (until, true), "it is still refused");
    assert_eq!(bed.says(&http(401), 33, 34), None);
    assert_eq!(bed.until(), until, "the pause is kept");
    // A credential that has worked is doubted, 429 or not.
    let mut bed = Blocked::new(Refusal::PausesAccount);
    bed.says(&status("PENDING"), 0, 0);
    bed.slows(&http(429), 0, 0);
    assert_eq!((bed.says(&http(401), 0, 1), bed.until()), (None, 5));
    assert!(bed.blocking.is_blocked(at(5)));
}

#[test]
fn one_poll_tries_the_credential_each_time() {
    let mut bed = Blocked::refused(Refusal::PausesAccount);
    assert!(!bed.blocking.may_ask(at(49)) && bed.blocking.may_ask(at(50)));
    assert!(!bed.blocking.may_ask(at(50)) && !bed.blocking.may_ask(at(79)) && bed.blocking.may_ask(at(80)));
    assert!(Blocking::default().may_ask(at(50)), "without a block");
    let mut renewed = Blocked::refused(Refusal::PausesAccount).blocking.tried_now();
    assert!(renewed.is_blocked(at(21)) && renewed.may_ask(at(21)), "the credential may be a new one");
    let mut bed = Blocked::new(Refusal::PausesAccount);
    bed.slows(&http(429), 0, 0);
    let slowed = bed.blocking.tried_now();
    assert_eq!([4, 5].map(|now| slowed.is_blocked(at(now))), [true, false], "a 429 blocks any credential");
}

#[test]
fn only_polls_that_began_after_the_first_429_advance_the_pace() {
    let mut bed = Blocked::new(Refusal::PausesAccount);
    assert_eq!(bed.slows(&http(503), 0, 0), None);
    assert_eq!(bed.slows(&http(429), 0, 1), Some(6));
    assert_eq!(bed.slows(&http(429), 0, 2), None, "it was under way during the first");
    assert_eq!(bed.slows(&http(429), 1, 3), Some(13), "10 s");
    assert_eq!(bed.slows(&status("PENDING"), 2, 14), None);
    assert_eq!(bed.slows(&http(429), 14, 15), Some(35), "20 s: that answer was from before");
    assert_eq!(bed.slows(&status("PENDING"), 15, 40), None);
    assert_eq!(bed.slows(&http(429), 41, 42), Some(47), "5 s: an answer has come");
}

#[test]
fn a_pause_by_hint_is_respected_and_never_shortened() {
    let mut bed = Blocked::new(Refusal::PausesAccount);
    assert_eq!(bed.slows(&hint(0), 0, 0), Some(1), "a hint of 0 is a second");
    let until = bed.slows(&hint(100), 10, 10).unwrap();
    assert!((110..=120).contains(&until), "{until}");
    // An answer to an older poll may lengthen the pause, but does not restart it.
    assert_eq!(bed.slows(&hint(10), 9, 12), Some(until));
    let longer = bed.slows(&hint(200), 9, 12).unwrap();
    assert!((212..=232).contains(&longer), "{longer}");
    assert_eq!(bed.slows(&http(429), 9, 13), None);
    assert_eq!(bed.slows(&http(429), 10, 13), Some(longer), "one that began with the first counts");
}

#[test]
fn a_run_of_429s_ends_watches_once_it_has_lasted_too_long() {
    let mut bed = Blocked::new(Refusal::PausesAccount);
    bed.policy.max_outage = Some(Duration::from_secs(20));
    for (polled_at, now, over) in
        [(0, 0, None), (5, 5, None), (4, 14, None), (15, 15, None), (35, 35, Some(15))]
    {
        bed.slows(&http(429), polled_at, now);
        let is_over = bed.blocking.over(&bed.policy, at(now));
        assert_eq!(is_over, over.map(at), "at {now}");
    }
    let end = |started_at: u64| bed.blocking.end_of(&Progress::new(at(started_at)), &bed.policy, at(35));
    let (failure, outcome) = end(15).unwrap();
    assert_eq!((failure.problem.http_status, outcome), (Some(429), Outcome::Unavailable));
    assert!(end(16).is_none(), "a younger one has time");
    let mut answered = bed;
    answered.slows(&status("PENDING"), 36, 36);
    assert_eq!(answered.blocking.over(&answered.policy, at(36)), None);
}

#[test]
fn the_first_limit_that_is_reached_decides_the_outcome() {
    let mut bed = Blocked::refused(Refusal::PausesAccount);
    bed.policy.max_wait = Some(Duration::from_secs(60));
    assert_eq!(bed.blocking.over(&bed.policy, at(70)), Some(at(10)));
    let end = |started_at: u64| bed.blocking.end_of(&Progress::new(at(started_at)), &bed.policy, at(70));
    assert_eq!(end(10).map(|(_, outcome)| outcome), Some(Outcome::TimedOut));
    assert!(end(11).is_none());
    // Where a refusal ends the account, its watches need not be old.
    bed.policy.refusal = Refusal::EndsAccount;
    let end = |started_at: u64| bed.blocking.end_of(&Progress::new(at(started_at)), &bed.policy, at(70));
    assert_eq!(end(70).map(|(_, outcome)| outcome), Some(Outcome::Unauthorized));
    assert_eq!(bed.blocking.over(&bed.policy, at(70)), Some(at(70)));
}
