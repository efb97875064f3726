//! The outbox: notifications that are owed, and what became of them. A pass of the [`Queue`](super::Queue) owes them.

use uuid::Uuid;

use super::{Claim, Reply};
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::pace::Position;

/// What couriers ask of a store.
pub trait Outbox {
    /// Claims up to `room` due deliveries to `endpoint`, the longest due first, and says when the next unclaimed one is
    /// due: `Moment::NEVER` if all are claimed, `None` if nothing is owed.
    fn claim(
        &self,
        endpoint: String,
        room: usize,
        now: Moment,
    ) -> Reply<(Vec<ClaimedDelivery>, Option<Moment>)>;

    /// Keeps what became of claimed deliveries. A record whose claim no longer holds is ignored.
    fn record(&self, records: Vec<DeliveryRecord>) -> Reply<()>;

    /// The endpoints to which deliveries are owed.
    fn owed_endpoints(&self) -> Reply<Vec<String>>;

    /// Gives up deliveries that have been owed to `endpoint` since `owed_before` or longer and are not claimed: up to 1,000.
    fn give_up(
        &self,
        endpoint: String,
        owed_before: Moment,
        problem: Text,
        now: Moment,
    ) -> Reply<Vec<GivenUp>>;
}

/// A notification that is owed to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its stable id, the same in each attempt.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// What is told: a `CloudEvents` document, JSON.
    pub event: String,
    /// Since when it is owed.
    pub at: Moment,
}

/// A due delivery. Nobody else can claim it until it is given back.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// The key to give it back.
    pub claim: Claim,
    /// What is owed.
    pub delivery: NewDelivery,
    /// The watch that it tells of; none where it tells of an account.
    pub watch: Option<Uuid>,
    /// How often it was tried.
    pub attempts: u32,
    /// Where its pace stands.
    pub pace: Position,
}

/// What became of a claimed delivery.
#[derive(Debug, Clone)]
pub struct DeliveryRecord {
    /// The key under which it was claimed.
    pub claim: Claim,
    /// When the attempt ended.
    pub at: Moment,
    /// What follows.
    pub next: NextDelivery,
}

/// What follows for a claimed delivery.
#[derive(Debug, Clone)]
pub enum NextDelivery {
    /// The endpoint has it.
    Sent,
    /// It is tried again.
    Due {
        /// When.
        at: Moment,
        /// Where its pace stands.
        pace: Position,
        /// Why the attempt failed.
        problem: Text,
    },
    /// It is given up.
    Undeliverable {
        /// Why the last attempt failed.
        problem: Text,
    },
}

/// A delivery that was given up without another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its stable id.
    pub id: String,
    /// The watch that it tells of; none where it tells of an account.
    pub watch: Option<Uuid>,
    /// How often it was tried.
    pub attempts: u32,
}

/// A delivery as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDelivery {
    /// Its stable id.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, if it is pending.
    pub due_at: Option<Moment>,
    /// Why the last attempt failed.
    pub problem: Option<Text>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// It is owed.
    Pending,
    /// The endpoint has it.
    Sent,
    /// It was given up.
    Undeliverable,
}

impl DeliveryState {
    /// One of each.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Sent, Self::Undeliverable];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Undeliverable => "undeliverable",
        }
    }
}
