//! What the daemon reports: ends, credentials, exit codes, the content of the file, `/healthz` and `/readyz`.

use super::account::Credential;
use super::bounds;
use super::world::{Phase, World, account_of, name};
use crate::exit::ExitCode;
use crate::health::Health;
use crate::moment::Moment;
use crate::store::Listed;
use crate::watch::outcome::Outcome;

impl World {
    /// The runner says that nothing is left to do. Checks that this is true.
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

    /// One export has finished, which is enough. Ends that are stored are reported all the same.
    pub(super) fn is_broken_off(&self) {
        self.note([20, 0, 0], || "one has finished, the others are abandoned".to_owned());
        self.has_told_all();
    }

    /// A notification is queued because a credential is refused. Checks that it is refused.
    pub(super) fn owes_refusal(&self, account: usize, at: Moment) {
        let is = self.state.borrow().accounts[account].credential;
        if is != Credential::Refused(at) {
            self.violate(|| format!("account {account} is taken for refused, and yet it is {is:?}"));
        }
    }

    /// Each change of a credential is reported once, and in order.
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

    /// Each end that was stored in this life is reported in this life, and so is each change of a credential.
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

    /// The exit code is the one of the most serious end, in the order of the design.
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

    /// The file contains what was recorded.
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
        if self.scene.beat < bounds::PASS
            && now.since(state.disturbed) > bounds::PASS
            && !health.is_alive(now)
        {
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
