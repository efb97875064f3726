//! Accounts in the daemon: budgets, 429s, refused credentials, in virtual time.

mod beat;
mod credentials;
mod room;

use std::collections::BTreeMap;

use super::*;
use crate::export::ExportRef;
use crate::moment::Moment;
use crate::store::{Claim, Claimed};
use crate::watch::Watch;
use crate::watch::observation::{Observation, Poller, Problem};
use crate::watch::outcome::Outcome;

/// A server's answer, by the time of the request.
type Rule = Box<dyn Fn(Duration) -> Observation + Send + Sync>;

/// A server that answers by a rule, and records when each export is polled.
struct Server {
    clock: Clock,
    start: Moment,
    rule: Rule,
    takes: Duration,
    asked: RefCell<Vec<(Duration, ExportRef)>>,
}

impl Server {
    fn new(rule: impl Fn(Duration) -> Observation + Send + Sync + 'static) -> Arc<Self> {
        let clock = Clock::start();
        let takes = Duration::from_millis(20);
        Arc::new(Self { clock, start: clock.now(), rule: Box::new(rule), takes, asked: RefCell::default() })
    }

    /// One that never answers.
    fn hanging() -> Arc<Self> {
        let server = Arc::into_inner(Self::new(|_| http(500))).unwrap();
        Arc::new(Self { takes: Duration::from_secs(1_000_000), ..server })
    }

    /// How many polls it got within a span of seconds.
    fn asked_within(&self, from: u64, to: u64) -> usize {
        let span = Duration::from_secs(from)..Duration::from_secs(to);
        self.asked.borrow().iter().filter(|(at, _)| span.contains(at)).count()
    }
}

impl Poller for Server {
    async fn poll(&self, export: &ExportRef) -> Observation {
        let at = self.clock.now().since(self.start);
        self.asked.borrow_mut().push((at, *export));
        tokio::time::sleep(self.takes).await;
        (self.rule)(at)
    }
}

/// What a run reported.
#[derive(Default)]
struct Heard {
    names: BTreeMap<&'static str, usize>,
    endings: Vec<Ending>,
    owed: usize,
}

/// Counts the notifications for refused accounts.
struct Owing(Arc<Cell<usize>>);

impl Obligations for Owing {
    fn close(&self, _: &Ending) -> Closing {
        Closing::default()
    }

    fn refuse(&self, _: &str, _: &Problem, _: Moment) -> Vec<NewDelivery> {
        self.0.set(self.0.get() + 1);
        Vec::new()
    }

    fn accept(&self, _: &str, _: Moment) -> Vec<NewDelivery> {
        Vec::new()
    }

    fn passed(&self, _: Moment) {}
}

fn runner_over<S: Queue, P: Poller + Clone, W: Obligations>(
    store: S,
    accounts: Vec<Account<P>>,
    plan: Plan,
    obligations: W,
    clock: Clock,
) -> Runner<S, P, W> {
    Runner::new(store, accounts, plan, obligations, clock, fastrand::Rng::with_seed(3))
}

/// Follows a number of watches for each server, for `seconds` or until all have ended.
async fn daemon(servers: &[(&str, &Arc<Server>, usize)], policy: Policy, rate: u32, seconds: u64) -> Heard {
    crowded_daemon(servers, policy, (rate, 64), seconds).await
}

/// Like [`daemon`], with a limit on polls at once.
async fn crowded_daemon(
    servers: &[(&str, &Arc<Server>, usize)],
    policy: Policy,
    (rate, concurrency): (u32, usize),
    seconds: u64,
) -> Heard {
    let clock = servers[0].1.clock;
    let store = MemoryStore::default();
    let mut accounts = Vec::new();
    for (name, server, count) in servers {
        let name: Arc<str> = Arc::from(*name);
        for export in exports(*count as u128) {
            let watch = Watch { account: Arc::clone(&name), ..Watch::unnamed(export, clock.now()) };
            assert!(store.take_on(watch, clock.now()).is_some());
        }
        let requests_per_minute = NonZeroU32::new(rate);
        accounts.push(Account { name, poller: Arc::clone(server), requests_per_minute });
    }
    let plan = Plan { policy, concurrency: NonZeroUsize::new(concurrency).unwrap(), beat: None };
    let owed = Arc::default();
    let mut runner = runner_over(store, accounts, plan, Owing(Arc::clone(&owed)), clock);
    let mut heard = Heard::default();
    let mut tell = |event: &Event| {
        *heard.names.entry(event.name()).or_default() += 1;
        if let What::Finished(ending) = &event.what {
            heard.endings.push(Ending::clone(ending));
        }
        ControlFlow::Continue(())
    };
    let over = tokio::time::sleep(Duration::from_secs(seconds));
    runner.run(over, true, &mut tell).await.unwrap();
    heard.owed = owed.get();
    heard
}

/// The policy of `--until-idle`: a refused credential ends its watches.
fn ending_accounts() -> Policy {
    Policy { refusal: Refusal::EndsAccount, ..patient() }
}

/// The daemon's policy: a refused credential pauses its account.
fn patient() -> Policy {
    Policy { refusal: Refusal::PausesAccount, max_wait: None, max_outage: None, ..policy() }
}

fn throttled(seconds: u64) -> Observation {
    hinted(http(429), seconds)
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_kept_and_shared_by_all_watches_of_the_account() {
    let server = Server::new(|_| status("PENDING"));
    daemon(&[("a", &server, 500)], patient(), 600, 1000).await;
    for minute in 0..16 {
        let asked = server.asked_within(minute * 60, minute * 60 + 60);
        assert!((590..=622).contains(&asked), "{asked} in minute {minute}");
    }
    let mut each: BTreeMap<ExportRef, usize> = BTreeMap::new();
    server.asked.borrow().iter().for_each(|(_, export)| *each.entry(*export).or_default() += 1);
    let (least, most) = (each.values().min().unwrap(), each.values().max().unwrap());
    assert!(each.len() == 500 && most - least <= 2, "{least} to {most}");
}

#[tokio::test(start_paused = true)]
async fn a_429_slows_the_whole_account_and_no_other() {
    let server = Server::new(|at| match at.as_secs() {
        10 => throttled(120),
        _ => status("PENDING"),
    });
    let other = Server::new(|_| status("PENDING"));
    daemon(&[("a", &server, 50), ("b", &other, 50)], patient(), 600, 300).await;
    assert_eq!(server.asked_within(12, 130), 0);
    assert!(server.asked_within(130, 150) > 20);
    assert!(other.asked_within(12, 130) > 500);
}

/// The pause after a 429 is not kept over a restart: the first answer says it again.
#[tokio::test(start_paused = true)]
async fn restarts_within_the_pause_after_a_429_ask_little_and_keep_the_rate() {
    let server = Server::new(|at| match at.as_secs() {
        10..70 => throttled(70 - at.as_secs()),
        _ => status("PENDING"),
    });
    let store = MemoryStore::default();
    for export in exports(500) {
        assert!(store.add(export, server.clock.now()).is_some());
    }
    let requests_per_minute = NonZeroU32::new(600);
    let account = Account { name: "default".into(), poller: Arc::clone(&server), requests_per_minute };
    let plan = Plan { policy: patient(), concurrency: NonZeroUsize::new(64).unwrap(), beat: None };
    let mut lives = 0;
    for seconds in [12].into_iter().chain([4; 14]).chain([60; 3]) {
        let mut runner = runner_over(store.clone(), vec![account.clone()], plan.clone(), (), server.clock);
        let tell = &mut |_: &Event| ControlFlow::Continue(());
        runner.run(tokio::time::sleep(Duration::from_secs(seconds)), false, tell).await.unwrap();
        // It winds up: what was claimed is free for the next one.
        runner.wind_up(Duration::from_secs(1), tell).await.unwrap();
        lives += 1;
    }
    let in_pause = server.asked_within(12, 68);
    assert!((14..=3 * lives).contains(&in_pause), "{in_pause} requests of 14 starts in the pause");
    for second in 0..220 {
        let asked = server.asked_within(second, second + 60);
        assert!(asked <= 622, "{asked} in the minute from second {second} on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_hint_doubles_the_pause_up_to_a_minute() {
    let server = Server::new(|at| if at.as_secs() < 200 { http(429) } else { status("PENDING") });
    daemon(&[("a", &server, 50)], patient(), 600, 400).await;
    // 5, 10, 20, 40, 60 seconds, each with what was under way.
    assert!(server.asked_within(1, 200) <= 30, "{}", server.asked_within(1, 200));
    assert!(server.asked_within(260, 400) > 300);
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_a_year_stops_an_account_for_an_hour() {
    let server = Server::new(|at| match at.as_secs() {
        5 => throttled(365 * 24 * 3600),
        _ => status("PENDING"),
    });
    let policy = Policy { max_wait: Some(Duration::from_secs(7200)), ..patient() };
    let heard = daemon(&[("a", &server, 50)], policy, 600, 8000).await;
    assert!(server.asked_within(10, 3600) == 0 && server.asked_within(3600, 4200) > 500);
    assert_eq!(heard.endings.len(), 50);
    assert!(heard.endings.iter().all(|ending| ending.outcome == Outcome::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_429_that_never_ends_does_not_keep_a_watch_beyond_its_deadline() {
    let server = Server::new(|_| throttled(5));
    let policy = Policy { max_wait: Some(Duration::from_secs(20)), ..patient() };
    let heard = daemon(&[("a", &server, 60)], policy, 600, 150).await;
    assert_eq!(heard.endings.len(), 60);
    for ending in &heard.endings {
        assert_eq!(ending.outcome, Outcome::TimedOut);
        // A watch whose own poll got a hint beyond its deadline ends at once.
        let earliest = if ending.watch.progress.overlong().is_some() { 14_500 } else { 20_000 };
        assert!((earliest..21_500).contains(&ending.waited().as_millis()), "{:?}", ending.waited());
        assert_eq!(ending.watch.progress.problem().and_then(|problem| problem.http_status), Some(429));
    }
    let polls: u32 = heard.endings.iter().map(|ending| ending.watch.progress.polls()).sum();
    assert_eq!(polls as usize, server.asked.borrow().len(), "only polls that were made count");
}

#[tokio::test(start_paused = true)]
async fn a_429_that_lasts_longer_than_max_outage_ends_the_watches_of_its_account() {
    let server = Server::new(|_| throttled(5));
    let other = Server::new(|_| status("PENDING"));
    let policy = Policy { max_outage: Some(Duration::from_secs(60)), ..patient() };
    let servers = [("a", &server, 60), ("b", &other, 3)];
    let heard = daemon(&servers, policy, 600, 150).await;
    assert_eq!(heard.endings.len(), 60);
    for ending in &heard.endings {
        assert_eq!((&*ending.watch.account, ending.outcome), ("a", Outcome::Unavailable));
        assert!((60..75).contains(&ending.waited().as_secs()), "{:?}", ending.waited());
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_with_a_hint_of_0_gets_a_pause() {
    let server = Server::new(|_| throttled(0));
    daemon(&[("a", &server, 60)], patient(), 600, 60).await;
    let asked = server.asked_within(1, 60);
    assert!((40..=70).contains(&asked), "about one a second: {asked}");
}

#[tokio::test(start_paused = true)]
async fn after_a_change_accounts_that_stay_keep_their_state_and_removed_ones_keep_no_watch() {
    // Three accounts: one stays and is blocked for ten minutes, one is removed, and one is added.
    let blocked = Server::new(|_| throttled(600));
    let [gone, comes, successor] = [(); 3].map(|()| Server::new(|_| status("PENDING")));
    let clock = blocked.clock;
    let store = MemoryStore::default();
    for name in ["gone", "stays", "comes"] {
        let watch = Watch { account: Arc::from(name), ..Watch::unnamed(exports(1)[0], clock.now()) };
        assert!(store.take_on(watch, clock.now()).is_some());
    }
    let account = |name: &str, server: &Arc<Server>| Account {
        name: Arc::from(name),
        poller: Arc::clone(server),
        requests_per_minute: NonZeroU32::new(600),
    };
    let plan = Plan { policy: patient(), concurrency: NonZeroUsize::new(64).unwrap(), beat: None };
    let accounts = vec![account("gone", &gone), account("stays", &blocked)];
    let mut runner = runner_over(store, accounts, plan.clone(), (), clock);
    let tell = &mut |_: &Event| ControlFlow::Continue(());
    runner.run(tokio::time::sleep(Duration::from_secs(60)), false, tell).await.unwrap();
    assert_eq!((blocked.asked_within(0, 60), comes.asked_within(0, 60)), (1, 0));
    assert!(gone.asked_within(0, 60) > 10);

    runner.change(vec![account("stays", &blocked), account("comes", &comes)], plan.clone(), ());
    runner.look_again();
    runner.run(tokio::time::sleep(Duration::from_secs(60)), false, tell).await.unwrap();
    assert_eq!(blocked.asked_within(60, 120), 0, "the block stays");
    assert_eq!(gone.asked_within(60, 120), 0, "nobody asks for one that is gone");
    assert!(comes.asked_within(60, 120) > 10);

    runner.change(vec![account("gone", &gone), account("comes", &successor)], plan, ());
    runner.look_again();
    runner.run(tokio::time::sleep(Duration::from_secs(60)), false, tell).await.unwrap();
    assert!(gone.asked_within(120, 180) > 1, "what was claimed for it is free when it is back");
    assert_eq!(comes.asked_within(121, 180), 0);
    assert!(successor.asked_within(120, 180) > 1, "an account that stays asks with what is new");
}
