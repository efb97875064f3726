//! When passes are made.

use super::*;

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
