//! Whole timelines, with a scripted poller under tokio's paused clock. They do not use reqwest, whose timeouts fire at once
//! there.

mod accounts;
mod clock;
mod places;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::*;
use crate::event::What;
use crate::export::ExportRef;
use crate::fixtures::cells::{Cell, RefCell};
use crate::fixtures::{exports, hinted, http, policy, status};
use crate::store::{MemoryStore, Pass, Reply};
use crate::watch::Refusal;
use crate::watch::observation::Observation;
use crate::watch::outcome::Outcome;
use crate::watch::pace::Pace;

/// An answer, and how long it takes, in milliseconds.
type Scripted = (u64, Observation);

/// Answers by a script, then with PENDING for ever. Records when each poll came, in milliseconds since the start.
struct Script {
    clock: Clock,
    start: crate::moment::Moment,
    answers: RefCell<VecDeque<Scripted>>,
    polled_at: RefCell<Vec<u64>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Scripted>) -> Arc<Self> {
        let clock = Clock::start();
        let answers = RefCell::new(answers.into_iter().collect());
        Arc::new(Self { clock, start: clock.now(), answers, polled_at: RefCell::default() })
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.clock.now().since(self.start).as_millis()).unwrap()
    }
}

impl Poller for Script {
    async fn poll(&self, _: &ExportRef) -> Observation {
        self.polled_at.borrow_mut().push(self.elapsed());
        let next = self.answers.borrow_mut().pop_front();
        let (takes, observation) = next.unwrap_or_else(|| (0, status("PENDING")));
        tokio::time::sleep(Duration::from_millis(takes)).await;
        observation
    }
}

/// A store whose passes are slow.
#[derive(Clone)]
struct Slow(MemoryStore, Duration);

impl Queue for Slow {
    fn pass(&self, pass: Pass) -> Reply<Passed> {
        let (passing, delay) = (self.0.pass(pass), self.1);
        Box::pin(async move {
            let passed = passing.await;
            tokio::time::sleep(delay).await;
            passed
        })
    }
}

/// A runner over a store of `count` exports, as `wait` has it.
fn runner(
    script: &Arc<Script>,
    policy: &Policy,
    count: u128,
    concurrency: usize,
) -> (Runner<MemoryStore, Arc<Script>, ()>, MemoryStore) {
    let store = MemoryStore::default();
    for export in exports(count) {
        assert!(store.add(export, script.clock.now()).is_some());
    }
    let plan =
        Plan { policy: policy.clone(), concurrency: NonZeroUsize::new(concurrency).unwrap(), beat: None };
    let (name, poller) = ("default".into(), Arc::clone(script));
    let account = Account { name, poller, requests_per_minute: None };
    (Runner::new(store.clone(), vec![account], plan, (), script.clock, fastrand::Rng::with_seed(1)), store)
}

/// Follows `count` exports and returns the names of the events and the endings.
async fn run(
    script: &Arc<Script>,
    policy: &Policy,
    count: u128,
    concurrency: usize,
) -> (Vec<&'static str>, Vec<Ending>) {
    let (mut runner, store) = runner(script, policy, count, concurrency);
    let (mut names, mut endings) = (Vec::new(), Vec::new());
    let mut tell = |event: &Event| {
        names.push(event.name());
        if let What::Finished(ending) = &event.what {
            endings.push(Ending::clone(ending));
        }
        ControlFlow::Continue(())
    };
    let stopped = runner.run(std::future::pending::<()>(), true, &mut tell).await.unwrap();
    assert_eq!((stopped, store.unfinished().len()), (Stopped::Idle, 0));
    (names, endings)
}

#[tokio::test]
async fn a_run_may_be_moved_to_another_thread() {
    fn assert_send<T: Send>(_: T) {}
    let (mut runner, _) = runner(&Script::new([]), &policy(), 1, 1);
    let tell = &mut |_: &Event| ControlFlow::Continue(());
    assert_send(runner.run(std::future::pending::<()>(), true, tell));
    assert_send(runner.wind_up(Duration::ZERO, tell));
}

#[tokio::test(start_paused = true)]
async fn the_default_pace_grows_by_a_tenth() {
    let mut answers: Vec<Scripted> = (0..8).map(|_| (0, status("PENDING"))).collect();
    answers.push((0, status("FINISHED")));
    let script = Script::new(answers);
    let (names, endings) = run(&script, &policy(), 1, 64).await;
    // 500 ms, then each pause a tenth longer; tokio's timers round up to whole milliseconds.
    let expected: [u64; 9] = [0, 500, 1050, 1655, 2321, 3053, 3858, 4744, 5718];
    let polled = script.polled_at.borrow();
    let close = polled.iter().zip(expected).all(|(polled, wanted)| polled.abs_diff(wanted) <= 9);
    assert!(close && polled.len() == expected.len(), "{polled:?}");
    assert_eq!(names, [&["watch.status_changed"][..], &["watch.polled"; 7], &["watch.finished"]].concat());
    assert_eq!(endings[0].outcome, Outcome::Finished);
    assert_eq!(endings[0].watch.progress.polls(), 9);
    assert!(endings[0].late_at_most().unwrap() <= Duration::from_millis(980));
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_at_their_own_pace() {
    let script = Script::new([
        (0, status("PENDING")),
        (0, http(503)),
        (0, http(502)),
        (0, http(500)),
        (0, status("PENDING")),
        (0, status("FINISHED")),
    ]);
    let (names, _) = run(&script, &policy(), 1, 64).await;
    // 500 ms of the main pace, 1 + 2 + 4 s of the other, then the second step of the main pace.
    let expected: [u64; 6] = [0, 500, 1500, 3500, 7500, 8050];
    let polled = script.polled_at.borrow();
    assert!(polled.iter().zip(expected).all(|(polled, wanted)| polled.abs_diff(wanted) <= 6), "{polled:?}");
    assert_eq!(names[1..4], ["watch.retrying"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_hangs_is_given_up() {
    let script = Script::new([(3_600_000, status("PENDING")), (0, status("FINISHED"))]);
    let (names, endings) = run(&script, &policy(), 1, 64).await;
    let polled = script.polled_at.borrow();
    assert!(polled[1].abs_diff(31_000) <= 5, "{polled:?}");
    assert_eq!(names, ["watch.retrying", "watch.finished"]);
    assert_eq!(endings[0].outcome, Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn the_last_poll_starts_at_the_deadline_and_gets_a_second() {
    let limited = Policy { max_wait: Some(Duration::from_secs(2)), ..policy() };
    let mut answers: Vec<Scripted> = (0..4).map(|_| (0, status("PENDING"))).collect();
    answers.push((3_600_000, status("FINISHED")));
    let script = Script::new(answers);
    let (_, endings) = run(&script, &limited, 1, 64).await;
    assert!(script.polled_at.borrow()[4].abs_diff(2000) <= 1);
    assert!(script.elapsed().abs_diff(3000) <= 2, "{}", script.elapsed());
    assert_eq!(endings[0].outcome, Outcome::TimedOut);
    assert_eq!(
        endings[0].watch.progress.problem().unwrap().to_string(),
        "request timed out: no complete answer within 1s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_in_flight_at_the_deadline_is_the_last_and_may_still_decide() {
    let limited = Policy { max_wait: Some(Duration::from_secs(1)), ..policy() };
    let script = Script::new([(0, status("PENDING")), (1200, status("FINISHED"))]);
    let (_, endings) = run(&script, &limited, 1, 64).await;
    assert_eq!(endings[0].outcome, Outcome::Finished);
    let script = Script::new([(0, status("PENDING")), (1600, status("FINISHED"))]);
    let (_, endings) = run(&script, &limited, 1, 64).await;
    assert_eq!(endings[0].outcome, Outcome::TimedOut);
    assert_eq!(script.polled_at.borrow().len(), 2);
    assert!(script.elapsed().abs_diff(2000) <= 3);
}

#[tokio::test(start_paused = true)]
async fn without_limits_it_goes_on_for_days() {
    let endless = Policy { max_wait: None, max_outage: None, ..policy() };
    let mut answers: Vec<Scripted> = (0..20_000).map(|_| (0, status("PENDING"))).collect();
    answers.push((0, status("ERRORED")));
    let script = Script::new(answers);
    let (_, endings) = run(&script, &endless, 1, 64).await;
    assert_eq!(endings[0].outcome, Outcome::Failed);
    assert!(script.elapsed() > 6 * 24 * 3_600_000);
}

#[tokio::test(start_paused = true)]
async fn many_exports_are_followed_side_by_side_within_the_concurrency() {
    let answers = (0..30).map(|_| (1000, status("FINISHED")));
    let script = Script::new(answers);
    let (_, endings) = run(&script, &policy(), 30, 10).await;
    assert_eq!(endings.len(), 30);
    assert!(script.elapsed().abs_diff(3000) <= 5, "{}", script.elapsed());
    let at_once = script.polled_at.borrow().iter().filter(|at| **at == 0).count();
    assert_eq!(at_once, 10);
    let order: Vec<u128> = endings.iter().map(|ending| ending.watch.export.export_id.as_u128()).collect();
    assert!(order[..10].iter().all(|id| *id < 10), "the longest-due go first: {order:?}");
}

#[tokio::test(start_paused = true)]
async fn tell_may_stop_the_run() {
    let script = Script::new([(0, status("FINISHED"))]);
    let (mut runner, store) = runner(&script, &policy(), 3, 1);
    let stopped =
        runner.run(std::future::pending::<()>(), true, &mut |_| ControlFlow::Break(())).await.unwrap();
    assert_eq!(stopped, Stopped::BrokenOff);
    assert_eq!(store.unfinished().len(), 2);
    assert_eq!(script.polled_at.borrow().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_ends_of_a_pass_are_reported_before_the_run_stops() {
    let script = Script::new((0..8).map(|_| (0, status("FINISHED"))));
    let (mut runner, store) = runner(&script, &policy(), 8, 64);
    let mut told = 0;
    let mut tell = |_: &Event| {
        told += 1;
        ControlFlow::Break(())
    };
    let stopped = runner.run(std::future::pending::<()>(), true, &mut tell).await.unwrap();
    assert_eq!(stopped, Stopped::BrokenOff);
    assert_eq!(told + store.unfinished().len(), 8, "none is lost");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_suspended_polls_and_ends_each_export_once() {
    let patient = Policy { request_timeout: Duration::from_secs(7200), ..policy() };
    let script = Script::new([(3_600_000, status("FINISHED")), (3_600_001, status("FINISHED"))]);
    let (_, endings) = run(&script, &patient, 2, 64).await;
    assert_eq!((endings.len(), script.polled_at.borrow().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_ends_while_the_store_is_busy_is_not_lost() {
    let steady = Pace::new(Duration::from_millis(500), 1.0, Duration::from_millis(500), 0.0).unwrap();
    let policy = Policy { pace: steady, ..policy() };
    let script = Script::new([]);
    let (_, store) = runner(&script, &policy, 3, 64);
    let plan = Plan { policy, concurrency: NonZeroUsize::new(64).unwrap(), beat: None };
    let (name, poller) = ("default".into(), Arc::clone(&script));
    let account = Account { name, poller, requests_per_minute: None };
    let slow = Slow(store, Duration::from_millis(7));
    let mut runner = Runner::new(slow, vec![account], plan, (), script.clock, fastrand::Rng::with_seed(1));
    let over = tokio::time::sleep(Duration::from_secs(60));
    runner.run(over, true, &mut |_| ControlFlow::Continue(())).await.unwrap();
    // 500 ms, and two passes: one saves a poll, and one claims the next watch.
    let polls = script.polled_at.borrow().len();
    assert!((3 * 115..=3 * 121).contains(&polls), "{polls}");
}

#[tokio::test(start_paused = true)]
async fn watches_claimed_while_the_runner_stops_stay_due() {
    let (script, policy) = (Script::new([]), policy());
    let (fast, store) = runner(&script, &policy, 3, 1);
    let plan = fast.plan.clone();
    let account = Account { name: "default".into(), poller: Arc::clone(&script), requests_per_minute: None };
    let slow = Slow(store.clone(), Duration::from_secs(1));
    let mut runner = Runner::new(slow, vec![account], plan, (), script.clock, fastrand::Rng::with_seed(1));
    let mut tell = |_: &Event| ControlFlow::Continue(());
    let stop = tokio::time::sleep(Duration::from_millis(500));
    assert_eq!(runner.run(stop, false, &mut tell).await.unwrap(), Stopped::Asked(()));
    runner.wind_up(Duration::from_secs(6), &mut tell).await.unwrap();
    assert_eq!((script.elapsed(), script.polled_at.borrow().len()), (1000, 0));
    assert_eq!(store.unfinished().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn jitter_is_drawn_from_the_generator_that_is_passed_in() {
    let jittery = Pace::new(Duration::from_secs(1), 1.0, Duration::from_secs(1), 1.0).unwrap();
    let policy = Policy { pace: jittery, ..policy() };
    let polled = async |seed| {
        let script = Script::new([]);
        let (mut runner, _) = runner(&script, &policy, 1, 1);
        runner.rng = fastrand::Rng::with_seed(seed);
        let over = tokio::time::sleep(Duration::from_secs(60));
        runner.run(over, true, &mut |_| ControlFlow::Continue(())).await.unwrap();
        script.polled_at.take()
    };
    assert_eq!(polled(1).await, polled(1).await);
    assert_ne!(polled(1).await, polled(2).await);
}

#[tokio::test(start_paused = true)]
async fn watches_that_others_add_are_polled_at_once() {
    let script = Script::new([]);
    let (mut runner, store) = runner(&script, &policy(), 1, 64);
    let tell = &mut |_: &Event| ControlFlow::Continue(());
    // The next poll of the first one is far away.
    runner.run(tokio::time::sleep(Duration::from_secs(600)), false, tell).await.unwrap();
    let (before, now) = (script.polled_at.borrow().len(), script.elapsed());
    assert!(store.add(exports(2)[1], script.clock.now()).is_some());
    runner.look_again();
    runner.run(tokio::time::sleep(Duration::from_millis(10)), false, tell).await.unwrap();
    let polled_at = script.polled_at.borrow();
    assert!(polled_at.len() > before && polled_at[before].abs_diff(now) <= 5, "{now}: {polled_at:?}");
}
