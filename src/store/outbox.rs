//! The outbox: notifications that must be delivered, and the results of the attempts. A pass of the
//! [`Queue`](super::Queue) adds them.

use uuid::Uuid;

use super::{Claim, Reply};
use crate::moment::Moment;
use crate::text::Text;
use crate::watch::pace::Position;

/// What couriers need of a store.
pub trait Outbox {
    /// Claims up to `room` due deliveries to `endpoint`, in the order in which they were queued. None before it is open, unless
    /// `even_if_closed`.
    fn claim(&self, endpoint: String, room: usize, now: Moment, even_if_closed: bool) -> Reply<Turn>;

    /// Records the results of attempts, and the pace of their endpoints. A record whose claim has ended is ignored. When an
    /// endpoint takes deliveries again, those that have no pace of their own wait for their turn again.
    fn record(&self, records: Vec<DeliveryRecord>) -> Reply<()>;

    /// The endpoints with pending deliveries.
    fn owed_endpoints(&self) -> Reply<Vec<String>>;

    /// Gives up unclaimed deliveries to `endpoint` that were owed at `owed_before` or earlier, at most 1,000 of them.
    fn give_up(
        &self,
        endpoint: String,
        owed_before: Moment,
        problem: Text,
        now: Moment,
    ) -> Reply<Vec<GivenUp>>;
}

/// A notification to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id, the same in each attempt.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// What is sent: a `CloudEvents` document, JSON.
    pub event: String,
    /// Since when it is owed.
    pub at: Moment,
}

/// What an endpoint gets now.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The claimed deliveries.
    pub claimed: Vec<ClaimedDelivery>,
    /// When the next unclaimed delivery is due: `Moment::NEVER` if all are claimed, `None` if there are none.
    pub next_due: Option<Moment>,
    /// The pace of the endpoint.
    pub pace: EndpointPace,
}

/// The pace of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointPace {
    /// The state of its backoff. `None` if the last attempt reached it.
    pub position: Position,
    /// Nothing is sent before this.
    pub open_at: Moment,
    /// A new delivery opens it earlier, but not before this.
    pub floor: Moment,
    /// Until when it gets one delivery after the other: it has asked for a pause.
    pub gentle_until: Moment,
}

/// The due time of a delivery that waits for its turn.
pub const IN_TURN: Moment = Moment::from_unix_ms(0);

/// A due delivery. Nobody else can claim it until it is given back.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// Its claim.
    pub claim: Claim,
    /// What must be delivered.
    pub delivery: NewDelivery,
    /// The watch that it is about. `None` if it is about an account.
    pub watch: Option<Uuid>,
    /// How many attempts were made.
    pub attempts: u32,
    /// The state of its own pace. `None` if it has none, and follows the endpoint's.
    pub pace: Position,
}

/// The result of an attempt.
#[derive(Debug, Clone)]
pub struct DeliveryRecord {
    /// The claim of the delivery.
    pub claim: Claim,
    /// When the attempt ended.
    pub at: Moment,
    /// What follows.
    pub next: NextDelivery,
    /// The pace of the endpoint from now on.
    pub pace: EndpointPace,
}

/// What follows from an attempt.
#[derive(Debug, Clone)]
pub enum NextDelivery {
    /// It was delivered.
    Sent,
    /// It is due again.
    Due {
        /// When, or [`IN_TURN`].
        at: Moment,
        /// The state of its own pace.
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
    /// Its id.
    pub id: String,
    /// The watch that it is about. `None` if it is about an account.
    pub watch: Option<Uuid>,
    /// How many attempts were made.
    pub attempts: u32,
}

/// A delivery with what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDelivery {
    /// Its id.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// The watch that it is about. `None` if it is about an account.
    pub watch: Option<Uuid>,
    /// Since when it is owed: since it was queued, or last asked for again.
    pub at: Moment,
    /// Its state.
    pub state: DeliveryState,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the next attempt is due, if it is pending.
    pub due_at: Option<Moment>,
    /// Why the last attempt failed.
    pub problem: Option<Text>,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// It must be delivered.
    Pending,
    /// It was delivered.
    Sent,
    /// It was given up.
    Undeliverable,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Sent, Self::Undeliverable];

    /// The state with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

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

/// Which deliveries to list. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those after this one, in the order in which they were queued.
    pub after: Option<String>,
    /// The most deliveries.
    pub limit: usize,
}

/// What became of a wish to deliver again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivery {
    /// It is pending again.
    Queued(ListedDelivery),
    /// It is pending anyway.
    Pending,
    /// Nobody delivers to this endpoint.
    NoEndpoint(String),
}
