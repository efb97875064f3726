//! What answers say about an account: whether its credential works, until when it may not ask, and how often it asked
//! recently.

use std::collections::VecDeque;
use std::time::Duration;

use super::rules::{Pace, Saw, schedule};
use super::scene::{AccountScene, Limits};
use crate::moment::Moment;
use crate::watch::observation::FailureKind;

/// How long an account does not ask after its credential is refused.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// How many requests may come at once after a pause, and how many a new budget starts with.
const BURST: u32 = 20;
const AT_FIRST: u32 = 1;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    #[default]
    Works,
    /// It was refused once after it worked.
    Doubted(Moment),
    Refused(Moment),
}

#[derive(Debug, Default)]
pub(super) struct Account {
    /// Whether the settings name it.
    pub(super) is_there: bool,
    pub(super) rate: u32,
    /// The rate before, and when it was changed.
    rate_before: (u32, Moment),
    /// When polls began in the last minute, and when budgets were made.
    begins: VecDeque<Moment>,
    budgets: VecDeque<Moment>,
    pub(super) credential: Credential,
    /// Until when the account does not ask: because its credential is refused, and because of a 429 (at least, at most).
    pub(super) refused_until: Moment,
    pub(super) throttled: (Moment, Moment),
    /// Since when it is throttled without interruption.
    pub(super) throttled_since: Moment,
    /// How many 429s without a hint have followed each other, each to a poll that began after the one before came.
    throttles: u32,
    last_throttle: Moment,
    /// When the last poll began that showed that the credential works.
    good_began: Option<Moment>,
    /// When the first 429 of a run came, and the last.
    pub(super) run: Option<(Moment, Moment)>,
    /// When what blocks it last changed.
    pub(super) changed: Moment,
    /// When the credential was last believed to be refused.
    pub(super) believed: Moment,
    /// What is not reported yet: the credential is refused (or works again), and since when.
    pub(super) untold: VecDeque<(bool, Moment)>,
}

impl Account {
    pub(super) fn of(scene: AccountScene) -> Self {
        Self { is_there: true, rate: scene.requests_per_minute, ..Self::default() }
    }

    /// The daemon starts, or adds the account: it knows nothing about it.
    pub(super) fn begin(&mut self, now: Moment) {
        self.budgets.push_back(now);
        self.credential = Credential::Works;
        (self.refused_until, self.throttled) = Default::default();
        (self.good_began, self.run) = (None, None);
        (self.throttles, self.last_throttle) = Default::default();
        self.changed = now;
    }

    /// The settings were read again: a refused credential is tried at once.
    pub(super) fn reload(&mut self, rate: u32, now: Moment) {
        self.refused_until = Moment::default();
        if rate != self.rate {
            (self.rate_before, self.rate) = ((self.rate, now), rate);
        }
    }

    pub(super) fn interval(&self) -> Duration {
        MINUTE / self.rate.max(1)
    }

    /// A poll begins. An error says why it must not.
    pub(super) fn ask(&mut self, now: Moment, has_budget: bool) -> Result<(), String> {
        if now < self.throttled.0 {
            return Err(format!("a 429 asks to stay away for {:?} more", self.throttled.0.since(now)));
        }
        if self.credential != Credential::Works {
            if now < self.refused_until {
                let left = self.refused_until.since(now);
                return Err(format!(
                    "the credential is {:?}, and is tried again in {left:?}",
                    self.credential
                ));
            }
            // One poll tries it.
            self.refused_until = now.plus(REFUSED_FOR);
        }
        // After a power cut the clock may be behind: polls from before it do not count.
        if self.begins.back().is_some_and(|last| *last > now) {
            self.begins.clear();
        }
        self.begins.push_back(now);
        let is_old = |at: &Moment| *at > now || now.since(*at) >= MINUTE;
        for times in [&mut self.begins, &mut self.budgets] {
            while times.front().is_some_and(is_old) {
                times.pop_front();
            }
        }
        let is_new_rate = now.since(self.rate_before.1) < MINUTE;
        let rate = if is_new_rate { self.rate.max(self.rate_before.0) } else { self.rate };
        let burst = BURST.max(rate / 600);
        let most = rate + burst + AT_FIRST * u32::try_from(self.budgets.len()).unwrap_or_default();
        let begun = u32::try_from(self.begins.len()).unwrap_or(u32::MAX);
        if has_budget && begun > most {
            return Err(format!("{begun} polls within a minute, where {rate} are allowed (at most {most})"));
        }
        Ok(())
    }

    /// An answer to a poll of a watch. Returns whether the credential now counts as refused.
    pub(super) fn hear(
        &mut self,
        (began, now): (Moment, Moment),
        was_answered: bool,
        (saw, hint): (&Saw, Option<Duration>),
        limits: &Limits,
    ) -> bool {
        let doubt = schedule(limits, Pace::Retry).0;
        match saw {
            Saw::Failed(FailureKind::Unauthorized, _) => {
                if self.good_began.is_some_and(|good| began < good) {
                    return false;
                }
                match self.credential {
                    Credential::Doubted(since) if began < since => return false,
                    Credential::Works if self.good_began.is_some() || was_answered => {
                        self.credential = Credential::Doubted(now);
                        self.refused_until = now.plus(doubt);
                    }
                    Credential::Refused(_) => self.refused_until = now.plus(REFUSED_FOR),
                    Credential::Works | Credential::Doubted(_) => {
                        self.credential = Credential::Refused(now);
                        self.refused_until = now.plus(REFUSED_FOR);
                        (self.changed, self.believed) = (now, now);
                        self.untold.push_back((true, now));
                        return true;
                    }
                }
            }
            Saw::Failed(FailureKind::Transient | FailureKind::Throttled, _)
            | Saw::Failed(FailureKind::Unrecoverable | FailureKind::Gateway, _) => {
                if let Credential::Doubted(since) = self.credential
                    && began >= since
                {
                    self.refused_until = now.plus(doubt);
                }
            }
            Saw::Word(_) | Saw::Failed(..) => {
                self.good_began = self.good_began.max(Some(began));
                match self.credential {
                    Credential::Doubted(since) | Credential::Refused(since) if began >= since => {
                        if self.credential == Credential::Refused(since) {
                            self.untold.push_back((false, now));
                        }
                        (self.credential, self.changed) = (Credential::Works, now);
                        self.last_throttle = Moment::default();
                    }
                    _ => {}
                }
            }
        }
        self.hear_of_pace((began, now), saw, hint, limits);
        false
    }

    fn hear_of_pace(
        &mut self,
        (began, now): (Moment, Moment),
        saw: &Saw,
        hint: Option<Duration>,
        limits: &Limits,
    ) {
        let is_news = self.run.is_none_or(|(_, last)| began >= last);
        match saw {
            Saw::Failed(FailureKind::Throttled, _) => {
                let (first, growth, longest, _) = schedule(limits, Pace::Throttle);
                let follows = began >= self.last_throttle && self.credential == Credential::Works;
                let paced = first.mul_f64(growth.powi(self.throttles.min(16) as i32)).min(longest);
                if follows {
                    (self.throttles, self.last_throttle) = (self.throttles + u32::from(hint.is_none()), now);
                }
                let (least, most) = match hint {
                    // A hint of zero seconds still leads to a pause.
                    Some(hint) => {
                        let hint = hint.min(HOUR).max(schedule(limits, Pace::Retry).0);
                        (hint, hint.mul_f64(1.1))
                    }
                    None if is_news && follows => (paced, longest.mul_f64(1.1)),
                    None if is_news => (first, longest.mul_f64(1.1)),
                    // It may have been sent before the others were answered.
                    None => (Duration::ZERO, longest.mul_f64(1.1)),
                };
                let (floor, ceiling) = self.throttled;
                if now > floor {
                    self.throttled_since = now;
                }
                self.throttled = (floor.max(now.plus(least)), ceiling.max(now.plus(most)));
                self.run = Some((self.run.map_or(now, |(first, _)| first), now));
            }
            Saw::Word(_) => {
                if is_news {
                    self.run = None;
                }
                self.throttles = 0;
            }
            Saw::Failed(..) => {}
        }
    }

    /// Whether its watches may be held back.
    pub(super) fn is_blocked(&self, now: Moment) -> bool {
        self.credential != Credential::Works || now <= self.throttled.1
    }

    /// When a refused credential may be tried again.
    pub(super) fn tried_at(&self) -> Moment {
        self.refused_until.max(self.throttled.1)
    }

    /// When it was free again. After a change of the rate, the next request comes when the old rate would have allowed it.
    pub(super) fn free_since(&self) -> Moment {
        let (rate, changed) = self.rate_before;
        let earned = if rate == 0 { Moment::default() } else { changed.plus(MINUTE / rate) };
        self.changed.max(self.throttled.1).max(earned)
    }
}
