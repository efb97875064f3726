//! Follows exports to their end, with the runner and a store in memory.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::{FutureExt as _, Stream, stream};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::event::{Ending, Event, What};
use crate::export::ExportRef;
use crate::runner::{Account, Plan, Runner, Stopped};
use crate::snyk::Client;
use crate::store::MemoryStore;
use crate::watch::observation::Poller;
use crate::watch::outcome::{Outcome, Signal};
use crate::watch::{DEFAULT_ACCOUNT, Policy};

/// How many polls [`follow`] runs at once.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not 0");

/// Follows exports until each has ended, until `stop` is ready, or until `tell` breaks off. The remaining exports then
/// end as interrupted or abandoned.
///
/// `tell` gets every event. An export that is named twice is followed once.
pub async fn run<P>(
    exports: &[ExportRef],
    poller: P,
    plan: Plan,
    clock: Clock,
    stop: impl Future<Output = Signal>,
    mut tell: impl FnMut(&Event) -> ControlFlow<()>,
) where
    P: Poller + Clone,
{
    let store = MemoryStore::default();
    let now = clock.now();
    for watch in exports.iter().filter_map(|export| store.add(*export, now)) {
        // Breaking off here has no effect: the first event of a poll breaks off as well.
        let _ = tell(&What::Added { watch }.at(now));
    }
    let account = Account { name: Arc::from(DEFAULT_ACCOUNT), poller, requests_per_minute: None };
    let mut runner = Runner::new(store.clone(), vec![account], plan, (), clock, fastrand::Rng::new());
    let outcome = match runner.run(stop, true, &mut tell).await {
        Ok(Stopped::Asked(signal)) => Outcome::Interrupted(signal),
        // A store in memory never fails.
        Ok(Stopped::Idle | Stopped::BrokenOff) | Err(_) => Outcome::Abandoned,
    };
    for watch in store.unfinished() {
        let at = clock.now();
        let ending = Ending { watch, outcome, report: None, at, timing: None };
        let _ = tell(&What::Finished(Arc::new(ending)).at(at));
    }
}

/// How commands follow exports: a refused credential ends each watch on its own.
#[must_use]
pub const fn plan(policy: Policy, concurrency: NonZeroUsize) -> Plan {
    Plan { policy, concurrency, beat: None }
}

/// Follows exports until each has ended, as a stream of events. The last event of each export is [`What::Finished`].
///
/// The stream does its work while it is polled; dropping it cancels everything. It needs a Tokio runtime with time and
/// I/O.
pub fn follow(
    client: impl Into<Arc<Client>>,
    exports: Vec<ExportRef>,
    policy: Policy,
) -> impl Stream<Item = Event> + Send {
    let client = client.into();
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut following = Box::pin(
        async move {
            let tell = |event: &Event| match sender.send(event.clone()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            let (plan, never) = (plan(policy, CONCURRENCY), std::future::pending());
            run(&exports, client, plan, Clock::start(), never, tell).await;
        }
        .fuse(),
    );
    stream::poll_fn(move |context| {
        // The channel delivers the events; when it closes, the stream ends.
        let _ = following.poll_unpin(context);
        events.poll_recv(context)
    })
}
