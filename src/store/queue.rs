//! The queue: watches that are due are claimed, polled, and given back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Claim, NewDelivery, Reply};
use crate::moment::Moment;
use crate::watch::Watch;
use crate::watch::outcome::Outcome;

/// What the runner asks of a store.
pub trait Queue {
    /// Keeps what polls came to, and claims due watches, in one transaction. It is kept when this returns; after an
    /// error none of it is.
    fn pass(&self, pass: Pass) -> Reply<Passed>;
}

impl<Q: Queue + ?Sized> Queue for Arc<Q> {
    fn pass(&self, pass: Pass) -> Reply<Passed> {
        (**self).pass(pass)
    }
}

/// How many watches of an account are wanted.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The account's name.
    pub account: Arc<str>,
    /// How many at most.
    pub room: usize,
    /// Only those that started at this moment or before, whenever they are due: they have no time left.
    pub started_by: Option<Moment>,
}

/// One pass of the runner: what polls have come to, and what it could poll now.
#[derive(Debug)]
pub struct Pass {
    /// The time.
    pub now: Moment,
    /// What became of rows that were claimed before.
    pub records: Vec<Record>,
    /// Deliveries that are owed and tell of no watch.
    pub owed: Vec<NewDelivery>,
    /// What is wanted, account by account.
    pub wishes: Vec<Wish>,
}

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Passed {
    /// For each record, in their order, whether it was kept: one whose row is gone or was claimed anew is not.
    pub kept: Vec<bool>,
    /// What was claimed, by account in the order of the wishes, the longest due first.
    pub claimed: Vec<Claimed>,
    /// For each account that got less than it wished for, when its next unclaimed watch is due: `Moment::NEVER` if all
    /// are claimed, `None` if all have ended.
    pub next_due: BTreeMap<Arc<str>, Option<Moment>>,
}

/// A due watch. Nobody else can claim it until it is given back.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The key to give it back.
    pub claim: Claim,
    /// The watch.
    pub watch: Watch,
    /// Since when it is due.
    pub due_at: Moment,
}

/// What became of a claimed watch.
#[derive(Debug, Clone)]
pub struct Record {
    /// The key under which it was claimed.
    pub claim: Claim,
    /// The watch as it is now.
    pub watch: Arc<Watch>,
    /// What follows.
    pub next: Next,
}

/// What follows for a claimed watch.
#[derive(Debug, Clone)]
pub enum Next {
    /// It is due again.
    Due(Moment),
    /// It has ended.
    Ended(Ended),
}

/// The end of a watch, as it is kept.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// When.
    pub at: Moment,
    /// The document that tells of it: JSON.
    pub document: String,
    /// The notifications that are owed for it.
    pub deliveries: Vec<NewDelivery>,
}
