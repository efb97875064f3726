//! What a world consists of: plain data, generated from a seed.

use std::time::Duration;

use super::rules::{Pace, schedule};
use crate::export::{Status, Vocabulary};
use crate::watch::{self, Policy, Refusal};

/// A world before it runs.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) seed: u64,
    pub(super) mode: Mode,
    pub(super) limits: Limits,
    pub(super) accounts: Vec<AccountScene>,
    pub(super) watches: Vec<WatchScene>,
    pub(super) endpoints: Vec<EndpointScene>,
    pub(super) troubles: Vec<Trouble>,
    /// How often the runner makes a pass at least.
    pub(super) beat: Duration,
    /// How long the world runs.
    pub(super) length: Duration,
}

/// Which use of the runner is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A command that waits: a store in memory, one account, each watch for itself.
    Wait { any: bool },
    /// A daemon; with a store in a file it can be killed and started again.
    Daemon { until_idle: bool, in_file: bool },
}

/// The user's settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) pace: (Duration, f64, Duration, f64),
    pub(super) max_wait: Option<Duration>,
    pub(super) max_outage: Option<Duration>,
    pub(super) request_timeout: Duration,
    pub(super) not_found_grace: Duration,
    pub(super) retry_conflict: bool,
    pub(super) pending_at_most: Option<Duration>,
    pub(super) concurrency: usize,
}

/// An account, and the server that it asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccountScene {
    pub(super) id: usize,
    pub(super) server: usize,
    pub(super) requests_per_minute: u32,
    /// The least time that its server takes, and how much longer it may take, in milliseconds.
    pub(super) latency: (u64, u64),
    /// The API version that the user has set.
    pub(super) version: Option<&'static str>,
    /// The skew of its server's clock, and whether it is ahead.
    pub(super) clock: (Duration, bool),
    pub(super) hints: HintForm,
}

/// How a server writes a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HintForm {
    Seconds,
    Date,
    /// By `X-RateLimit-Reset`, in seconds since the epoch.
    Reset,
}

/// A watch, and the export that it follows.
#[derive(Debug, Clone)]
pub(super) struct WatchScene {
    pub(super) id: usize,
    pub(super) account: usize,
    pub(super) of_settings: bool,
    pub(super) added_at: Duration,
    pub(super) cancelled_at: Option<Duration>,
    /// When its export becomes visible.
    pub(super) born_at: Duration,
    pub(super) started_at: Duration,
    pub(super) ends_at: Duration,
    pub(super) last_word: &'static str,
}

/// Where notifications go.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointScene {
    pub(super) id: usize,
    pub(super) takes: Duration,
    /// Whether it wants only exports that finished.
    pub(super) finished_only: bool,
}

/// Something that goes wrong, or that a user does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    pub(super) id: usize,
    pub(super) at: Duration,
    pub(super) until: Duration,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Server {
        server: usize,
        weather: Weather,
    },
    Endpoint {
        endpoint: usize,
        weather: Weather,
    },
    /// The disk is slow: each call takes so much longer.
    StoreIsSlow(Duration),
    /// Another program has the file locked.
    StoreIsLocked,
    /// The disk is full or fails: a call returns an error, and its data is kept or lost.
    StoreFails {
        keeps: bool,
    },
    /// The process is stopped until then.
    Stall,
    /// The machine sleeps for so long: its clock stops, and the servers' time goes on.
    Sleep(Duration),
    /// The wall clock is set.
    WallStep {
        forward: bool,
        by: Duration,
    },
    /// The process is killed, after so many more of its steps, and started again later.
    Kill {
        steps: u32,
    },
    /// The machine loses power and starts again later: data that was not synced may be lost.
    PowerCut,
    /// The process is asked to end, and started again later.
    Terminate,
    /// The settings are read again.
    Reload(Reload),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Reload {
    Same,
    Concurrency(usize),
    Rate {
        account: usize,
        requests_per_minute: u32,
    },
    /// The account is not in the settings until the span is over.
    Without {
        account: usize,
    },
    With {
        account: usize,
    },
    MaxWait(Option<Duration>),
}

/// How a server behaves for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// It never answers.
    Hangs,
    Slow(Duration),
    /// It answers with this code, or a gateway in front of it does.
    Code {
        code: u16,
        gateway: bool,
        hint: Option<Duration>,
    },
    /// No request gets through.
    Unreachable,
    /// Its certificate is not trusted.
    Untrusted,
    /// Most answers are good; some fail, after a delay.
    Flaky {
        percent: u8,
        code: u16,
        later: Duration,
    },
    /// Its answers are good, with a hint.
    Hints(Duration),
    /// The default API version is removed, or all others are.
    Retired {
        code: u16,
        is_default: bool,
    },
}

impl What {
    /// The server that hangs or is slow, if that is what goes wrong.
    pub(super) const fn hangs(&self) -> Option<usize> {
        match self {
            Self::Server { server, weather: Weather::Hangs | Weather::Slow(_) } => Some(*server),
            Self::Server { server, weather: Weather::Flaky { later, .. } } if !later.is_zero() => {
                Some(*server)
            }
            _ => None,
        }
    }
}

impl Scene {
    pub(super) fn account(&self, id: usize) -> Option<&AccountScene> {
        let at = self.accounts.binary_search_by_key(&id, |account| account.id).ok()?;
        self.accounts.get(at)
    }

    pub(super) fn watch(&self, id: usize) -> Option<&WatchScene> {
        let at = self.watches.binary_search_by_key(&id, |watch| watch.id).ok()?;
        self.watches.get(at)
    }
}

impl Limits {
    /// The policy with these limits, and defaults for the rest.
    pub(super) fn policy(&self, is_wait: bool) -> Policy {
        let pace = |pace| {
            let (initial, multiplier, max, jitter) = schedule(self, pace);
            watch::pace::Pace::new(initial, multiplier, max, jitter)
                .unwrap_or_else(|error| unreachable!("{error}"))
        };
        let pending = Status::new("PENDING").zip(self.pending_at_most);
        Policy {
            pace: pace(Pace::Main),
            retry: pace(Pace::Retry),
            throttle: pace(Pace::Throttle),
            max_wait: self.max_wait,
            max_outage: self.max_outage,
            request_timeout: self.request_timeout,
            not_found_grace: self.not_found_grace,
            retry_conflict: self.retry_conflict,
            unrecoverable_is_final: is_wait,
            refusal: if is_wait { Refusal::EndsWatch } else { Refusal::PausesAccount },
            vocabulary: Vocabulary::default(),
            max_in_progress: pending.into_iter().collect(),
        }
    }
}
