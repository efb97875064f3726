//! The queue: the runner claims due watches, polls them, and gives them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Claim, NewDelivery, Reply};
use crate::moment::Moment;
use crate::watch::Watch;
use crate::watch::outcome::Outcome;

/// What the runner needs of a store.
pub trait Queue {
    /// Records the results of polls and claims due watches, in one transaction.
    fn pass(&self, pass: Pass) -> Reply<Passed>;
}

impl<Q: Queue + ?Sized> Queue for Arc<Q> {
    fn pass(&self, pass: Pass) -> Reply<Passed> {
        (**self).pass(pass)
    }
}

/// How many watches of an account the runner can poll.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The account's name.
    pub account: Arc<str>,
    /// The most watches.
    pub room: usize,
    /// Only watches that started at this moment or earlier, due or not: their time is over.
    pub started_by: Option<Moment>,
}

/// What the runner sends: results of polls, and wishes for more watches.
#[derive(Debug)]
pub struct Pass {
    /// The time.
    pub now: Moment,
    /// The results of polls.
    pub records: Vec<Record>,
    /// What was learnt about the credentials of accounts, in order.
    pub news: Vec<AccountNews>,
    /// Wishes, at most one for each account.
    pub wishes: Vec<Wish>,
}

/// What an answer says about the credential of an account. The store ignores what was notified already, also before a restart.
#[derive(Debug, Clone)]
pub struct AccountNews {
    /// The account's name.
    pub account: Arc<str>,
    /// Whether its credential is refused. If it is not, it works.
    pub is_refused: bool,
    /// Deliveries to add for it.
    pub deliveries: Vec<NewDelivery>,
}

/// What the store returns.
#[derive(Debug, Default)]
pub struct Passed {
    /// For each record, in order, whether it was kept. It was not if its claim had ended.
    pub kept: Vec<bool>,
    /// For each piece of news, in order, whether it was news. Empty if none was.
    pub news: Vec<bool>,
    /// The claimed watches, in the order of the wishes, the longest due first.
    pub claimed: Vec<Claimed>,
    /// For each account that got fewer watches than it wished for, when its next unclaimed watch is due: `Moment::NEVER` if
    /// all are claimed, `None` if all have ended.
    pub next_due: BTreeMap<Arc<str>, Option<Moment>>,
}

/// A due watch. Nobody else can claim it until it is given back.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its claim.
    pub claim: Claim,
    /// The watch.
    pub watch: Watch,
    /// When it became due.
    pub due_at: Moment,
}

/// The result of a poll.
#[derive(Debug, Clone)]
pub struct Record {
    /// The claim of the watch.
    pub claim: Claim,
    /// The watch as it is now.
    pub watch: Arc<Watch>,
    /// What follows.
    pub next: Next,
}

/// What follows from a poll.
#[derive(Debug, Clone)]
pub enum Next {
    /// It is due again.
    Due(Moment),
    /// It has ended.
    Ended(Ended),
}

/// The end of a watch.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// When.
    pub at: Moment,
    /// The document about it: JSON.
    pub document: String,
    /// Deliveries to add for it.
    pub deliveries: Vec<NewDelivery>,
}
