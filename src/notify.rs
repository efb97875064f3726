//! Notifications about the ends of watches.
//!
//! A notification is a [`CloudEvents` document](cloud_event), made once, when a watch ends, and kept with the delivery. An
//! [`Endpoint`] makes one attempt to deliver it and returns the result; a [rule](next_attempt) says when to try again. A
//! delivery has the same id in each attempt, so that a receiver recognizes what it has already received.

pub mod cloud_event;
mod command;
mod headers;
mod pace;
mod ping;
mod post;
mod signature;
mod slack;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

pub use self::cloud_event::delivery_id;
pub use self::headers::{OwnHeaders, OwnHeadersError};
pub use self::pace::{LIMIT, asked, next_attempt, pause_of_endpoint, spacing};
pub use self::ping::{Ping, PingUrl, Sign};
pub use self::signature::{SigningKey, SigningKeyError};

use self::command::Command;
use self::slack::Slack;
use self::webhook::Webhook;
use crate::clock::Clock;
use crate::http::{Network, TransportError};
use crate::moment::Moment;
use crate::secret::Secret;
use crate::text::Text;
use crate::watch::outcome::Outcome;

/// What an endpoint is, as the settings describe it.
pub enum EndpointKind {
    /// Takes the event by HTTP.
    Webhook {
        /// Where.
        url: Url,
        /// The key that signs the event; without it, the receiver cannot check where the event comes from.
        secret: Option<SigningKey>,
        /// Headers besides ours.
        headers: OwnHeaders,
    },
    /// An incoming webhook of Slack, or of a compatible service.
    Slack {
        /// The URL, a secret: it lets anybody write into the channel.
        url: Secret,
    },
    /// A program on this machine, which reads the event from its standard input.
    Command {
        /// The file of the program. It runs without a shell.
        program: PathBuf,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment, besides the variables about the event.
        environment: BTreeMap<String, String>,
        /// How long it may run before it is killed.
        timeout: Duration,
    },
}

impl EndpointKind {
    /// Its name: `webhook`, `slack`, `command`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Command { .. } => "command",
        }
    }
}

/// An endpoint that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL is invalid or not for HTTP. It is not shown, because it is or contains a secret.
    #[error("the URL is not one that starts with https:// (or http://) and names a host")]
    Url,
    /// TLS cannot be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Where notifications go.
pub struct Endpoint {
    name: String,
    on: Option<BTreeSet<String>>,
    kind: Kind,
    /// Becomes true when the daemon stops.
    stopping: Option<watch::Receiver<bool>>,
    spacing: Option<Duration>,
}

enum Kind {
    Webhook(Webhook),
    Slack(Slack),
    Command(Command),
}

/// The result of an attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It was delivered.
    Sent,
    /// The endpoint refuses this one (400, 422 and others); it may take others. It may take this one later.
    Refused {
        /// Why.
        problem: Text,
        /// The pause that the endpoint asks for, if any.
        hint: Option<Duration>,
    },
    /// The endpoint failed. It may work later.
    Failed {
        /// Why.
        problem: Text,
        /// The pause that the endpoint asks for, if any.
        hint: Option<Duration>,
    },
    /// The endpoint wants no more of it (410 Gone).
    Gone {
        /// What it said.
        problem: Text,
    },
}

impl Attempt {
    /// A failure without a hint.
    fn failed(problem: &str) -> Self {
        Self::Failed { problem: Text::new(problem), hint: None }
    }
}

impl Endpoint {
    /// An endpoint called `name` that gets notifications of the outcomes in `on`, or of all. `network` connects to it, with the
    /// same proxies as for Snyk.
    ///
    /// # Errors
    ///
    /// If nothing can be sent there: the URL is not for HTTP, or there are no certificates.
    pub fn new(
        name: String,
        on: Option<BTreeSet<String>>,
        kind: EndpointKind,
        network: &Network,
    ) -> Result<Self, EndpointError> {
        let kind = match kind {
            EndpointKind::Webhook { url, secret, headers } => {
                Kind::Webhook(Webhook::new(url, secret, headers, network)?)
            }
            EndpointKind::Slack { url } => Kind::Slack(Slack::new(&url, network)?),
            EndpointKind::Command { program, args, environment, timeout } => {
                Kind::Command(Command { program, args, environment, timeout })
            }
        };
        Ok(Self { name, on, kind, spacing: None, stopping: None })
    }

    /// The same endpoint. Its commands are asked to end (SIGTERM) when `stopping` becomes true.
    #[must_use]
    pub fn stopped_by(self, stopping: watch::Receiver<bool>) -> Self {
        Self { stopping: Some(stopping), ..self }
    }

    /// Waits until commands should end.
    async fn stopped(&self) {
        if let Some(mut stopping) = self.stopping.clone()
            && stopping.wait_for(|stops| *stops).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// This endpoint, which gets at most so many deliveries in a minute.
    #[must_use]
    pub fn at_most(self, max_per_minute: Option<NonZeroU32>) -> Self {
        Self { spacing: max_per_minute.map(spacing), ..self }
    }

    /// Its name in the settings.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind: `webhook`, `slack` or `command`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Webhook(_) => "webhook",
            Kind::Slack(_) => "slack",
            Kind::Command(_) => "command",
        }
    }

    /// Whether it gets notifications of this outcome. Endpoints with `unauthorized` also get notifications of accounts whose
    /// credential is refused, or works again.
    #[must_use]
    pub fn wants(&self, outcome: Outcome) -> bool {
        self.on.as_ref().is_none_or(|on| on.contains(outcome.as_str()))
    }

    /// Tries once to deliver a `CloudEvents` document under its stable id. This takes at most 30 s, or the time limit of a command
    /// and 5 s.
    /// If the future is dropped, the attempt ends, and a command is killed.
    pub async fn send(&self, id: &str, event: &str, now: Moment) -> Attempt {
        match &self.kind {
            Kind::Webhook(webhook) => webhook.send(id, event, now).await,
            Kind::Slack(slack) => slack.send(event).await,
            Kind::Command(command) => command.send(event, self.stopped()).await,
        }
    }
}

/// An endpoint, as a courier sees it.
pub trait Recipient {
    /// Its name in the settings.
    fn name(&self) -> &str;

    /// Its kind, as events name it.
    fn kind(&self) -> &'static str;

    /// The shortest time between the starts of two deliveries, if it has a limit.
    fn spacing(&self) -> Option<Duration> {
        None
    }

    /// Tries once to deliver an event under its stable id.
    fn deliver(&self, id: &str, event: &str) -> impl Future<Output = Attempt>;
}

impl Recipient for Endpoint {
    fn name(&self) -> &str {
        self.name()
    }

    fn kind(&self) -> &'static str {
        self.kind()
    }

    fn spacing(&self) -> Option<Duration> {
        self.spacing
    }

    /// The signature has the wall-clock time, because the receiver compares it with its own.
    async fn deliver(&self, id: &str, event: &str) -> Attempt {
        self.send(id, event, Clock::wall_now()).await
    }
}

/// Shows names and kinds only, because the rest is secret.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("kind", &self.kind())
            .field("on", &self.on)
            .finish_non_exhaustive()
    }
}

/// Shows the kind only, because the rest is secret.
impl fmt::Debug for EndpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Webhook { .. } => "Webhook",
            Self::Slack { .. } => "Slack",
            Self::Command { .. } => "Command",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(on: Option<&[&str]>, kind: EndpointKind) -> Result<Endpoint, EndpointError> {
        let on = on.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        Endpoint::new("platform".to_owned(), on, kind, &Network::default())
    }

    fn command(argv: &[&str]) -> EndpointKind {
        let args = argv[1..].iter().map(|word| (*word).to_owned()).collect();
        let (program, timeout) = (argv[0].into(), Duration::from_secs(1));
        EndpointKind::Command { program, args, environment: BTreeMap::new(), timeout }
    }

    #[test]
    fn gets_every_outcome_or_those_that_it_names() {
        let all = endpoint(None, command(&["true"])).unwrap();
        assert!(Outcome::ALL.into_iter().all(|outcome| all.wants(outcome)));
        let some = endpoint(Some(&["failed", "timed-out"]), command(&["true"])).unwrap();
        let wanted: Vec<_> = Outcome::ALL.into_iter().filter(|outcome| some.wants(*outcome)).collect();
        assert_eq!(wanted, [Outcome::Failed, Outcome::TimedOut]);
    }

    #[test]
    fn rejects_a_url_to_which_nothing_can_be_sent() {
        let slack = |url: &str| EndpointKind::Slack { url: Secret::new(url) };
        let webhook = |url: &str| EndpointKind::Webhook {
            url: Url::parse(url).unwrap(),
            secret: None,
            headers: OwnHeaders::default(),
        };
        for kind in [
            slack("hooks.example/T/secret"),
            slack("ftp://h/secret"),
            webhook("mailto:x@h"),
            webhook("ftp://h"),
        ] {
            let error = endpoint(None, kind).unwrap_err();
            assert!(matches!(error, EndpointError::Url) && !error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn shows_no_secrets() {
        let url = "https://u:hunter2@h.example/T/hunter2?hunter2";
        let key = SigningKey::new(&format!("whsec_{}", "hunter2A".repeat(4))).unwrap();
        for kind in [
            EndpointKind::Webhook {
                url: Url::parse(url).unwrap(),
                secret: Some(key),
                headers: OwnHeaders::new("X-Key: hunter2").unwrap(),
            },
            EndpointKind::Slack { url: Secret::new(url) },
            command(&["true", "hunter2"]),
        ] {
            let shown = format!("{kind:?}");
            let shown = shown + &format!("{:?}", endpoint(None, kind).unwrap());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
