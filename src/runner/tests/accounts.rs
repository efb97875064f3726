//! Accounts in the daemon: budgets, 429s, refused credentials, in virtual time.

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
    Observation { hint: Some(Duration::from_secs(seconds)), ..http(429) }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_under_500_watches_and_comes_back_ends_none_of_them() {
    let hour = 600..600 + 3600;
    let server = Server::new(move |at| match at.as_secs() {
        second if hour.contains(&second) => http(401),
        second if second > 4800 => status("FINISHED"),
        _ => status("PENDING"),
    });
    let other = Server::new(|_| status("PENDING"));
    let policy = Policy { max_outage: Some(Duration::from_secs(600)), ..patient() };
    let heard = daemon(&[("a", &server, 500), ("b", &other, 5)], policy, 600, 6000).await;
    assert_eq!(heard.endings.len(), 500);
    assert!(heard.endings.iter().all(|ending| ending.outcome == Outcome::Finished));
    assert_eq!((heard.names["account.paused"], heard.names["account.resumed"], heard.owed), (1, 1, 1));
    // One try every half minute, besides those that were under way.
    let tries = server.asked_within(610, 600 + 3600);
    assert!((115..=125).contains(&tries), "{tries}");
    // Polls continue at most half a minute after the token works again. The other account is not affected.
    assert!(server.asked_within(4200, 4240) > 50);
    assert!(other.asked_within(1000, 2000) > 100);
}

#[tokio::test(start_paused = true)]
async fn only_its_own_deadline_ends_a_watch_whose_credential_is_refused() {
    let server = Server::new(|_| http(401));
    let policy = Policy { max_wait: Some(Duration::from_secs(3600)), ..patient() };
    let heard = daemon(&[("a", &server, 200)], policy, 600, 10_000).await;
    assert_eq!(heard.endings.len(), 200);
    for ending in &heard.endings {
        assert_eq!(ending.outcome, Outcome::TimedOut);
        assert_eq!(ending.watch.progress.problem().and_then(|problem| problem.http_status), Some(401));
        assert!((3600..3640).contains(&ending.waited().as_secs()), "{:?}", ending.waited());
    }
    assert!(server.asked_within(60, 10_000) < 130, "{}", server.asked_within(60, 10_000));
}

#[tokio::test(start_paused = true)]
async fn with_until_idle_a_refusal_ends_all_watches_of_the_account_without_a_poll_each() {
    let server = Server::new(|_| http(401));
    let other = Server::new(|_| status("FINISHED"));
    let heard = daemon(&[("a", &server, 500), ("b", &other, 3)], ending_accounts(), 600, 100).await;
    let refused = heard.endings.iter().filter(|ending| ending.outcome == Outcome::Unauthorized).count();
    assert_eq!((refused, heard.endings.len()), (500, 503));
    assert!(server.asked.borrow().len() <= 20, "{}", server.asked.borrow().len());
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
async fn a_doubted_credential_is_tried_within_the_budget() {
    let (refused, from) = (Cell::new(false), Duration::from_secs(300));
    let server = Server::new(move |at| match at >= from {
        false => status("PENDING"),
        true if !refused.replace(true) => http(401),
        true => http(503),
    });
    daemon(&[("a", &server, 40)], patient(), 6, 900).await;
    for minute in 5..15 {
        let asked = server.asked_within(minute * 60, minute * 60 + 60);
        assert!((5..=7).contains(&asked), "{asked} in minute {minute}");
    }
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

#[tokio::test(start_paused = true)]
async fn a_429_without_a_hint_doubles_the_pause_up_to_a_minute() {
    let server = Server::new(|at| if at.as_secs() < 200 { http(429) } else { status("PENDING") });
    daemon(&[("a", &server, 50)], patient(), 600, 400).await;
    // 5, 10, 20, 40, 60 seconds, each with what was under way.
    assert!(server.asked_within(1, 200) <= 30, "{}", server.asked_within(1, 200));
    assert!(server.asked_within(260, 400) > 300);
}

#[tokio::test(start_paused = true)]
async fn servers_that_hang_do_not_take_the_places_of_other_accounts() {
    let stuck = [Server::hanging(), Server::hanging(), Server::hanging()];
    let other = Server::new(|_| status("PENDING"));
    let [a, b, c] = &stuck;
    let servers = [("a", a, 500), ("b", b, 500), ("c", c, 500), ("d", &other, 50)];
    daemon(&servers, patient(), 600, 300).await;
    let polls = stuck.each_ref().map(|server| server.asked.borrow().len());
    let (least, most) = (polls.iter().min().unwrap(), polls.iter().max().unwrap());
    assert!(*least > 100 && most - least <= 30, "{polls:?}");
    for minute in 1..5 {
        let asked = other.asked_within(minute * 60, minute * 60 + 60);
        assert!(asked > 95, "{asked} in minute {minute}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_older_poll_does_not_end_a_refusal() {
    // The first poll is answered late, with a status; the second, begun later, at once with a refusal.
    let server = Server::new(|at| if at.as_secs() < 1 { status("PENDING") } else { http(401) });
    let server = Arc::new(Server { takes: Duration::from_millis(1500), ..Arc::into_inner(server).unwrap() });
    let heard = daemon(&[("a", &server, 60)], patient(), 600, 600).await;
    assert_eq!(heard.names["account.paused"], 1);
    assert!(!heard.names.contains_key("account.resumed"));
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
async fn a_single_401_among_good_answers_ends_nothing_and_is_not_reported() {
    for refusal in [Refusal::PausesAccount, Refusal::EndsAccount] {
        let count = Cell::new(0);
        let server = Server::new(move |at| {
            count.set(count.get() + 1);
            match count.get() {
                130 => http(401),
                _ if at.as_secs() > 60 => status("FINISHED"),
                _ => status("PENDING"),
            }
        });
        let heard = daemon(&[("a", &server, 50)], Policy { refusal, ..patient() }, 6000, 200).await;
        assert_eq!(heard.endings.len(), 50);
        assert!(heard.endings.iter().all(|ending| ending.outcome == Outcome::Finished));
        assert!(!heard.names.contains_key("account.paused"), "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_401_after_a_restart_ends_nothing() {
    let server = Server::new(|at| if at.as_millis() < 10 { http(401) } else { status("FINISHED") });
    let clock = server.clock;
    let store = MemoryStore::default();
    for export in exports(20) {
        let mut watch = Watch::unnamed(export, clock.now());
        watch.progress.record(&status("PENDING"), &policy(), clock.now(), &mut fastrand::Rng::with_seed(1));
        assert!(store.take_on(watch, clock.now()).is_some());
    }
    let (name, poller) = ("default".into(), Arc::clone(&server));
    let account = Account { name, poller, requests_per_minute: NonZeroU32::new(600) };
    let plan = Plan { policy: ending_accounts(), concurrency: NonZeroUsize::new(1).unwrap(), beat: None };
    let mut runner = runner_over(store, vec![account], plan, (), clock);
    let mut outcomes = Vec::new();
    let mut tell = |event: &Event| {
        if let What::Finished(ending) = &event.what {
            outcomes.push(ending.outcome);
        }
        ControlFlow::Continue(())
    };
    runner.run(std::future::pending::<()>(), true, &mut tell).await.unwrap();
    assert_eq!(outcomes, [Outcome::Finished; 20]);
}

#[tokio::test(start_paused = true)]
async fn a_429_with_a_hint_of_0_gets_a_pause() {
    let server = Server::new(|_| throttled(0));
    daemon(&[("a", &server, 60)], patient(), 600, 60).await;
    let asked = server.asked_within(1, 60);
    assert!((40..=70).contains(&asked), "about one a second: {asked}");
}

#[tokio::test(start_paused = true)]
async fn servers_that_answer_slowly_do_not_hold_up_one_that_is_quick() {
    for (takes, timeout) in [(4500, 30_000), (1_000_000, 1500)] {
        let slow: Vec<_> = (0..20)
            .map(|_| {
                let server = Arc::into_inner(Server::new(|_| http(503))).unwrap();
                Arc::new(Server { takes: Duration::from_millis(takes), ..server })
            })
            .collect();
        let quick = Server::new(|_| status("PENDING"));
        let names: Vec<String> = (0..21).map(|number| format!("account {number:02}")).collect();
        let servers = slow.iter().chain([&quick]);
        let all: Vec<_> = names.iter().zip(servers).map(|(name, server)| (&**name, server, 2)).collect();
        let steady = Pace::new(Duration::from_secs(2), 1.0, Duration::from_secs(2), 0.0).unwrap();
        let request_timeout = Duration::from_millis(timeout);
        let policy = Policy { pace: steady.clone(), retry: steady, request_timeout, ..patient() };
        crowded_daemon(&all, policy, (600, 4), 1000).await;
        // From when all are known: both watches every 2 s.
        let asked = quick.asked_within(400, 1000);
        assert!(asked > 570, "{asked} where servers take {takes} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn with_until_idle_a_confirmed_401_ends_the_account() {
    let server = Server::new(|at| if at.as_secs() < 30 { status("PENDING") } else { http(401) });
    let heard = daemon(&[("a", &server, 50)], ending_accounts(), 600, 60).await;
    assert_eq!(heard.endings.len(), 50);
    assert!(heard.endings.iter().all(|ending| ending.outcome == Outcome::Unauthorized));
    assert_eq!((heard.names["account.paused"], heard.owed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_401_from_before_the_last_good_answer_is_ignored() {
    // The first poll is refused after 10 s. By then other polls have succeeded with a renewed credential.
    let first = Cell::new(true);
    let clock = Clock::start();
    let slow = Arc::new(SlowRefusal { first, clock });
    let store = MemoryStore::default();
    for export in exports(5) {
        assert!(store.add(export, clock.now()).is_some());
    }
    let account = Account { name: "default".into(), poller: slow, requests_per_minute: NonZeroU32::new(600) };
    let plan = Plan { policy: ending_accounts(), concurrency: NonZeroUsize::new(64).unwrap(), beat: None };
    let mut runner = runner_over(store.clone(), vec![account], plan, (), clock);
    let mut paused = 0;
    let mut tell = |event: &Event| {
        paused += usize::from(matches!(event.what, What::AccountPaused { .. }));
        ControlFlow::Continue(())
    };
    runner.run(tokio::time::sleep(Duration::from_secs(60)), true, &mut tell).await.unwrap();
    assert_eq!((paused, store.unfinished().len()), (0, 5));
}

/// Refuses the first poll, late; answers all others at once.
struct SlowRefusal {
    first: Cell<bool>,
    clock: Clock,
}

impl Poller for SlowRefusal {
    async fn poll(&self, _: &ExportRef) -> Observation {
        if !self.first.replace(false) {
            return status("PENDING");
        }
        self.clock.sleep_until(self.clock.now().plus(Duration::from_secs(10))).await;
        http(401)
    }
}

#[tokio::test(start_paused = true)]
async fn with_more_accounts_than_room_each_has_its_turn() {
    let servers: Vec<_> = (0..6).map(|_| Server::new(|_| status("PENDING"))).collect();
    let names = ["a", "b", "c", "d", "e", "f"];
    let all: Vec<_> = names.iter().zip(&servers).map(|(name, server)| (*name, server, 3)).collect();
    crowded_daemon(&all, patient(), (6000, 4), 26).await;
    let polls: Vec<_> = servers.iter().map(|server| server.asked.borrow().len()).collect();
    let (least, most) = (polls.iter().min().unwrap(), polls.iter().max().unwrap());
    assert!(*least > 50 && most - least <= 3, "{polls:?}");
}

/// A watch of a healthy account is late by at most the time of one request, and by less than a second once the servers that
/// hang are known.
#[tokio::test(start_paused = true)]
async fn many_servers_that_hang_delay_a_healthy_one_once_at_most() {
    let hanging: Vec<_> = (0..66).map(|_| Server::hanging()).collect();
    let healthy: Vec<_> = (0..3).map(|_| Server::new(|_| status("PENDING"))).collect();
    let names: Vec<String> = (0..69).map(|number| format!("account {number:02}")).collect();
    let servers = hanging.iter().chain(&healthy);
    let all: Vec<_> = names.iter().zip(servers).map(|(name, server)| (&**name, server, 3)).collect();
    let steady = Pace::new(Duration::from_secs(10), 1.0, Duration::from_secs(10), 0.0).unwrap();
    let policy = Policy { pace: steady, ..patient() };
    crowded_daemon(&all, policy, (600, 64), 1000).await;
    for server in &healthy {
        let mut each: BTreeMap<ExportRef, Vec<Duration>> = BTreeMap::new();
        server.asked.borrow().iter().for_each(|(at, export)| each.entry(*export).or_default().push(*at));
        assert_eq!(each.len(), 3);
        for polls in each.values() {
            assert!(polls[0] <= Duration::from_secs(31), "{:?}", polls[0]);
            let latest = polls.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap();
            assert!(latest < Duration::from_secs(11), "{latest:?}");
        }
    }
    let polls = hanging.iter().map(|server| server.asked.borrow().len()).min().unwrap();
    assert!(polls > 15, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_more_than_56_years_does_not_spin() {
    let server = Server::new(|_| http(401));
    let policy = Policy { max_wait: Some(Duration::from_secs(80 * 365 * 24 * 3600)), ..patient() };
    let clock = server.clock;
    let store = Counted(MemoryStore::default(), Arc::default());
    assert!(store.0.add(exports(1)[0], clock.now()).is_some());
    let account = Account {
        name: "default".into(),
        poller: Arc::clone(&server),
        requests_per_minute: NonZeroU32::new(600),
    };
    let plan = Plan { policy, concurrency: NonZeroUsize::new(64).unwrap(), beat: None };
    let mut runner = runner_over(store.clone(), vec![account], plan, (), clock);
    let over = tokio::time::sleep(Duration::from_secs(600));
    runner.run(over, true, &mut |_| ControlFlow::Continue(())).await.unwrap();
    assert!(store.1.get() < 100, "{} passes in ten minutes", store.1.get());
}

/// A store that counts its passes.
#[derive(Clone)]
struct Counted(MemoryStore, Arc<Cell<usize>>);

impl Queue for Counted {
    fn pass(&self, pass: Pass) -> Reply<Passed> {
        self.1.set(self.1.get() + 1);
        self.0.pass(pass)
    }
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

#[test]
fn a_prompt_server_answers_within_a_second_or_half_of_the_request_timeout() {
    let account = Account { name: Arc::from("default"), poller: (), requests_per_minute: None };
    let mut state = AccountState::new(account, Moment::default());
    let rows = [(30_000, 999, true), (30_000, 1000, false), (600, 299, true), (600, 300, false)];
    for (request_timeout, took, is_prompt) in rows {
        let [request_timeout, took] = [request_timeout, took].map(Duration::from_millis);
        let policy = Policy { request_timeout, ..policy() };
        state.end(took, &policy);
        assert_eq!(state.is_prompt, is_prompt, "{took:?} of {request_timeout:?}");
    }
}

/// Counts passes.
struct Passes(Arc<Cell<usize>>);

impl Obligations for Passes {
    fn passed(&self, _: Moment) {
        self.0.set(self.0.get() + 1);
    }
}

/// A runner over an empty store, with one account.
fn idle(rate: u32, beat: Option<Duration>) -> (Runner<MemoryStore, Arc<Server>, Passes>, Arc<Cell<usize>>) {
    let server = Server::new(|_| status("PENDING"));
    let (clock, passes) = (server.clock, Arc::default());
    let account =
        Account { name: Arc::from("default"), poller: server, requests_per_minute: NonZeroU32::new(rate) };
    let (policy, concurrency) = (patient(), NonZeroUsize::MIN);
    let plan = Plan { policy, concurrency, beat };
    let obligations = Passes(Arc::clone(&passes));
    (runner_over(MemoryStore::default(), vec![account], plan, obligations, clock), passes)
}

#[tokio::test(start_paused = true)]
async fn passes_are_made_at_the_beat_although_nothing_is_due() {
    for (beat, expected) in [(None, 1), (Some(Duration::from_secs(5)), 12)] {
        let (mut runner, passes) = idle(1, beat);
        let over = tokio::time::sleep(Duration::from_secs(58));
        runner.run(over, false, &mut |_| ControlFlow::Continue(())).await.unwrap();
        assert_eq!(passes.get(), expected, "{beat:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_spare_request_nothing_more_is_claimed() {
    let claimed = |now| {
        let (claim, watch) = (Claim { row: 0, fence: 0 }, Watch::unnamed(exports(1)[0], now));
        Claimed { claim, watch, due_at: now }
    };
    let (mut limited, _) = idle(1, None);
    let now = limited.clock.now();
    assert_eq!(limited.wishes(now).len(), 1, "the budget begins with one request");
    limited.accounts[0].ready.push_back(claimed(now));
    assert!(limited.wishes(now).is_empty() && limited.wake_at().is_none(), "which has its use");
    // Without a limit, four are claimed ahead.
    let (mut unlimited, _) = idle(0, None);
    for left in [4, 3, 2, 1] {
        assert_eq!(unlimited.wishes(now).iter().map(|wish| wish.room).collect::<Vec<_>>(), [left]);
        unlimited.accounts[0].ready.push_back(claimed(now));
    }
    assert!(unlimited.wishes(now).is_empty());
}
