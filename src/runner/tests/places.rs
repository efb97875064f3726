//! Which account polls next, and what an account does when its block is over.

use std::time::Duration;

use super::*;
use crate::moment::Moment;
use crate::store::{Claim, Claimed};
use crate::watch::{Progress, Watch};

/// An account: the number of its polls under way, whether its server is prompt, and since when its ready watch is due, in
/// seconds, if there is one.
type Place = (usize, bool, Option<u64>);

fn at(seconds: u64) -> Moment {
    Moment::from_unix_ms(1_732_529_622_000).plus(Duration::from_secs(seconds))
}

fn account(name: &str) -> Account<Arc<Script>> {
    Account { name: Arc::from(name), poller: Script::new([]), requests_per_minute: None }
}

fn plan(concurrency: usize) -> Plan {
    let concurrency = NonZeroUsize::new(concurrency).unwrap();
    let policy = Policy { max_wait: None, max_outage: None, refusal: Refusal::PausesAccount, ..policy() };
    Plan { policy, concurrency, beat: None }
}

/// Which of these accounts polls next, with `concurrency` places for all.
fn next(concurrency: usize, places: &[Place]) -> Option<usize> {
    let accounts = (0..places.len()).map(|n| account(&n.to_string())).collect();
    let mut runner = Runner::new(
        MemoryStore::default(),
        accounts,
        plan(concurrency),
        (),
        Clock::start(),
        fastrand::Rng::new(),
    );
    for (state, (under_way, is_prompt, due_at)) in runner.accounts.iter_mut().zip(places) {
        for _ in 0..*under_way {
            state.begin(at(0));
            runner.under_way.push(Box::pin(std::future::pending()));
        }
        state.is_prompt = *is_prompt;
        state.ready.extend(due_at.map(|due_at| Claimed {
            claim: Claim { row: 0, fence: 0 },
            watch: Watch::unnamed(exports(1)[0], at(0)),
            due_at: at(due_at),
        }));
    }
    runner.next_account()
}

#[tokio::test(start_paused = true)]
async fn a_quarter_of_the_places_is_reserved_for_accounts_below_their_share() {
    const READY: Option<u64> = Some(0);
    // Of 8 places, 6 are open to all, and each of two accounts has a share of 4.
    let rows: [(usize, &[Place], Option<usize>, &str); 15] = [
        (8, &[(7, false, READY)], Some(0), "one that is alone has all places"),
        (8, &[(5, true, READY), (0, true, None)], Some(0), "open places are anybody's"),
        (8, &[(6, true, READY), (0, true, None)], None, "no open place is left"),
        (8, &[(4, true, READY), (2, true, None)], None, "it has had its share"),
        (8, &[(3, true, READY), (3, true, None)], Some(0), "it has not"),
        (8, &[(5, false, READY), (0, true, None)], Some(0), "slow ones have the open places too"),
        (8, &[(3, false, READY), (3, false, None)], None, "but no others"),
        (8, &[(2, false, READY), (4, true, None)], Some(0), "prompt ones do not count as slow"),
        (2, &[(1, true, None), (0, true, READY), (0, true, None)], Some(1), "a share is one place at least"),
        (1, &[(0, true, READY), (0, true, None)], Some(0), "one place is open"),
        (1, &[(0, false, READY), (0, true, None)], Some(0), "to slow ones too"),
        (8, &[(1, true, Some(0)), (0, true, Some(9))], Some(1), "who has the fewest under way is first"),
        (8, &[(1, true, Some(9)), (1, true, Some(8))], Some(1), "then who is due for longest"),
        (8, &[(1, true, Some(9)), (1, true, Some(9))], Some(0), "then who comes first"),
        (8, &[(0, true, None), (0, true, None)], None, "nobody is ready"),
    ];
    for (concurrency, places, expected, why) in rows {
        assert_eq!(next(concurrency, places), expected, "{why}: {places:?} of {concurrency}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_end_of_a_block_makes_an_account_ask_the_store_at_once() {
    let (plan, mut rng) = (plan(1), fastrand::Rng::with_seed(1));
    let mut state = AccountState::new(account("a"), at(0));
    // Each answer with the time of its poll, and when the next watch is due afterwards.
    for (answer, now, expected) in [
        (status("PENDING"), 1, 1000),
        (http(401), 2, 1000),
        (status("PENDING"), 4, 4),
        (http(401), 5, 1000),
        (http(401), 6, 1000),
        (status("PENDING"), 40, 40),
        (status("PENDING"), 41, 1000),
    ] {
        let mut progress = Progress::new(at(0));
        progress.begin_poll(&plan.policy, at(now));
        state.due_at = Some(at(1000));
        state.record(&answer, &progress, &plan.policy, at(now), &mut rng);
        assert_eq!(state.due_at, Some(at(expected)), "after {now} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_replaces_a_refused_one_is_tried_at_once_and_stays_refused_until_then() {
    let (plan, mut rng) = (plan(1), fastrand::Rng::with_seed(1));
    let mut before = AccountState::new(account("a"), at(0));
    before.record(&http(401), &Progress::new(at(0)), &plan.policy, at(0), &mut rng);
    assert!(!before.blocking.may_ask(at(1)));
    let mut after = AccountState::new(account("a"), at(1)).after(before, at(1));
    assert!(after.blocking.may_ask(at(1)), "one poll tries it");
    assert!(!after.blocking.may_ask(at(1)), "and no other");
}

#[tokio::test(start_paused = true)]
async fn only_a_watch_that_was_polled_before_the_start_is_reported_as_resumed() {
    for (seconds_before, polls, is_resumed) in [(1, 1, true), (0, 1, false), (1, 0, false), (0, 0, false)] {
        let (script, policy) = (Script::new([]), policy());
        let started_at = script.clock.now();
        let (mut runner, store) = runner(&script, &policy, 0, 1);
        let before = started_at.before(Duration::from_secs(seconds_before)).unwrap();
        let mut watch = Watch::unnamed(exports(1)[0], before);
        for _ in 0..polls {
            watch.progress.record(&status("PENDING"), &policy, before, &mut fastrand::Rng::with_seed(1));
        }
        assert!(store.take_on(watch, started_at).is_some());
        let mut resumed = false;
        let mut tell = |event: &Event| {
            resumed |= matches!(event.what, What::Resumed { .. });
            ControlFlow::Continue(())
        };
        runner.run(tokio::time::sleep(Duration::from_millis(1)), false, &mut tell).await.unwrap();
        assert_eq!(resumed, is_resumed, "{polls} polls, {seconds_before} s before the start");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_begins_at_the_beat_and_not_before() {
    let script = Script::new([]);
    let (mut runner, _) = runner(&script, &policy(), 0, 1);
    runner.accounts[0].due_at = None;
    runner.plan.beat = Some(Duration::from_secs(5));
    for (seconds_ago, is_begun) in [(4, false), (5, true)] {
        runner.passed_at = script.clock.now().before(Duration::from_secs(seconds_ago)).unwrap();
        runner.begin_pass();
        assert_eq!(runner.passing.is_some(), is_begun, "{seconds_ago} s after the last");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_stops_wishes_for_nothing() {
    let script = Script::new([]);
    let (mut runner, _) = runner(&script, &policy(), 1, 1);
    assert_eq!(runner.wishes(script.clock.now()).len(), 1);
    runner.closing = true;
    assert!(runner.wishes(script.clock.now()).is_empty() && runner.wake_at().is_none());
}
