//! Credentials that are doubted, refused, and work again.

use super::*;

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
async fn an_answer_to_an_older_poll_does_not_end_a_refusal() {
    // The first poll is answered late, with a status; the second, begun later, at once with a refusal.
    let server = Server::new(|at| if at.as_secs() < 1 { status("PENDING") } else { http(401) });
    let server = Arc::new(Server { takes: Duration::from_millis(1500), ..Arc::into_inner(server).unwrap() });
    let heard = daemon(&[("a", &server, 60)], patient(), 600, 600).await;
    assert_eq!(heard.names["account.paused"], 1);
    assert!(!heard.names.contains_key("account.resumed"));
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
