//! Whole timelines of an endpoint, in virtual time.

use std::sync::Mutex;

use tokio::time::timeout;

use super::*;
use crate::store::{
    AccountNews, Catalogue as _, DeliveryState, Keeper, Keeping, NewDelivery, Pass, Queue as _, Reply,
    SqliteStore,
};

const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs the store's work at once: a paused clock does not wait for a thread.
#[derive(Clone)]
struct Inline(Arc<Mutex<Keeper>>);

impl Keeping for Inline {
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let done = work(&mut self.0.lock().unwrap());
        Box::pin(std::future::ready(done))
    }
}

/// An attempt that the receiver saw: when, of which delivery, and whether it took it.
type Seen = (Duration, String, bool);

/// A receiver that answers as `answer` says: it knows the delivery, the time, and what it has seen.
struct Receiver<A> {
    clock: Clock,
    takes: Duration,
    spacing: Option<Duration>,
    seen: Mutex<Vec<Seen>>,
    answer: A,
}

impl<A: Fn(&str, Duration, &[Seen]) -> Attempt> Recipient for Receiver<A> {
    fn name(&self) -> &'static str {
        "platform"
    }

    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn spacing(&self) -> Option<Duration> {
        self.spacing
    }

    async fn deliver(&self, id: &str, _: &str) -> Attempt {
        // The way there takes longer at one time than at another.
        let way = self.takes.mul_f64(fastrand::f64());
        tokio::time::sleep(way).await;
        let at = self.clock.elapsed();
        let attempt = {
            let mut seen = self.seen.lock().unwrap();
            let attempt = (self.answer)(id, at, &seen);
            seen.push((at, id.to_owned(), attempt == Attempt::Sent));
            attempt
        };
        tokio::time::sleep(self.takes - way).await;
        attempt
    }
}

type Running<A> = Courier<Arc<SqliteStore<Inline>>, Receiver<A>, fn(&Event)>;

struct Bed<A> {
    _directory: tempfile::TempDir,
    store: Arc<SqliteStore<Inline>>,
    clock: Clock,
    bell: Arc<Notify>,
    under_way: UnderWay,
    receiver: Arc<Receiver<A>>,
}

fn failed(hint: Option<Duration>) -> Attempt {
    Attempt::Failed { problem: Text::new("it failed"), hint }
}

impl<A: Fn(&str, Duration, &[Seen]) -> Attempt> Bed<A> {
    fn new(takes: Duration, spacing: Option<Duration>, answer: A) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(&directory.path().join("watches.db")).unwrap();
        let store = Arc::new(SqliteStore::over(Inline(Arc::new(Mutex::new(keeper)))));
        let clock = Clock::start();
        let receiver = Receiver { clock, takes, spacing, seen: Mutex::default(), answer };
        let (bell, under_way) = Default::default();
        Self { _directory: directory, store, clock, bell, under_way, receiver: Arc::new(receiver) }
    }

    async fn owe(&self, ids: impl IntoIterator<Item = String>) {
        let now = self.clock.now();
        let delivery =
            |id| NewDelivery { id, endpoint: "platform".to_owned(), event: "{}".to_owned(), at: now };
        let deliveries: Vec<NewDelivery> = ids.into_iter().map(delivery).collect();
        let account = Arc::from(&*deliveries[0].id);
        let news = vec![AccountNews { account, is_refused: true, deliveries }];
        self.store.pass(Pass { now, records: Vec::new(), news, wishes: Vec::new() }).await.unwrap();
        self.bell.notify_waiters();
    }

    fn courier(&self, retire: &watch::Sender<bool>) -> Running<A> {
        Courier {
            store: Arc::clone(&self.store),
            endpoint: Arc::clone(&self.receiver),
            clock: self.clock,
            bell: Arc::clone(&self.bell),
            retired: retire.subscribe(),
            under_way: self.under_way.clone(),
            tell: |_| {},
        }
    }

    /// Lets a courier work for so long, and kills it.
    async fn work(&self, time: Duration) {
        let retire = watch::Sender::new(false);
        let courier = self.courier(&retire);
        let running = timeout(time, courier.run(fastrand::Rng::with_seed(7)));
        assert!(running.await.is_err(), "it goes on");
    }

    fn seen(&self) -> Vec<Seen> {
        self.receiver.seen.lock().unwrap().clone()
    }

    fn taken(&self) -> Vec<String> {
        self.seen().into_iter().filter(|(_, _, taken)| *taken).map(|(_, id, _)| id).collect()
    }

    async fn pending(&self) -> u64 {
        self.store.count().await.unwrap().pending
    }
}

fn names(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("{number:02}")).collect()
}

/// Takes one a second.
fn one_a_second(_: &str, at: Duration, seen: &[Seen]) -> Attempt {
    let last = seen.iter().rev().find(|(_, _, taken)| *taken);
    match last.is_none_or(|(last, ..)| at - *last >= S) {
        true => Attempt::Sent,
        false => failed(Some(S)),
    }
}

#[tokio::test(start_paused = true)]
async fn thirty_ends_reach_a_receiver_that_takes_one_a_second() {
    let sixty = crate::notify::spacing(60.try_into().unwrap());
    for (spacing, most_refused, within) in [(Some(sixty), 3, S * 40), (None, 10, S * 45)] {
        let bed = Bed::new(Duration::from_millis(40), spacing, one_a_second);
        bed.owe(names(0..30)).await;
        bed.work(within).await;
        assert_eq!(bed.taken().len(), 30, "{:?}", bed.seen());
        let refused = bed.seen().len() - 30;
        assert!(refused <= most_refused, "{refused} refused: {:?}", bed.seen());
    }
}

#[tokio::test(start_paused = true)]
async fn what_waited_arrives_before_what_is_new() {
    let answer = |_: &str, at: Duration, _: &[Seen]| if at < HOUR { failed(None) } else { Attempt::Sent };
    let bed = Bed::new(Duration::from_millis(10), None, answer);
    bed.owe(names(0..5)).await;
    bed.work(HOUR).await;
    assert!(bed.seen().len() < 60, "{:?}", bed.seen());
    bed.owe(names(5..6)).await;
    bed.work(S * 31).await;
    assert_eq!(bed.taken()[0], "00");
    let mut taken = bed.taken();
    taken.sort();
    assert_eq!(taken, names(0..6));
    let [first, last] = [0, 5].map(|n| bed.seen().into_iter().filter(|seen| seen.2).nth(n).unwrap().0);
    assert!(last - first < S, "a success wakes all: {:?}", bed.seen());
}

#[tokio::test(start_paused = true)]
async fn no_delivery_holds_up_the_others() {
    let refused = |hint| Attempt::Refused { problem: Text::new("HTTP 422"), hint };
    for (poisoned, most) in [(failed as fn(_) -> _, 60), (refused, 60)] {
        let answer = move |id: &str, _: Duration, _: &[Seen]| match id {
            "00" => poisoned(None),
            _ => Attempt::Sent,
        };
        let bed = Bed::new(Duration::from_millis(10), None, answer);
        bed.owe(names(0..30)).await;
        bed.work(S * 60).await;
        let mut taken = bed.taken();
        taken.sort();
        assert_eq!(taken, names(1..30), "{:?}", bed.seen());
        bed.owe(names(30..31)).await;
        bed.work(S * 2).await;
        assert_eq!(bed.taken().len(), 30);
        bed.work(HOUR * 26).await;
        assert_eq!(bed.pending().await, 0);
        let tried = bed.seen().iter().filter(|(_, id, _)| id == "00").count();
        assert!((20..most).contains(&tried), "{tried}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_receiver_is_given_up_after_a_day_and_not_hammered() {
    let bed = Bed::new(Duration::from_millis(10), None, |_: &str, _: Duration, _: &[Seen]| failed(None));
    bed.owe(names(0..200)).await;
    bed.work(HOUR * 24 - S * 400).await;
    assert_eq!(bed.pending().await, 200);
    bed.work(S * 800).await;
    assert_eq!(bed.pending().await, 0);
    let given_up = bed.store.count().await.unwrap().undeliverable;
    assert_eq!(given_up, 200);
    assert!(bed.seen().len() < 640, "{}", bed.seen().len());
}

#[tokio::test(start_paused = true)]
async fn news_do_not_hammer_a_dead_receiver() {
    let bed = Bed::new(Duration::from_millis(10), None, |_: &str, _: Duration, _: &[Seen]| failed(None));
    let news = async {
        for number in 0..1800 {
            bed.owe([number.to_string()]).await;
            tokio::time::sleep(S).await;
        }
    };
    tokio::join!(news, bed.work(S * 1800));
    assert!(bed.seen().len() < 150, "twice in 30 s: {}", bed.seen().len());
}

#[tokio::test(start_paused = true)]
async fn restarts_do_not_hammer_a_receiver() {
    let bed = Bed::new(Duration::from_millis(10), None, |_: &str, _: Duration, _: &[Seen]| failed(None));
    bed.owe(names(0..30)).await;
    for _ in 0..100 {
        bed.work(Duration::from_millis(300)).await;
    }
    let single = bed.seen().len() - 7;
    assert!(single <= 9, "8 at once at first, then two after 1, 3, 7, 15 s: {:?}", bed.seen());
    let limited =
        Bed::new(Duration::from_millis(10), Some(S), |_: &str, _: Duration, _: &[Seen]| Attempt::Sent);
    limited.owe(names(0..60)).await;
    for _ in 0..100 {
        limited.work(Duration::from_millis(300)).await;
    }
    assert!((25..=31).contains(&limited.taken().len()), "{:?}", limited.seen());
}

#[tokio::test(start_paused = true)]
async fn restarts_do_not_hurry_a_receiver_that_has_asked_for_a_pause() {
    let bed = Bed::new(Duration::from_millis(40), None, one_a_second);
    bed.owe(names(0..30)).await;
    bed.work(S * 3).await;
    let refused = || bed.seen().iter().filter(|(.., taken)| !taken).count();
    let before = refused();
    assert!(before > 0, "8 at once at first");
    // Each life is longer than the pause that was asked for.
    for _ in 0..20 {
        bed.work(Duration::from_millis(1800)).await;
    }
    let refused = refused() - before;
    assert!(refused <= 5, "one that was under way may come again at once: {refused} of {:?}", bed.seen());
    assert_eq!(bed.taken().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn reloads_do_not_begin_more_deliveries_at_once() {
    let bed = Bed::new(S * 30, None, |_: &str, _: Duration, _: &[Seen]| Attempt::Sent);
    bed.owe(names(0..64)).await;
    // Each courier is retired after two seconds, and the next one takes over. What it has begun takes half a minute.
    let lives = (0..20).map(async |life| {
        tokio::time::sleep(S * 2 * life).await;
        let retire = watch::Sender::new(false);
        let courier = bed.courier(&retire);
        let ends = async {
            tokio::time::sleep(if life == 19 { HOUR } else { S * 2 }).await;
            retire.send_replace(true);
        };
        let (ended, ()) = tokio::join!(courier.run(fastrand::Rng::with_seed(7)), ends);
        ended.unwrap();
    });
    let most = async {
        let mut most = 0;
        while bed.pending().await > 0 && bed.clock.elapsed() < HOUR {
            most = most.max(bed.under_way.count());
            tokio::time::sleep(S / 10).await;
        }
        most
    };
    let (_, most) = tokio::join!(futures_util::future::join_all(lives), most);
    assert_eq!((most, bed.taken().len()), (8, 64));
    let last = bed.seen().into_iter().map(|(at, ..)| at).max().unwrap();
    assert!(last < S * 30 * 9, "the next courier begins as soon as there is room: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_asked_for_is_the_endpoints() {
    let pause = Duration::from_millis(2500);
    let answer = move |_: &str, at: Duration, _: &[Seen]| match at < S {
        true => failed(Some(pause)),
        false => Attempt::Sent,
    };
    let bed = Bed::new(Duration::from_millis(10), None, answer);
    bed.owe(names(0..1)).await;
    bed.work(S / 10).await;
    let listed = bed.store.deliveries(crate::store::DeliveryFilter { limit: 9, ..Default::default() }).await;
    let listed = listed.unwrap().unwrap().0.remove(0);
    assert_eq!(listed.state, DeliveryState::Pending);
    assert!(listed.due_at.unwrap().since(bed.clock.now()) > pause - S / 5, "{listed:?}");
    bed.owe(names(1..2)).await;
    bed.work(S * 3).await;
    let seen = bed.seen();
    assert!(seen[1].0 >= pause && seen[1].1 == "00", "{seen:?}");
    bed.work(S * 2).await;
    assert_eq!(bed.taken(), names(0..2));
}
