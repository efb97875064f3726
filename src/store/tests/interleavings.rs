//! Random interleavings of all calls, compared with a model after each step.

mod model;

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use self::model::{Model, Owed, Row};
use super::*;

/// A call, or a change of the world.
#[derive(Debug, Clone)]
enum Step {
    /// Adds a watch of one of two accounts.
    Add(usize, u128),
    /// Reconciles the settings, which list watches on these exports.
    List(Vec<u128>),
    Remove(usize),
    /// Gives back some of the claimed watches, and wishes for this many of each account.
    Pass {
        back: Vec<Option<Back>>,
        rooms: [usize; 2],
        only_old: bool,
    },
    /// Records all claimed deliveries, and claims up to this many.
    Deliver(usize),
    GiveUp,
    Prune,
    Wait(u64),
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Back {
    /// It is due again after this many seconds.
    Due(u64),
    /// It has ended, with this many deliveries.
    Ended(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let back = prop_oneof![(0..9_u64).prop_map(Back::Due), (0..3_u32).prop_map(Back::Ended)];
    let back = proptest::collection::vec(proptest::option::weighted(0.7, back), 8);
    let pass = (back, [0..4_usize, 0..4], proptest::bool::weighted(0.1));
    let step = prop_oneof![
        4 => (0..2_usize, 1..9_u128).prop_map(|(account, number)| Step::Add(account, number)),
        1 => proptest::collection::vec(1..9_u128, 0..6).prop_map(Step::List),
        1 => (0..9_usize).prop_map(Step::Remove),
        6 => pass.prop_map(|(back, rooms, only_old)| Step::Pass { back, rooms, only_old }),
        3 => (0..4_usize).prop_map(Step::Deliver),
        1 => Just(Step::GiveUp),
        1 => Just(Step::Prune),
        2 => (1..9_u64).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

async fn pass(
    bed: &impl Subject,
    model: &mut Model,
    back: &[Option<Back>],
    rooms: [usize; 2],
    only_old: bool,
) {
    let now = model.now;
    let mut pass = wishes(now, []);
    let mut back = back.iter().copied().cycle();
    model.claimed.retain(|claimed| {
        let record = match back.next().flatten() {
            None => return true,
            Some(Back::Due(seconds)) => due(claimed, now.plus(Duration::from_secs(seconds))),
            Some(Back::Ended(owed)) => {
                ending(claimed, now, (0..owed).map(|n| format!("{}-{n}", claimed.watch.id)))
            }
        };
        pass.records.push(record);
        false
    });
    let started_by = only_old.then(|| now.before(Duration::from_secs(9)).unwrap());
    pass.wishes =
        ["a", "b"].iter().zip(rooms).map(|(name, room)| Wish { started_by, ..wish(name, room) }).collect();
    let (records, wishes) = (pass.records.clone(), pass.wishes.clone());
    let mut passed = bed.pass(pass).await;
    let kept: Vec<bool> = records.iter().map(|record| model.keep(record)).collect();
    assert_eq!(passed.kept, kept);
    for wish in &wishes {
        let (own, others) =
            passed.claimed.into_iter().partition(|claimed| claimed.watch.account == wish.account);
        passed.claimed = others;
        model.claim(wish, own, passed.next_due.get(&wish.account).copied());
    }
    assert!(passed.claimed.is_empty(), "nobody wished for these");
}

async fn deliver(bed: &impl Lasting, model: &mut Model, count: usize) {
    let now = model.now;
    let nexts = [
        NextDelivery::Sent,
        NextDelivery::Due { at: now.plus(Duration::from_secs(3)), pace: None, problem: Text::new("later") },
        NextDelivery::Undeliverable { problem: Text::new("never") },
    ];
    let recorded: Vec<_> = model.claimed_deliveries.drain(..).zip(nexts.into_iter().cycle()).collect();
    let record = |(claimed, next): &(ClaimedDelivery, NextDelivery)| DeliveryRecord {
        claim: claimed.claim,
        at: now,
        next: next.clone(),
        pace: EndpointPace::default(),
    };
    bed.store().record(recorded.iter().map(record).collect()).await.unwrap();
    for (claimed, next) in recorded {
        let owed = model.deliveries.iter_mut().find(|owed| owed.delivery.id == claimed.delivery.id).unwrap();
        owed.attempts += 1;
        match next {
            NextDelivery::Due { at, .. } => owed.due_at = at,
            NextDelivery::Sent => (owed.state, owed.settled_at) = (DeliveryState::Sent, now),
            NextDelivery::Undeliverable { .. } => {
                (owed.state, owed.settled_at) = (DeliveryState::Undeliverable, now)
            }
        }
    }
    let Turn { claimed, next_due, .. } =
        bed.store().claim("platform".to_owned(), count, now, false).await.unwrap();
    let pending = || model.deliveries.iter().filter(|owed| owed.state == DeliveryState::Pending);
    let due: Vec<&Owed> = pending().filter(|owed| owed.due_at <= now).take(count).collect();
    let seen = claimed.iter().map(|claimed| (&claimed.delivery, claimed.watch, claimed.attempts));
    let expected = due.iter().map(|owed| (&owed.delivery, owed.watch, owed.attempts));
    assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "in the order of the queue");
    let is_left = |owed: &&Owed| !due.iter().any(|due| due.delivery.id == owed.delivery.id);
    let expected = pending().filter(is_left).map(|owed| owed.due_at).min();
    assert_eq!(next_due, expected.or((!claimed.is_empty()).then_some(Moment::NEVER)));
    model.claimed_deliveries = claimed;
}

async fn take(bed: &mut impl Subject, model: &mut Model, step: &Step) {
    let now = model.now;
    match step {
        Step::Pass { back, rooms, only_old } => return pass(bed, model, back, *rooms, *only_old).await,
        Step::Wait(seconds) => model.now = now.plus(Duration::from_secs(*seconds)),
        Step::Add(account, number) => {
            let new = new(["a", "b"][*account], *number);
            match (model.position(&new.account, *number), bed.lasting()) {
                (None, _) => model.added(bed.add_at(new, now).await, false),
                (Some(position), Some(bed)) => {
                    let again = bed.store().add(new, Uuid::now_v7(), Quota::default(), now).await.unwrap();
                    assert!(matches!(again, Added::Existing(id) if id == model.watches[position].watch.id));
                }
                (Some(_), None) => {}
            }
        }
        Step::List(_) | Step::Remove(_) | Step::Deliver(_) | Step::GiveUp | Step::Prune | Step::Reopen => {}
    }
    if let Some(bed) = bed.lasting() {
        take_lasting(bed, model, step).await;
    }
}

async fn take_lasting(bed: &mut impl Lasting, model: &mut Model, step: &Step) {
    let now = model.now;
    match step {
        Step::Add(..) | Step::Pass { .. } | Step::Wait(_) => {}
        Step::List(numbers) => list(bed, model, numbers).await,
        Step::Remove(position) => {
            if let Some(row) = model.watches.get(*position) {
                assert!(bed.store().remove(row.watch.id).await.unwrap());
                model.remove(*position);
            }
        }
        Step::Deliver(count) => deliver(bed, model, *count).await,
        Step::GiveUp => {
            let before = now.before(Duration::from_secs(9)).unwrap();
            let problem = Text::new("too late");
            let mut given_up =
                bed.store().give_up("platform".to_owned(), before, problem, now).await.unwrap();
            let claimed = |id: &str| model.claimed_deliveries.iter().any(|claimed| claimed.delivery.id == id);
            let is_old = |owed: &&mut Owed| {
                let Owed { delivery, state, .. } = &**owed;
                *state == DeliveryState::Pending && delivery.at <= before && !claimed(&delivery.id)
            };
            let old = model.deliveries.iter_mut().filter(is_old).map(|owed| {
                (owed.state, owed.settled_at) = (DeliveryState::Undeliverable, now);
                GivenUp { id: owed.delivery.id.clone(), watch: owed.watch, attempts: owed.attempts }
            });
            let mut old: Vec<_> = old.collect();
            old.sort_by(|a, b| a.id.cmp(&b.id));
            given_up.sort_by(|a, b| a.id.cmp(&b.id));
            assert_eq!(given_up, old);
        }
        Step::Prune => {
            let before = now.before(Duration::from_secs(9)).unwrap();
            let pruned = bed.store().prune(before).await.unwrap();
            let is_old = |row: &Row| !row.is_of_settings && row.ended_at.is_some_and(|at| at < before);
            let old: Vec<usize> = (0..model.watches.len()).filter(|at| is_old(&model.watches[*at])).collect();
            old.iter().rev().for_each(|at| model.remove(*at));
            assert_eq!(pruned, old.len());
            let watches = &model.watches;
            model.deliveries.retain(|owed| {
                let is_there = watches.iter().any(|row| Some(row.watch.id) == owed.watch);
                owed.state == DeliveryState::Pending || is_there || owed.settled_at >= before
            });
        }
        Step::Reopen => {
            bed.reopen().await;
            model.claimed.clear();
            model.claimed_deliveries.clear();
        }
    }
    compare(bed, model).await;
}

async fn list(bed: &impl Lasting, model: &mut Model, numbers: &[u128]) {
    let listed: Vec<_> = numbers.iter().map(|number| (Uuid::now_v7(), new("a", *number))).collect();
    let reconciled = bed.store().reconcile(listed, model.now).await.unwrap();
    let mut added = reconciled.added.into_iter();
    for number in numbers {
        match model.position("a", *number) {
            Some(position) => model.watches[position].is_of_settings = true,
            None => {
                let watch = added.next().expect("it was added");
                assert_eq!(watch.export, export(*number));
                model.added(watch, true);
            }
        }
    }
    assert!(added.next().is_none());
    let mut removed: Vec<Uuid> = reconciled.removed.iter().map(|watch| watch.id).collect();
    for position in (0..model.watches.len()).rev() {
        let row = &mut model.watches[position];
        let is_listed = numbers.iter().any(|number| row.watch.export == export(*number));
        if row.is_of_settings && !is_listed {
            row.is_of_settings = false;
            if row.ended_at.is_none() {
                let at = removed.iter().position(|id| *id == row.watch.id).expect("it was given up");
                removed.remove(at);
                model.remove(position);
            }
        }
    }
    assert!(removed.is_empty());
}

/// Compares everything that is visible with the model.
async fn compare(bed: &impl Lasting, model: &Model) {
    assert_eq!(bed.counts().await, model.counts());
    let listing = bed.store().list(Filter::default()).await.unwrap().unwrap();
    let seen = listing.watches.iter().map(|listed| {
        let ended_at = listed.end.as_ref().map(|(_, at, _)| *at);
        (listed.watch.id, listed.due_at, ended_at)
    });
    let expected = model.watches.iter().map(|row| {
        let due_at = row.ended_at.is_none().then_some(row.due_at);
        (row.watch.id, due_at, row.ended_at)
    });
    assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    for row in &model.watches {
        let listed = bed.store().look(row.watch.id).await.unwrap().unwrap();
        let seen = listed.deliveries.iter().map(|owed| (owed.id.as_str(), owed.state, owed.attempts));
        let expected = model.deliveries.iter().filter(|owed| owed.watch == Some(row.watch.id));
        let expected = expected.map(|owed| (owed.delivery.id.as_str(), owed.state, owed.attempts));
        assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

/// Runs this many random interleavings, each over a new store.
pub(super) fn hold<S: Subject>(cases: u32) {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(cases));
    let run = runner.run(&steps(), |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut bed, mut model) = (S::empty().await, Model { now: NOW, ..Model::default() });
            for step in &steps {
                take(&mut bed, &mut model, step).await;
            }
        });
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}
