//! The world around a daemon: time, servers, and a record of everything that happened.

use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, Credential};
use super::bounds;
use super::figures::Figures;
use super::post::Post;
use super::rules::{Saw, Seen};
use super::scene::{Limits, Mode, Scene, Weather, What};
use super::trace::Trace;
use crate::clock::Clock;
use crate::export::{ExportRef, Scope};
use crate::fixtures::cells::{Cell, RefCell};
use crate::moment::Moment;
use crate::watch::outcome::Outcome;

/// When the world begins.
pub(super) const BEGINNING: Moment = Moment::from_unix_ms(1_732_529_622_000);

/// The world. All lives of the daemon share it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) trace: Trace,
    /// Never set back.
    pub(super) time: Clock,
    /// The clock of the daemon in its current life.
    pub(super) clock: Cell<Clock>,
    /// How long this machine has slept: the servers' time is ahead by that.
    pub(super) slept: Cell<Duration>,
    /// How far the wall clock is ahead or behind, in milliseconds.
    pub(super) wall_step: Cell<i64>,
    /// The watches of each account.
    pub(super) watches_of: Vec<Vec<usize>>,
    /// How long a healthy server takes at most.
    pub(super) answer: Duration,
    pub(super) state: RefCell<State>,
    pub(super) post: RefCell<Post>,
    pub(super) figures: RefCell<Figures>,
    /// Set when the process is about to be killed.
    pub(super) doom: Cell<Option<Doom>>,
    /// Whether somebody has changed the store.
    pub(super) changed: Cell<bool>,
    /// The current second, the steps of the process in it, and the events in it.
    pub(super) pulse: Cell<(u64, u64, u64)>,
    violation: RefCell<Option<String>>,
}

/// How the process is killed: after so many more steps.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Doom {
    pub(super) steps: u32,
    pub(super) down_for: Duration,
    pub(super) is_power_cut: bool,
}

/// What has happened so far.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) accounts: Vec<Account>,
    pub(super) watches: Vec<Followed>,
    /// How many polls are under way.
    pub(super) under_way: usize,
    pub(super) life: u32,
    pub(super) life_began: Moment,
    /// When the last reload or stall ended: what is late because of it is excused.
    pub(super) disturbed: Moment,
    /// Whether `max-wait` was changed while watches were followed.
    pub(super) is_shortened: bool,
    /// What a power cut would undo.
    pub(super) undo: Vec<Undo>,
    /// The outcomes that were reported in this life.
    pub(super) told: Vec<Outcome>,
}

/// What has happened to a watch.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) phase: Phase,
    pub(super) account: usize,
    pub(super) started: Moment,
    pub(super) due: Moment,
    /// When the current poll began.
    pub(super) asking: Option<Moment>,
    /// The result of a poll that is not stored yet.
    pub(super) answered: Option<Answered>,
    pub(super) history: Vec<Seen>,
    pub(super) begun: u64,
    /// The lives in which its end was stored and reported.
    pub(super) ended_in: u32,
    pub(super) told_in: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) began: Moment,
    pub(super) ended: Moment,
    pub(super) saw: Saw,
    pub(super) hint: Option<Duration>,
    /// The user's settings at that time.
    pub(super) limits: Limits,
    /// Whether it was given up because it took too long.
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

/// A watch before a change that a power cut may undo.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) watch: usize,
    pub(super) polls: usize,
    pub(super) due: Moment,
}

impl World {
    pub(super) fn new(scene: Scene, is_wanted: bool) -> Arc<Self> {
        let time = Clock::at(BEGINNING);
        let accounts = scene.accounts.iter().map(|account| account.id + 1).max().unwrap_or_default();
        let watches = scene.watches.iter().map(|watch| watch.id + 1).max().unwrap_or_default();
        let mut state = State {
            limits: scene.limits,
            accounts: (0..accounts).map(|_| Account::default()).collect(),
            watches: (0..watches).map(|_| Followed::default()).collect(),
            under_way: 0,
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
        let mut watches_of = vec![Vec::new(); accounts];
        for watch in &scene.watches {
            state.watches[watch.id].account = watch.account;
            watches_of[watch.account].push(watch.id);
        }
        let longest = scene.accounts.iter().map(|account| account.latency.0 + account.latency.1).max();
        let answer = Duration::from_millis(longest.unwrap_or_default()) + bounds::CALL;
        Arc::new(Self {
            scene,
            trace: Trace::new(is_wanted),
            time,
            clock: Cell::new(time),
            slept: Cell::default(),
            wall_step: Cell::default(),
            watches_of,
            answer,
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

    /// The daemon's time when the world had lasted so long.
    pub(super) fn moment(&self, elapsed: Duration) -> Moment {
        let now = self.elapsed();
        let ago = self.now().before(now.saturating_sub(elapsed)).unwrap_or_default();
        ago.plus(elapsed.saturating_sub(now))
    }

    /// What the wall clock says.
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

    /// Records that a rule is broken. The first violation counts.
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

    /// Whether a trouble of this kind has begun and was not over at `since`, in the daemon's time.
    pub(super) fn is_troubled(&self, since: Moment, is_meant: impl Fn(&What) -> bool) -> bool {
        let now = self.elapsed();
        let mut meant = self.scene.troubles.iter().filter(|trouble| is_meant(&trouble.what));
        meant.any(|trouble| trouble.at <= now && self.moment(trouble.until) >= since)
    }

    /// The weather at a server.
    pub(super) fn weather(&self, server: usize) -> Option<Weather> {
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

    /// The weather at an endpoint.
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
