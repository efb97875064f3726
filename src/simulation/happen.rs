//! What the world records: lives that begin and end, watches that are added and removed, settings that change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::bounds;
use super::ledger::Ledger;
use super::scene::Reload;
use super::world::{Phase, World, name};
use crate::clock::Clock;
use crate::daemon::ledger::Bells;
use crate::health::Health;
use crate::moment::Moment;
use crate::store::Reconciled;
use crate::watch::Watch;

impl World {
    /// A life begins, with a store whose latest moment is `last`.
    pub(super) fn life_begins(self: &Arc<Self>, last: Option<Moment>) -> Ledger {
        let clock = Clock::at(self.wall());
        self.clock.set(last.map_or(clock, |last| clock.after(last, Duration::MAX)));
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
        Ledger { world: Arc::clone(self), bells: Bells::default() }
    }

    /// A life has ended: polls and deliveries in flight are lost.
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

    /// Whether the process is killed now.
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

    /// The watches that were added at some time.
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

    /// The settings are read again. Returns the watches that they list.
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

    /// The process is stopped for so long, from now on: if it was not running when the trouble began, it is stopped later.
    pub(super) fn stands_still(&self, span: Duration) {
        let over = self.now().plus(span);
        let mut state = self.state.borrow_mut();
        state.disturbed = state.disturbed.max(over);
    }

    /// The daemon did not stop in time: only a store that does not answer excuses that.
    pub(super) fn has_ended_late(&self) {
        if !self.is_excused(self.now().before(bounds::PASS).unwrap_or_default()) {
            self.violate(|| "the daemon does not end in time when it is asked to".to_owned());
        }
    }
}
