//! How late a poll or an end may be, and that no watch is forgotten.

use std::time::Duration;

use super::account::Credential;
use super::bounds::{self, Servers, late};
use super::scene::What;
use super::world::{Phase, State, World};
use crate::moment::Moment;

impl World {
    /// Whether lateness is excused: the store or the process itself was held up.
    pub(super) fn is_excused(&self, since: Moment) -> bool {
        let now = self.elapsed();
        self.scene.troubles.iter().any(|trouble| {
            let lasts = match trouble.what {
                // A call may begin when it is nearly over, and others wait in the queue behind it.
                What::StoreIsSlow(by) => trouble.until + by * 6,
                What::StoreIsLocked | What::StoreFails { .. } | What::Stall => trouble.until,
                _ => return false,
            };
            trouble.at <= now && self.moment(lasts) >= since
        })
    }

    /// A watch whose account may ask is polled when it is due, apart from the time until its turn.
    pub(super) fn must_not_be_late(&self, state: &State, watch: usize, due: Moment, now: Moment) {
        let account = state.watches[watch].account;
        let since = due.max(state.disturbed).max(state.accounts[account].free_since());
        // Most are on time, and the bound is expensive to compute.
        if now.since(since) <= bounds::OWN {
            return;
        }
        let bound = self.bound(state, account, since);
        if now.since(since) > bound && !self.is_excused(since) {
            self.violate(|| {
                format!("watch {watch} is polled {:?} late (at most {bound:?})", now.since(since))
            });
        }
    }

    /// How late a watch of an account may be.
    pub(super) fn bound(&self, state: &State, account: usize, since: Moment) -> Duration {
        let Some(scene) = self.scene.account(account) else { return Duration::MAX };
        let (limits, accounts) = (&state.limits, self.scene.accounts.len());
        let watches = self.watches_of[account].len();
        let lately = since.before(bounds::until_known(limits, accounts)).unwrap_or_default();
        let longest = Duration::from_millis(scene.latency.0 + scene.latency.1);
        let is_soon = longest < bounds::SOON.min(limits.request_timeout / 2);
        let servers = match self.which_hang(lately, scene.server) {
            (true, ..) => Servers::OwnIll,
            (_, true, _) if !is_soon => Servers::OwnIll,
            (_, true, has_changed) if has_changed || lately < state.life_began => Servers::OthersIll,
            (_, true, _) => Servers::OthersKnown,
            (false, false, _) => Servers::Well,
        };
        let interval = if self.is_wait() { Duration::ZERO } else { state.accounts[account].interval() };
        let ill = self.hanging(lately);
        let well = self.scene.accounts.iter().filter(|other| !ill.contains(&other.server)).count();
        late(limits, interval, (watches, accounts, well), (servers, self.answer))
    }

    /// Whether this server hangs or is slow, or was since `lately`; whether any is; and whether that has changed since.
    fn which_hang(&self, lately: Moment, server: usize) -> (bool, bool, bool) {
        let now = self.elapsed();
        let (mut own, mut any, mut has_changed) = (false, false, false);
        for trouble in self.scene.troubles.iter().filter(|trouble| trouble.at <= now) {
            let Some(other) = trouble.what.hangs() else { continue };
            let (is_over, ends) = (trouble.until <= now, self.moment(trouble.until));
            if ends >= lately {
                (own, any) = (own || other == server, true);
                has_changed |= self.moment(trouble.at) >= lately || is_over;
            }
        }
        (own, any, has_changed)
    }

    /// The servers that hang or are slow, or were since `lately`.
    fn hanging(&self, lately: Moment) -> Vec<usize> {
        let now = self.elapsed();
        let begun = self.scene.troubles.iter().filter(|trouble| trouble.at <= now);
        let lasting = begun.filter(|trouble| self.moment(trouble.until) >= lately);
        lasting.filter_map(|trouble| trouble.what.hangs()).collect()
    }

    /// How long a watch of a blocked account may go on after its time is over: until the next check, and until claimed
    /// watches have had their turn and were given back.
    fn until_swept(&self, state: &State, since: Moment) -> Duration {
        let lately = since.before(bounds::until_known(&state.limits, self.scene.accounts.len()));
        let (_, is_any, _) = self.which_hang(lately.unwrap_or_default(), usize::MAX);
        let answer = if is_any { state.limits.request_timeout } else { self.answer };
        bounds::OWN + bounds::SWEEP + bounds::turn(&state.limits, self.scene.accounts.len(), answer)
    }

    /// Checks what must be true at any time.
    pub(super) fn check(&self) {
        let now = self.now();
        let state = self.state.borrow();
        for (id, account) in state.accounts.iter().enumerate().filter(|(_, account)| account.is_there) {
            let bound = self.bound(&state, id, now);
            let watches = self.watches_of[id].iter().map(|watch| (*watch, &state.watches[*watch]));
            let open: Vec<_> =
                watches.filter(|(_, w)| w.phase == Phase::Followed && w.asking.is_none()).collect();
            for (watch, followed) in &open {
                self.must_not_be_forgotten(&state, *watch, followed.due, (now, bound));
            }
            self.must_be_tried(&state, id, (now, bound));
            self.must_have_been_told(&state, id);
            if let Credential::Refused(_) = account.credential
                && self.until_idle()
            {
                let since = account.believed.max(state.disturbed);
                if !open.is_empty() && now.since(since) > bound + bounds::SWEEP && !self.is_excused(since) {
                    self.violate(|| {
                        format!("account {id} is refused, and yet has watches that have not ended")
                    });
                }
            }
        }
    }

    /// A credential that is refused is tried again, half a minute later, if a watch is due.
    fn must_be_tried(&self, state: &State, id: usize, (now, bound): (Moment, Duration)) {
        if !state.is_refused(id) || self.until_idle() {
            return;
        }
        let watches = || self.watches_of[id].iter().map(|watch| &state.watches[*watch]);
        let open = watches().filter(|watch| watch.phase == Phase::Followed);
        let is_asking = watches().any(|watch| watch.asking.is_some());
        let Some(due) = open.map(|followed| followed.due).min() else { return };
        let since = state.accounts[id].tried_at().max(due).max(state.disturbed);
        if !is_asking && now.since(since) > bound && !self.is_excused(since) {
            self.violate(|| format!("the credential of account {id} is not tried again"));
        }
    }

    /// A refused or working credential is reported soon.
    fn must_have_been_told(&self, state: &State, id: usize) {
        let Some((is_refused, at)) = state.accounts[id].untold.front() else { return };
        let since = (*at).max(state.disturbed);
        if self.now().since(since) > bounds::TOLD && !self.is_excused(since) {
            let what = if *is_refused { "is refused" } else { "works again" };
            self.violate(|| format!("nobody is told that the credential of account {id} {what}"));
        }
    }

    /// A watch whose deadline passes while its account is throttled ends at its deadline, not when the throttling ends.
    pub(super) fn must_have_been_swept(&self, state: &State, watch: usize, now: Moment) {
        let followed = &state.watches[watch];
        let account = &state.accounts[followed.account];
        let Some(max_wait) = state.limits.max_wait.filter(|_| !state.is_shortened) else { return };
        let since = followed.started.plus(max_wait).max(account.throttled_since).max(state.disturbed);
        let ended = account.throttled.0.min(now);
        let late = ended.since(since);
        if !late.is_zero() && late > self.until_swept(state, since) && !self.is_excused(since) {
            self.violate(|| {
                format!("watch {watch} goes on {late:?} after its deadline, since 429s hold its account")
            });
        }
    }

    /// No watch is forgotten: it is polled again, and ends at its deadline.
    fn must_not_be_forgotten(
        &self,
        state: &State,
        watch: usize,
        due: Moment,
        (now, bound): (Moment, Duration),
    ) {
        let followed = &state.watches[watch];
        let account = &state.accounts[followed.account];
        if !account.is_blocked(now) {
            self.must_not_be_late(state, watch, due, now);
        }
        self.must_have_been_swept(state, watch, now);
        if let Some(max_wait) = state.limits.max_wait {
            // After a limit was shortened, a waiting watch is still polled when it was due before.
            let shortened = if state.is_shortened { due } else { Moment::default() };
            let since = followed.started.plus(max_wait).max(state.disturbed).max(shortened);
            let bound = bound * 2 + bounds::SWEEP + bounds::LAST_POLL;
            if now.since(since) > bound && !self.is_excused(since) {
                let late = now.since(since);
                self.violate(|| {
                    format!("watch {watch} goes on {late:?} after its deadline (at most {bound:?})")
                });
            }
        }
    }
}
