//! What the world takes note of: lives that begin and end, watches that come and go, settings that change.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::account::Credential;
use super::bounds;
use super::ledger::Ledger;
use super::scene::Reload;
use super::world::{Phase, World, account_of, name};
use crate::clock::Clock;
use crate::exit::ExitCode;
use crate::health::Health;
use crate::moment::Moment;
use crate::store::{Listed, Reconciled};
use crate::watch::Watch;
use crate::watch::outcome::Outcome;

impl World {
    /// A life begins, over a store whose last moment is this.
    pub(super) fn life_begins(self: &Rc<Self>, last: Option<Moment>) -> Ledger {
        let clock = Clock::at(self.wall());
        self.clock.set(last.map_or(clock, |last| clock.not_before(last)));
        let now = self.now();
        let mut state = self.state.borrow_mut();
        state.life += 1;
        self.figures.borrow_mut().lives += 1;
        (state.life_began, state.disturbed) = (now, now);
        state.told.clear();
        state.accounts.iter_mut().filter(|account| account.is_there).for_each(|account| account.begin(now));
        let life = state.life;
        self.note([15, u64::from(life), now.unix_ms()], || {
            format!("life {life} begins, the clock says {now}")
        });
        Ledger {
            world: Rc::clone(self),
            health: Rc::new(Health::new()),
            owing: Arc::default(),
            settled: Rc::default(),
        }
    }

    /// A life has ended: what was under way is gone.
    pub(super) fn life_ends(&self) {
        let mut state = self.state.borrow_mut();
        for followed in &mut state.watches {
            (followed.asking, followed.answered) = (None, None);
        }
        state.under_way = 0;
        state.accounts.iter_mut().for_each(|account| account.untold.clear());
        self.changed.set(false);
        self.post.borrow_mut().life_ends();
    }

    /// The world ends.
    pub(super) fn is_over(&self) {
        let now = self.now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let open = state.watches.iter().filter(|followed| followed.phase == Phase::Followed);
        let more: Duration = open.map(|followed| now.since(followed.started)).sum();
        self.figures.borrow_mut().followed += more;
        self.figures.borrow_mut().lasted = self.elapsed();
    }

    /// Whether the process dies now.
    pub(super) fn dies(&self) -> bool {
        let Some(mut doom) = self.doom.get() else { return false };
        let dies = doom.steps == 0;
        doom.steps = doom.steps.saturating_sub(1);
        self.doom.set(Some(doom));
        dies
    }

    /// The process makes a step. It must not spin.
    pub(super) fn steps(&self) {
        let now = self.elapsed().as_secs();
        let (second, steps, deeds) = self.pulse.get();
        if second == now {
            return self.pulse.set((second, steps + 1, deeds));
        }
        self.pulse.set((now, 1, 0));
        let most = bounds::STEPS_A_SECOND + bounds::STEPS_A_DEED * deeds;
        if steps > most {
            self.violate(|| format!("{steps} steps in second {second}, for {deeds} deeds (at most {most})"));
        }
    }

    /// The watches that the settings list.
    pub(super) fn of_settings(&self) -> Vec<usize> {
        let state = self.state.borrow();
        let listed = self.scene.watches.iter().filter(|watch| watch.of_settings);
        let stay = listed.map(|watch| watch.id).filter(|id| {
            let followed = &state.watches[*id];
            followed.phase != Phase::Cancelled && state.accounts[followed.account].is_there
        });
        stay.collect()
    }

    /// The watches that the store has, or had.
    pub(super) fn known(&self) -> BTreeSet<usize> {
        let state = self.state.borrow();
        let known = state.watches.iter().enumerate().filter(|(_, followed)| followed.phase != Phase::NotYet);
        known.map(|(id, _)| id).collect()
    }

    pub(super) fn is_reconciled(&self, reconciled: &Reconciled) {
        reconciled.added.iter().for_each(|watch| self.is_added(watch));
        for watch in &reconciled.removed {
            self.is_cancelled(watch.export.export_id.as_u128() as usize);
        }
    }

    pub(super) fn is_added(&self, watch: &Watch) {
        let id = watch.export.export_id.as_u128() as usize;
        let mut state = self.state.borrow_mut();
        let followed = &mut state.watches[id];
        let started = watch.progress.started_at();
        (followed.phase, followed.started, followed.due) = (Phase::Followed, started, started);
        self.changed.set(true);
        self.note([16, id as u64, 0], || format!("watch {id} is added to account {}", followed.account));
    }

    pub(super) fn is_cancelled(&self, watch: usize) {
        let now = self.now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let followed = &mut state.watches[watch];
        if followed.phase == Phase::Followed {
            self.figures.borrow_mut().followed += now.since(followed.started);
        }
        followed.phase = Phase::Cancelled;
        self.changed.set(true);
        self.note([17, watch as u64, 0], || format!("watch {watch} is cancelled"));
    }

    /// The settings are read again. Gives the watches that they list.
    pub(super) fn reload(&self, reload: Reload) -> Vec<usize> {
        self.note([18, 0, 0], || format!("the settings are read again: {reload:?}"));
        let now = self.now();
        let mut state = self.state.borrow_mut();
        match reload {
            Reload::Same => {}
            Reload::Concurrency(concurrency) => state.limits.concurrency = concurrency,
            Reload::MaxWait(max_wait) => {
                (state.limits.max_wait, state.is_shortened) = (max_wait, true);
            }
            Reload::Without { account } => state.accounts[account].is_there = false,
            Reload::With { account } if !state.accounts[account].is_there => {
                state.accounts[account].is_there = true;
                state.accounts[account].begin(now);
            }
            Reload::With { .. } | Reload::Rate { .. } => {}
        }
        for id in 0..state.accounts.len() {
            let rate = match reload {
                Reload::Rate { account, requests_per_minute } if account == id => requests_per_minute,
                _ => state.accounts[id].rate,
            };
            state.accounts[id].reload(rate, now);
        }
        drop(state);
        self.of_settings()
    }

    pub(super) fn is_reloaded(&self, health: &Health) {
        let now = self.now();
        let mut state = self.state.borrow_mut();
        // As the daemon does it.
        let accounts = state.accounts.iter().enumerate();
        accounts.filter(|(_, account)| !account.is_there).for_each(|(id, _)| health.accept(&name(id)));
        state.disturbed = state.disturbed.max(now);
    }

    pub(super) fn has_stood_still(&self) {
        let now = self.now();
        let mut state = self.state.borrow_mut();
        state.disturbed = state.disturbed.max(now);
    }

    /// The daemon takes all the time that it has to end: only a store that does not answer has that right.
    pub(super) fn has_ended_late(&self) {
        if !self.is_excused(self.now().before(bounds::PASS).unwrap_or_default()) {
            self.violate(|| "the daemon does not end in time when it is asked to".to_owned());
        }
    }

    /// The runner says that nothing is left to do: so it must be.
    pub(super) fn is_idle(&self) {
        let state = self.state.borrow();
        self.note([19, 0, 0], || "every watch has ended".to_owned());
        let mut left =
            state.watches.iter().filter(|w| w.phase == Phase::Followed && state.accounts[w.account].is_there);
        if left.next().is_some() {
            self.violate(|| "the runner has ended, and yet watches have not".to_owned());
        }
        drop(state);
        self.has_told_all();
        self.must_exit_by_its_ends();
    }

    /// Somebody has heard enough: what has ended is told all the same.
    pub(super) fn is_broken_off(&self) {
        self.note([20, 0, 0], || "one has finished, the others are abandoned".to_owned());
        self.has_told_all();
    }

    /// An account's credential is refused: that is owed to the endpoints at that moment.
    pub(super) fn owes_refusal(&self, account: usize, at: Moment) {
        let is = self.state.borrow().accounts[account].credential;
        if is != Credential::Refused(at) {
            self.violate(|| format!("account {account} is taken for refused, and yet it is {is:?}"));
        }
    }

    /// What others are told of a credential is what became of it, in that order, and once.
    pub(super) fn account_is(&self, name: &str, is_refused: bool) {
        let id = account_of(name);
        let is = if is_refused { "is refused" } else { "works" };
        self.note([6, id as u64, u64::from(is_refused)], || {
            format!("all hear that the credential of account {id} {is}")
        });
        let untold = self.state.borrow_mut().accounts[id].untold.pop_front();
        if untold.is_none_or(|(must, _)| must != is_refused) {
            self.violate(|| format!("all hear that the credential of account {id} {is}, and it is not so"));
        }
    }

    /// Each end that was kept in this life is told in this life, and so is what became of credentials.
    pub(super) fn has_told_all(&self) {
        let state = self.state.borrow();
        if let Some(id) = state.accounts.iter().position(|account| !account.untold.is_empty()) {
            self.violate(|| format!("nobody is told what became of the credential of account {id}"));
        }
        for (id, followed) in state.watches.iter().enumerate() {
            let is_ended = matches!(followed.phase, Phase::Ended(_)) && followed.ended_in == state.life;
            if is_ended && followed.told_in != state.life {
                self.violate(|| format!("nobody is told that watch {id} has ended"));
            }
        }
    }

    /// The exit code is that of the gravest end, in the order of the design.
    fn must_exit_by_its_ends(&self) {
        use Outcome::{
            Conflict, Failed, Forbidden, NotFound, Rejected, Stalled, TimedOut, Unauthorized, Unavailable,
            UnknownStatus,
        };
        const GRAVEST: [(Outcome, u8); 10] = [
            (Unauthorized, 4),
            (Forbidden, 4),
            (Rejected, 7),
            (NotFound, 5),
            (Conflict, 6),
            (Failed, 3),
            (UnknownStatus, 8),
            (Stalled, 9),
            (Unavailable, 69),
            (TimedOut, 124),
        ];
        let told = &self.state.borrow().told;
        let code = ExitCode::deciding(told.iter().copied().filter_map(ExitCode::of)).code();
        let must = GRAVEST.iter().find(|(outcome, _)| told.contains(outcome)).map_or(0, |(_, code)| *code);
        if code != must {
            self.violate(|| format!("the exit code is {code}, by the ends it is {must}"));
        }
    }

    /// What is in the file is what is known.
    pub(super) fn must_be_listed(&self, listed: &[Listed]) {
        let state = self.state.borrow();
        for listed in listed {
            let id = listed.watch.export.export_id.as_u128() as usize;
            let is_same = match (&listed.end, state.watches[id].phase) {
                (None, Phase::Followed) => {
                    listed.watch.progress.polls() as usize == state.watches[id].history.len()
                }
                (Some((word, ..)), Phase::Ended(outcome)) => word == outcome.as_str(),
                _ => false,
            };
            if !is_same {
                let (is, end) = (state.watches[id].phase, &listed.end);
                self.violate(|| format!("watch {id} is {is:?}, and the file says {end:?}"));
            }
        }
        let there =
            state.watches.iter().filter(|w| matches!(w.phase, Phase::Followed | Phase::Ended(_))).count();
        if there != listed.len() {
            self.violate(|| format!("there are {there} watches, and the file has {}", listed.len()));
        }
    }

    /// `/healthz` is true while work goes on, and `/readyz` names the accounts whose credentials are refused.
    pub(super) fn must_be_well(&self, health: &Health) {
        let now = self.now();
        let state = self.state.borrow();
        if self.is_wait() || self.is_excused(now.before(bounds::PASS * 2).unwrap_or_default()) {
            return;
        }
        if now.since(state.disturbed) > bounds::PASS && !health.is_alive(now) {
            self.violate(|| "the daemon works, and yet is taken for dead".to_owned());
        }
        let refused = health.refused();
        for (id, account) in state.accounts.iter().enumerate().filter(|(_, account)| account.is_there) {
            let is_settled = now.since(account.changed.max(state.disturbed)) > bounds::TOLD;
            let is_told = refused.iter().any(|refused| **refused == *name(id));
            if is_settled && is_told != matches!(account.credential, Credential::Refused(_)) {
                let is = account.credential;
                self.violate(|| {
                    format!("the credential of account {id} is {is:?}, told as refused: {is_told}")
                });
            }
        }
    }
}
