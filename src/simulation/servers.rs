//! The servers: what they answer, and how soon.

use std::sync::Arc;
use std::time::Duration;

use super::invent::rng;
use super::rules::Saw;
use super::scene::Weather;
use super::world::World;
use crate::export::{ExportRef, Status};
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Poller, Problem, Report};

impl World {
    /// What an answer will be, and how long it takes; nothing if there is none.
    fn answer(&self, account: usize, watch: usize, poll: u64) -> (Duration, Option<(Saw, Option<Duration>)>) {
        let Some(scene) = self.scene.account(account) else {
            return (Duration::ZERO, None);
        };
        let mut rng = rng(self.scene.seed, "poll", watch.wrapping_mul(1_000_003) + poll as usize);
        let takes = Duration::from_millis(scene.latency.0 + rng.u64(0..=scene.latency.1));
        let code = |code: u16| Saw::Failed(FailureKind::of_http_status(code), true);
        let well = || self.word(watch).map_or_else(|| code(404), Saw::Word);
        match self.weather(scene.server) {
            None => (takes, Some((well(), None))),
            Some(Weather::Hangs) => (Duration::MAX, None),
            Some(Weather::Slow(by)) => (takes + by, Some((well(), None))),
            Some(Weather::Code { code, gateway, hint }) => {
                let kind = if gateway { FailureKind::Gateway } else { FailureKind::of_http_status(code) };
                (takes, Some((Saw::Failed(kind, true), hint)))
            }
            Some(Weather::Unreachable) => (takes, Some((Saw::Failed(FailureKind::Transient, false), None))),
            Some(Weather::Untrusted) => (takes, Some((Saw::Failed(FailureKind::Unrecoverable, false), None))),
            Some(Weather::Flaky { percent, code: bad, later }) if rng.u8(0..100) < percent => {
                (takes + later, Some((code(bad), None)))
            }
            Some(Weather::Flaky { .. }) => (takes, Some((well(), None))),
            Some(Weather::Hints(pause)) => (takes, Some((well(), Some(pause)))),
        }
    }

    /// The word that an export's status has.
    fn word(&self, watch: usize) -> Option<&'static str> {
        let now = self.elapsed() + self.slept.get();
        let scene = self.scene.watch(watch)?;
        let stages =
            [(scene.ends_at, scene.last_word), (scene.started_at, "STARTED"), (scene.born_at, "PENDING")];
        stages.iter().find(|(at, _)| *at <= now && scene.born_at <= now).map(|(_, word)| *word)
    }
}

/// What asks a server for an account.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) world: Arc<World>,
    pub(super) account: usize,
}

impl Poller for Asker {
    async fn poll(&self, export: &ExportRef) -> Observation {
        let watch = export.export_id.as_u128() as usize;
        let poll = self.world.poll_begins(self.account, watch);
        // A caller that gives up waiting drops this.
        let waiting = Waiting { world: &self.world, account: self.account, watch };
        let (takes, answer) = self.world.answer(self.account, watch, poll);
        match answer {
            None => std::future::pending().await,
            Some((saw, hint)) => {
                tokio::time::sleep(takes).await;
                std::mem::forget(waiting);
                self.world.poll_ends(self.account, watch, saw.clone(), hint, false);
                Observation { answer: as_answer(&saw), hint }
            }
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

fn as_answer(saw: &Saw) -> Answer {
    match saw {
        Saw::Word(word) => Answer::Status(Report {
            status: Status::new(word).unwrap_or_else(|| unreachable!("all words are words")),
            created: None,
            row_count: None,
            results: None,
            links_expire_at: None,
            error: None,
        }),
        Saw::Failed(kind, is_answer) => {
            let http_status = is_answer.then_some(match kind {
                FailureKind::Unauthorized => 401,
                FailureKind::Forbidden => 403,
                FailureKind::NotFound => 404,
                FailureKind::Conflict => 409,
                FailureKind::Throttled => 429,
                FailureKind::Rejected | FailureKind::Gateway => 400,
                FailureKind::Unrecoverable | FailureKind::Transient => 503,
            });
            let problem = Problem { http_status, ..Problem::new(kind.as_str(), "") };
            Answer::Failure(Failure { kind: *kind, problem })
        }
    }
}
