//! A wall clock that is set while watches are followed.

use super::*;

thread_local! {
    static WALL: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::from_secs(1_732_529_622)) };
}

#[tokio::test(start_paused = true)]
async fn shown_times_follow_a_wall_clock_that_is_set_and_durations_do_not() {
    const STEP: Duration = Duration::from_secs(8 * 3600);
    let clock = Clock::reading(|| WALL.get());
    let script = Script::new([(0, status("PENDING")), (1000, status("STARTED")), (0, status("FINISHED"))]);
    let store = MemoryStore::default();
    assert!(store.add(exports(1)[0], clock.now()).is_some());
    let account = Account {
        name: crate::watch::DEFAULT_ACCOUNT.into(),
        poller: Arc::clone(&script),
        requests_per_minute: None,
    };
    let plan = Plan { policy: policy(), concurrency: NonZeroUsize::MIN, beat: None };
    let mut runner = Runner::new(store, vec![account], plan, (), clock, fastrand::Rng::with_seed(1));
    let mut ended = None;
    let mut tell = |event: &Event| {
        if let What::Finished(ending) = &event.what {
            ended = Some(Arc::clone(ending));
        }
        WALL.set(WALL.get() + STEP);
        ControlFlow::Continue(())
    };
    runner.run(std::future::pending::<()>(), true, &mut tell).await.unwrap();
    let ended = ended.unwrap();
    assert!(ended.waited() < Duration::from_secs(10), "{:?}", ended.waited());
    let shown: Vec<_> = ended.watch.progress.timeline().iter().map(|change| change.at.wall()).collect();
    assert_eq!([shown[1] - shown[0], shown[2] - shown[1]], [STEP; 2]);
    assert_eq!(ended.at.wall(), shown[2]);
}
