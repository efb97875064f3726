//! Rules for polls and ends, each stated where it is checked.

use std::time::Duration;

use super::account::Credential;
use super::bounds;
use super::rules::{Pace, Ruling, Saw, Seen, ruling};
use super::world::{Answered, Phase, State, Undo, World};
use crate::moment::Moment;
use crate::store::{Next, Record};
use crate::watch::outcome::Outcome;

/// The parts of a record that are checked.
#[derive(Debug)]
pub(super) struct Noted {
    watch: usize,
    next: Option<Moment>,
    end: Option<(Outcome, Moment)>,
    polls: u32,
    changes: usize,
    bytes: usize,
}

impl Noted {
    pub(super) fn of(record: &Record) -> Self {
        let progress = &record.watch.progress;
        let (next, end) = match &record.next {
            Next::Due(at) => (Some(*at), None),
            Next::Ended(ended) => (None, Some((ended.outcome, ended.at))),
        };
        // This is expensive, so it is done for some polls only.
        let is_looked_at = end.is_some() || progress.polls().is_multiple_of(16);
        let bytes = if is_looked_at { progress.to_kept().len() } else { 0 };
        let watch = record.watch.export.export_id.as_u128() as usize;
        Self { watch, next, end, polls: progress.polls(), changes: progress.timeline().len(), bytes }
    }
}

impl World {
    /// A poll begins. Returns its number.
    pub(super) fn poll_begins(&self, account: usize, watch: usize) -> u64 {
        let now = self.now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        self.figures.borrow_mut().polls += 1;
        let followed = &mut state.watches[watch];
        followed.begun += 1;
        let begun = followed.begun;
        self.note([1, watch as u64, begun], || {
            format!("account {account} asks for watch {watch}, poll {begun}")
        });
        if followed.asking.is_some() {
            self.violate(|| format!("watch {watch} is polled twice at once"));
        }
        match followed.phase {
            // A cancelled watch may have been claimed before.
            Phase::Followed | Phase::Cancelled => {}
            phase => self.violate(|| format!("watch {watch} is polled, though it is {phase:?}")),
        }
        if now < followed.due && followed.phase == Phase::Followed {
            self.violate(|| {
                format!("watch {watch} is polled {:?} before its pace allows", followed.due.since(now))
            });
        }
        followed.asking = Some(now);
        state.under_way += 1;
        if state.under_way > state.limits.concurrency {
            let (many, most) = (state.under_way, state.limits.concurrency);
            self.violate(|| format!("{many} polls are under way at once (at most {most})"));
        }
        let (due, is_followed) = (followed.due, followed.phase == Phase::Followed);
        if is_followed && !state.is_refused(account) {
            self.must_not_be_late(state, watch, due, now);
        }
        if is_followed {
            self.must_have_been_swept(state, watch, now);
        }
        let has_budget = !self.is_wait();
        if let Err(why) = state.accounts[account].ask(now, has_budget) {
            self.violate(|| format!("account {account} asks for watch {watch}: {why}"));
        }
        begun
    }

    /// A poll has ended, or was given up.
    pub(super) fn poll_ends(
        &self,
        account: usize,
        watch: usize,
        saw: Saw,
        hint: Option<Duration>,
        given_up: bool,
    ) {
        let now = self.now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let Some(began) = state.watches[watch].asking.take() else { return };
        self.note([2, watch as u64, u64::from(given_up)], || {
            let hint = hint.map_or_else(String::new, |hint| format!(", asks to stay away for {hint:?}"));
            format!("watch {watch} sees {saw:?} after {:?}{hint}", now.since(began))
        });
        state.under_way -= 1;
        let limits = state.limits;
        // The runner ignores answers for accounts that were removed from the settings.
        let hears = !self.is_wait() && state.accounts[account].is_there;
        let was_answered = state.watches[watch].history.iter().any(|seen| matches!(seen.saw, Saw::Word(_)));
        let heard = (&saw, hint);
        if hears && state.accounts[account].hear((began, now), was_answered, heard, &limits) {
            self.note([3, account as u64, 0], || format!("account {account}: the credential is refused"));
        }
        state.watches[watch].answered = Some(Answered { began, ended: now, saw, hint, limits, given_up });
    }

    /// The store has kept these records.
    pub(super) fn kept(&self, records: &[Noted], kept: &[bool]) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        for (noted, kept) in records.iter().zip(kept) {
            let followed = &mut state.watches[noted.watch];
            if !kept {
                if followed.phase == Phase::Followed {
                    self.violate(|| format!("what watch {} saw is not kept", noted.watch));
                }
                followed.answered = None;
                continue;
            }
            let (polls, due) = (followed.history.len(), followed.due);
            state.undo.push(Undo { watch: noted.watch, polls, due });
            self.keep(state, noted);
        }
    }

    /// Everything so far is synced: a power cut cannot undo it.
    pub(super) fn is_written_through(&self) {
        self.state.borrow_mut().undo.clear();
        self.post.borrow_mut().undo.clear();
    }

    /// A power cut has undone what was not synced: due times, and nothing else.
    pub(super) fn is_taken_back(&self) {
        let mut state = self.state.borrow_mut();
        while let Some(Undo { watch, polls, due }) = state.undo.pop() {
            let followed = &mut state.watches[watch];
            if followed.phase != Phase::Followed && followed.phase != Phase::Cancelled {
                let was = followed.phase;
                self.violate(|| format!("a power cut takes back that watch {watch} is {was:?}"));
            }
            followed.history.truncate(polls);
            followed.due = due;
        }
        self.post.borrow_mut().take_back();
    }

    fn keep(&self, state: &mut State, noted: &Noted) {
        let watch = noted.watch;
        let followed = &mut state.watches[watch];
        let Some(Answered { began, ended, saw, hint, limits, given_up }) = followed.answered.take() else {
            return match (noted.next, noted.end) {
                (_, Some((outcome, at))) => {
                    self.must_count(followed.history.len(), noted);
                    self.ends_unasked(state, watch, outcome, at);
                }
                // It is kept in whole milliseconds.
                (Some(due), _) if due < followed.due || due.since(followed.due) > bounds::TIMER => {
                    self.violate(|| format!("watch {watch} was not polled, and yet is due at another time"));
                }
                _ => {}
            };
        };
        if given_up {
            self.must_have_had_its_time(state, watch, began, ended);
        }
        let followed = &mut state.watches[watch];
        let planned = noted.next.map_or(Duration::ZERO, |due| due.since(ended));
        let seen = Seen { began, ended, saw, hint, planned, base: (Pace::Main, Duration::ZERO) };
        followed.history.push(seen);
        let waits = !self.is_wait();
        let (ruling, base) = ruling(&limits, !waits, waits, followed.started, &followed.history);
        if let Some(seen) = followed.history.last_mut() {
            seen.base = base;
        }
        self.must_count(followed.history.len(), noted);
        if noted.changes > 100 {
            self.violate(|| format!("watch {watch} remembers {} changes", noted.changes));
        }
        match (ruling, noted.next, noted.end) {
            (Ruling::End(must), _, Some((outcome, _))) if must == outcome => self.ends(state, watch, outcome),
            (Ruling::Again(earliest, latest), Some(due), _) => {
                followed.due = due;
                if !(earliest..=latest).contains(&planned) {
                    self.violate(|| {
                        format!(
                            "watch {watch} is due in {planned:?}, by the rules in {earliest:?} to {latest:?}"
                        )
                    });
                }
            }
            (must, due, end) => {
                let is =
                    end.map_or_else(|| format!("due at {due:?}"), |(outcome, _)| format!("ended: {outcome}"));
                self.violate(|| format!("watch {watch} is {is}, by the rules it is {must:?}"));
            }
        }
        if noted.bytes > bounds::KEPT_BYTES {
            self.violate(|| format!("watch {watch} takes {} bytes", noted.bytes));
        }
    }

    /// A watch counts its polls correctly.
    fn must_count(&self, had: usize, noted: &Noted) {
        if had != noted.polls as usize {
            self.violate(|| format!("watch {} says {} polls, but had {had}", noted.watch, noted.polls));
        }
    }

    /// A poll is given up exactly when its time is over.
    fn must_have_had_its_time(&self, state: &State, watch: usize, began: Moment, ended: Moment) {
        let deadline = state.limits.max_wait.map(|max_wait| state.watches[watch].started.plus(max_wait));
        let last = deadline.map(|deadline| deadline.max(began).plus(bounds::LAST_POLL).since(began));
        let may_take =
            last.map_or(state.limits.request_timeout, |last| last.min(state.limits.request_timeout));
        let took = ended.since(began);
        // The limit may have been changed while it was under way.
        if began < state.disturbed {
            return;
        }
        if took < may_take || took > may_take + bounds::TIMER {
            self.violate(|| {
                format!("a poll of watch {watch} is given up after {took:?}, not after {may_take:?}")
            });
        }
    }

    /// A watch ends without a poll only if its account is blocked and its own time is over.
    fn ends_unasked(&self, state: &mut State, watch: usize, outcome: Outcome, at: Moment) {
        let followed = &state.watches[watch];
        let account = &state.accounts[followed.account];
        let is_over = |limit: Option<Duration>| limit.is_some_and(|limit| at >= followed.started.plus(limit));
        let (limits, run) =
            (&state.limits, account.run.map_or(Duration::ZERO, |(first, last)| last.since(first)));
        let is_right = account.is_blocked(at)
            && match outcome {
                Outcome::Unauthorized => {
                    self.until_idle() && matches!(account.credential, Credential::Refused(_))
                }
                Outcome::TimedOut => is_over(limits.max_wait),
                Outcome::Unavailable => {
                    is_over(limits.max_outage)
                        && limits.max_outage.is_some_and(|max_outage| run >= max_outage)
                }
                _ => false,
            };
        if !is_right {
            let account = followed.account;
            self.violate(|| {
                format!("watch {watch} ends as {outcome} without a poll, for no reason of account {account}")
            });
        }
        self.ends(state, watch, outcome);
    }

    fn ends(&self, state: &mut State, watch: usize, outcome: Outcome) {
        let life = state.life;
        let followed = &mut state.watches[watch];
        if followed.phase != Phase::Followed {
            self.violate(|| format!("watch {watch} ends as {outcome}, though it is {:?}", followed.phase));
        }
        followed.phase = Phase::Ended(outcome);
        followed.ended_in = life;
        self.figures.borrow_mut().ends += 1;
        self.figures.borrow_mut().followed += self.now().since(followed.started);
        self.note([4, watch as u64, u64::from(life)], || format!("watch {watch} ends: {outcome}"));
    }

    /// An end is reported once in a life, and only after it was stored.
    pub(super) fn told(&self, watch: usize, outcome: Outcome) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let (life, followed) = (state.life, &mut state.watches[watch]);
        // It may have been cancelled since.
        let is_right = followed.phase == Phase::Ended(outcome)
            || (followed.phase == Phase::Cancelled && followed.ended_in == life);
        if !is_right || followed.told_in == life {
            let was = followed.phase;
            self.violate(|| {
                format!("watch {watch} is told of as {outcome}, though it is {was:?}, or once more")
            });
        }
        followed.told_in = life;
        state.told.push(outcome);
        self.note([5, watch as u64, 0], || format!("all hear that watch {watch} has ended: {outcome}"));
    }
}
