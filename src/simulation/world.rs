//! The world that a daemon lives in: time, servers, and what is known of everything that happens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::account::{Account, Credential};
use super::post::Post;
use super::rules::{Saw, Seen};
use super::scene::{Limits, Mode, Scene, Weather, What, rng};
use super::trace::Trace;
use crate::clock::Clock;
use crate::export::{ExportRef, Scope, Status};
use crate::moment::Moment;
use crate::watch::observation::{Answer, Failure, FailureKind, Observation, Poller, Problem, Report};
use crate::watch::outcome::Outcome;

/// When the world begins.
pub(super) const BEGINNING: Moment = Moment::from_unix_ms(1_732_529_622_000);

/// The world. It is one for all lives of the daemon.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) trace: Trace,
    /// Counts on for ever.
    pub(super) time: Clock,
    /// The clock of the daemon's present life.
    pub(super) clock: Cell<Clock>,
    /// How far the servers' time is ahead, since this machine slept.
    pub(super) slept: Cell<Duration>,
    /// How far the wall's clock is ahead or behind, in milliseconds.
    pub(super) wall_step: Cell<i64>,
    pub(super) state: RefCell<State>,
    pub(super) post: RefCell<Post>,
    pub(super) figures: RefCell<Figures>,
    /// The process is about to die.
    pub(super) doom: Cell<Option<Doom>>,
    /// Whether somebody has changed the store.
    pub(super) changed: Cell<bool>,
    /// The second of the daemon's life, the steps that it made in it, and the deeds.
    pub(super) pulse: Cell<(u64, u64, u64)>,
    violation: RefCell<Option<String>>,
}

/// How the process dies: after so many more of its steps.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Doom {
    pub(super) steps: u32,
    pub(super) down_for: Duration,
    pub(super) is_power_cut: bool,
}

/// What is known.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) accounts: Vec<Account>,
    pub(super) watches: Vec<Followed>,
    pub(super) life: u32,
    pub(super) life_began: Moment,
    /// When the settings were last read again, a stall ended, or the like: what came late then has its reason.
    pub(super) disturbed: Moment,
    /// Whether `max-wait` was changed while watches were followed.
    pub(super) is_shortened: bool,
    /// What a power cut would take back.
    pub(super) undo: Vec<Undo>,
    /// How those ended that were told of in this life.
    pub(super) told: Vec<Outcome>,
}

/// What a run came to.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Figures {
    pub(super) polls: u64,
    pub(super) ends: u64,
    pub(super) lives: u64,
    pub(super) deliveries: u64,
    /// The time that all watches were followed.
    pub(super) followed: Duration,
    /// The time that the world lasted.
    pub(super) lasted: Duration,
}

impl Figures {
    pub(super) fn add(&mut self, other: &Self) {
        self.polls += other.polls;
        self.ends += other.ends;
        self.lives += other.lives;
        self.deliveries += other.deliveries;
        self.followed += other.followed;
        self.lasted += other.lasted;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let years = |time: Duration| time.as_secs_f64() / (365.25 * 24.0 * 3600.0);
        let Self { polls, ends, lives, deliveries, followed, lasted } = self;
        write!(
            f,
            "{polls} polls, {ends} ends, {lives} lives, {deliveries} attempts to deliver; watches were followed for \
             {:.2} years, the worlds lasted {:.2} years",
            years(*followed),
            years(*lasted)
        )
    }
}

/// What is known of a watch.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) phase: Phase,
    pub(super) account: usize,
    pub(super) started: Moment,
    pub(super) due: Moment,
    /// When the poll began that is under way.
    pub(super) asking: Option<Moment>,
    /// What a poll has come to that is not kept yet.
    pub(super) answered: Option<Answered>,
    pub(super) history: Vec<Seen>,
    pub(super) begun: u64,
    /// The life in which its end was kept, and told.
    pub(super) ended_in: u32,
    pub(super) told_in: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) began: Moment,
    pub(super) ended: Moment,
    pub(super) saw: Saw,
    pub(super) hint: Option<Duration>,
    /// What the user had set then.
    pub(super) limits: Limits,
    /// Whether it was given up, since it took too long.
    pub(super) given_up: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    NotYet,
    Followed,
    Ended(Outcome),
    Cancelled,
}

/// A watch as it was before something that a power cut may take back.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) watch: usize,
    pub(super) polls: usize,
    pub(super) due: Moment,
}

impl World {
    pub(super) fn new(scene: Scene, is_wanted: bool) -> Rc<Self> {
        let time = Clock::at(BEGINNING);
        let accounts = scene.accounts.iter().map(|account| account.id + 1).max().unwrap_or_default();
        let watches = scene.watches.iter().map(|watch| watch.id + 1).max().unwrap_or_default();
        let mut state = State {
            limits: scene.limits,
            accounts: (0..accounts).map(|_| Account::default()).collect(),
            watches: (0..watches).map(|_| Followed::default()).collect(),
            life: 0,
            life_began: BEGINNING,
            disturbed: BEGINNING,
            is_shortened: false,
            undo: Vec::new(),
            told: Vec::new(),
        };
        for account in &scene.accounts {
            state.accounts[account.id] = Account::of(*account);
        }
        for watch in &scene.watches {
            state.watches[watch.id].account = watch.account;
        }
        Rc::new(Self {
            scene,
            trace: Trace::new(is_wanted),
            time,
            clock: Cell::new(time),
            slept: Cell::default(),
            wall_step: Cell::default(),
            state: RefCell::new(state),
            post: RefCell::default(),
            figures: RefCell::default(),
            doom: Cell::default(),
            changed: Cell::default(),
            pulse: Cell::default(),
            violation: RefCell::default(),
        })
    }

    /// How long the world has lasted.
    pub(super) fn elapsed(&self) -> Duration {
        self.time.now().since(BEGINNING)
    }

    /// The daemon's time.
    pub(super) fn now(&self) -> Moment {
        self.clock.get().now()
    }

    /// The daemon's time at a moment of the world's.
    pub(super) fn moment(&self, elapsed: Duration) -> Moment {
        let now = self.elapsed();
        let ago = self.now().before(now.saturating_sub(elapsed)).unwrap_or_default();
        ago.plus(elapsed.saturating_sub(now))
    }

    /// What the wall's clock says.
    pub(super) fn wall(&self) -> Moment {
        let (now, step) = (self.time.now().plus(self.slept.get()), self.wall_step.get());
        let by = Duration::from_millis(step.unsigned_abs());
        if step < 0 { now.before(by).unwrap_or_default() } else { now.plus(by) }
    }

    pub(super) fn note(&self, facts: [u64; 3], says: impl FnOnce() -> String) {
        let (second, steps, deeds) = self.pulse.get();
        self.pulse.set((second, steps, deeds + 1));
        self.trace.note(self.elapsed(), facts, says);
    }

    /// Something is not as it must be. The first such thing counts.
    pub(super) fn violate(&self, what: impl FnOnce() -> String) {
        let mut violation = self.violation.borrow_mut();
        if violation.is_none() {
            let what = what();
            self.note([13, 13, 13], || format!("VIOLATION: {what}"));
            *violation = Some(what);
        }
    }

    pub(super) fn violation(&self) -> Option<String> {
        self.violation.borrow().clone()
    }

    pub(super) fn is_wait(&self) -> bool {
        matches!(self.scene.mode, Mode::Wait { .. })
    }

    pub(super) const fn until_idle(&self) -> bool {
        matches!(self.scene.mode, Mode::Daemon { until_idle: true, .. } | Mode::Wait { .. })
    }

    /// The spans of troubles of a kind, in the daemon's time, that are not over by `since`.
    pub(super) fn is_troubled(&self, since: Moment, is_meant: impl Fn(&What) -> bool) -> bool {
        let now = self.elapsed();
        let mut meant = self.scene.troubles.iter().filter(|trouble| is_meant(&trouble.what));
        meant.any(|trouble| trouble.at <= now && self.moment(trouble.until) >= since)
    }

    /// What the weather is at a server.
    fn weather(&self, server: usize) -> Option<Weather> {
        let now = self.elapsed();
        self.scene.troubles.iter().find_map(|trouble| match trouble.what {
            What::Server { server: other, weather }
                if other == server && (trouble.at..trouble.until).contains(&now) =>
            {
                Some(weather)
            }
            _ => None,
        })
    }

    /// What the weather is at an endpoint.
    pub(super) fn weather_at(&self, endpoint: usize) -> Option<Weather> {
        let now = self.elapsed();
        self.scene.troubles.iter().find_map(|trouble| match trouble.what {
            What::Endpoint { endpoint: other, weather }
                if other == endpoint && (trouble.at..trouble.until).contains(&now) =>
            {
                Some(weather)
            }
            _ => None,
        })
    }

    /// What an answer will be, and how long it takes; nothing if there is none.
    fn answer(&self, account: usize, watch: usize, poll: u64) -> (Duration, Option<(Saw, Option<Duration>)>) {
        let Some(scene) = self.scene.accounts.iter().find(|scene| scene.id == account) else {
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
            Some(Weather::Flaky { percent, code: bad }) if rng.u8(0..100) < percent => {
                (takes, Some((code(bad), None)))
            }
            Some(Weather::Flaky { .. }) => (takes, Some((well(), None))),
            Some(Weather::Hints(pause)) => (takes, Some((well(), Some(pause)))),
        }
    }

    /// The word that an export's status has.
    fn word(&self, watch: usize) -> Option<&'static str> {
        let now = self.elapsed() + self.slept.get();
        let scene = self.scene.watches.iter().find(|scene| scene.id == watch)?;
        let stages =
            [(scene.ends_at, scene.last_word), (scene.started_at, "STARTED"), (scene.born_at, "PENDING")];
        stages.iter().find(|(at, _)| *at <= now && scene.born_at <= now).map(|(_, word)| *word)
    }
}

/// What asks a server for an account.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) world: Rc<World>,
    pub(super) account: usize,
}

impl Poller for Asker {
    async fn poll(&self, export: &ExportRef) -> Observation {
        let watch = export.export_id.as_u128() as usize;
        let poll = self.world.poll_begins(self.account, watch);
        // Whoever gives up waiting drops this.
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

/// The export that a watch follows.
pub(super) fn export(watch: usize) -> ExportRef {
    let id = uuid::Uuid::from_u128;
    ExportRef { scope: Scope::Group, scope_id: id(7), export_id: id(watch as u128) }
}

/// The name of an account.
pub(super) fn name(account: usize) -> String {
    format!("account-{account:03}")
}

/// The account of that name.
pub(super) fn account_of(name: &str) -> usize {
    name.trim_start_matches("account-").parse().unwrap_or_default()
}

impl State {
    /// Whether the credential of an account is refused, or doubted.
    pub(super) fn is_refused(&self, account: usize) -> bool {
        self.accounts[account].credential != Credential::Works
    }
}
