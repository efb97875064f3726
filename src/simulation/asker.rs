//! Asks a server for an account. The program itself chooses the API version and reads the answers.

use std::sync::Arc;

use super::rules::Saw;
use super::servers::Sent;
use super::world::World;
use crate::export::ExportRef;
use crate::fixtures::cells::{Cell, RefCell};
use crate::snyk::{DEFAULT_VERSION, GA_VERSION, Reply, Version, observation};
use crate::watch::observation::{Failure, FailureKind, Observation, Poller, Problem};

/// The client of an account, until the settings are read again.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    world: Arc<World>,
    account: usize,
    version: Arc<Version>,
    /// Whether the GA version has replaced the default one.
    keeps_ga: Arc<Cell<bool>>,
}

/// The requests of a poll: the version, and the result.
type Asked = RefCell<Vec<(String, Sent)>>;

impl Asker {
    pub(super) fn new(world: &Arc<World>, account: usize) -> Self {
        let set = world.scene.account(account).and_then(|scene| scene.version);
        let version = Arc::new(Version::new(set.map(str::to_owned)));
        Self { world: Arc::clone(world), account, version, keeps_ga: Arc::default() }
    }

    /// Sends a request.
    async fn send(&self, watch: usize, poll: u64, version: String, asked: &Asked) -> Result<Reply, Failure> {
        let Some(scene) = self.world.scene.account(self.account) else { return std::future::pending().await };
        let nth = asked.borrow().len();
        self.must_ask_in(scene.version, &version, &asked.borrow());
        let (takes, sent) = self.world.request(scene, (watch, poll, nth), &version);
        tokio::time::sleep(takes).await;
        asked.borrow_mut().push((version, sent));
        match sent {
            Sent::Nothing => std::future::pending().await,
            Sent::Broken(kind) => Err(Failure { kind, problem: Problem::new(kind.as_str(), "") }),
            Sent::Answer(answer) => Ok(self.world.written(scene, &answer)),
        }
    }

    /// A poll asks in the version from the settings, or in the default version until the GA version has replaced it. It asks
    /// again, in the GA version, only if the default version is missing.
    fn must_ask_in(&self, set: Option<&str>, version: &str, before: &[(String, Sent)]) {
        let must = match (before, set) {
            ([], Some(set)) => Some(set),
            ([], None) if self.keeps_ga.get() => Some(GA_VERSION),
            ([], None) => Some(DEFAULT_VERSION),
            ([first], None) if is_missing(first) => Some(GA_VERSION),
            _ => None,
        };
        if must != Some(version) {
            self.world.violate(|| {
                format!(
                    "account {} asks in {version}, by the rules in {must:?}, after {before:?}",
                    self.account
                )
            });
        }
    }

    /// The result that counts for a poll.
    fn seen(&self, asked: &[(String, Sent)]) -> Option<Sent> {
        match asked {
            [first, (_, Sent::Answer(second))] if second.class() == NOT_FOUND => Some(first.1),
            [_, (_, second)] => {
                self.keeps_ga.set(self.keeps_ga.get() || matches!(second, Sent::Answer(_)));
                Some(*second)
            }
            [first] => {
                let is_set =
                    self.world.scene.account(self.account).is_some_and(|scene| scene.version.is_some());
                if is_missing(first) && !is_set {
                    self.world.violate(|| {
                        format!(
                            "account {} finds the default version missing, and asks in no other",
                            self.account
                        )
                    });
                }
                Some(first.1)
            }
            _ => None,
        }
    }
}

const NOT_FOUND: Saw = Saw::Failed(FailureKind::NotFound, true);

/// Whether a request in the default version got 404 or 410.
fn is_missing((version, sent): &(String, Sent)) -> bool {
    version == DEFAULT_VERSION && sent.seen().0 == NOT_FOUND
}

impl Poller for Asker {
    async fn poll(&self, export: &ExportRef) -> Observation {
        let watch = export.export_id.as_u128() as usize;
        let poll = self.world.poll_begins(self.account, watch);
        // Dropped if the runner gives up the poll.
        let waiting = Waiting { world: &self.world, account: self.account, watch };
        let asked = Asked::default();
        let reply = self.version.ask(|version| self.send(watch, poll, version, &asked)).await;
        std::mem::forget(waiting);
        let seen = self.seen(&asked.borrow()).map(Sent::seen);
        if let Some((saw, hint)) = seen {
            self.world.poll_ends(self.account, watch, saw, hint, false);
        }
        match reply {
            Ok(reply) => observation(reply),
            Err(failure) => Observation { answer: Err(failure), hint: None },
        }
    }
}

struct Waiting<'a> {
    world: &'a World,
    account: usize,
    watch: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let saw = Saw::Failed(FailureKind::Transient, false);
        self.world.poll_ends(self.account, self.watch, saw, None, true);
    }
}
