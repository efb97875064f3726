//! Answers that a scenario can send instead of the normal one: `[[answers]]` and `[[faults]]`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::text;

/// A scripted answer: its content, and the fault while it is sent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "RawAnswer")]
pub(super) struct Answer {
    pub(super) content: Content,
    /// Added to the headers; replaces headers of the same name.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) fault: Option<Fault>,
    /// Whether the request is carried out before this answer is sent.
    pub(super) carried_out: bool,
    /// A pause before the first byte.
    pub(super) delay: Duration,
    /// How many polls in a row get it.
    pub(super) repeat: u32,
}

/// What a scripted answer says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Content {
    /// The normal answer.
    #[default]
    Normal,
    /// The normal status document with another status word.
    Status(String),
    /// Any HTTP answer. Without a body, a code of 400 or more gets Snyk's own error document for it.
    Http { status_code: u16, body: Option<String> },
}

/// An answer that strikes at random.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawAnswer")]
pub(super) struct RandomFault {
    /// From 0 (never) to 1 (each request).
    pub(super) probability: f64,
    pub(super) on: Target,
    /// Only requests whose path has this in it, such as the id of one export.
    pub(super) path_has: Option<String>,
    /// How often it may strike in the life of the simulator.
    pub(super) at_most: Option<u32>,
    pub(super) answer: Answer,
}

/// The requests that a random fault may strike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Target {
    Status,
    Results,
    Start,
    Storage,
    Token,
    #[default]
    Any,
}

/// A breach of HTTP, with its measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// `cut`, `reset`, `hang`: bytes of the body that are sent; `drip`: how many come at a time; `blanks` and
    /// `headers`: how many there are.
    pub(super) bytes: Option<u64>,
    /// `drip`: before the next bytes.
    pub(super) pause: Option<Duration>,
}

impl Fault {
    /// Whether the client sees the status code of the answer at all.
    pub(super) fn shows_status_code(&self) -> bool {
        match self.kind {
            FaultKind::Reset | FaultKind::Hang => self.bytes.is_some(),
            FaultKind::Close | FaultKind::Junk => false,
            FaultKind::Cut | FaultKind::Drip | FaultKind::Blanks | FaultKind::Headers => true,
        }
    }
}

/// The ways in which the simulator breaks a connection or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The connection is reset (TCP RST), instead of an answer or in the middle of the body.
    Reset,
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed in the middle of the body.
    Cut,
    /// The body comes a byte, or a few, at a time.
    Drip,
    /// Nothing ever comes, or nothing after the middle of the body; the connection stays open.
    Hang,
    /// The answer is not HTTP.
    Junk,
    /// The body consists of blanks.
    Blanks,
    /// The head holds a gigantic header.
    Headers,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultKind::Reset => "reset",
            FaultKind::Close => "close",
            FaultKind::Cut => "cut",
            FaultKind::Drip => "drip",
            FaultKind::Hang => "hang",
            FaultKind::Junk => "junk",
            FaultKind::Blanks => "blanks",
            FaultKind::Headers => "headers",
        })
    }
}

/// Both tables as in the file. They share their fields, and `flatten` would spoil the error messages.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawAnswer {
    status_code: Option<u16>,
    status: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    carried_out: bool,
    fault: Option<FaultKind>,
    bytes: Option<u64>,
    #[serde(deserialize_with = "text::some_duration")]
    pause: Option<Duration>,
    #[serde(deserialize_with = "text::duration")]
    delay: Duration,
    repeat: Option<u32>,
    probability: Option<f64>,
    on: Option<Target>,
    path_has: Option<String>,
    at_most: Option<u32>,
}

impl TryFrom<RawAnswer> for Answer {
    type Error = &'static str;

    fn try_from(raw: RawAnswer) -> Result<Answer, &'static str> {
        if raw.probability.is_some() || raw.on.is_some() || raw.path_has.is_some() || raw.at_most.is_some() {
            return Err("`probability`, `on`, `path-has`, and `at-most` belong in `[[faults]]`");
        }
        raw.into_answer()
    }
}

impl TryFrom<RawAnswer> for RandomFault {
    type Error = &'static str;

    fn try_from(raw: RawAnswer) -> Result<RandomFault, &'static str> {
        let on = raw.on.unwrap_or_default();
        let (at_most, path_has) = (raw.at_most, raw.path_has.clone());
        let Some(probability) = raw.probability.filter(|probability| (0.0..=1.0).contains(probability))
        else {
            return Err("a fault needs a `probability` from 0 to 1");
        };
        if raw.repeat.is_some() {
            return Err("`repeat` belongs in `[[answers]]`; a fault has `at-most`");
        }
        if raw.status.is_some() && on != Target::Status {
            return Err("`status` needs `on = \"status\"`");
        }
        Ok(RandomFault { probability, on, path_has, at_most, answer: raw.into_answer()? })
    }
}

impl RawAnswer {
    fn into_answer(self) -> Result<Answer, &'static str> {
        let content = match (self.status, self.status_code) {
            (Some(_), Some(_)) => return Err("`status` and `status-code` exclude each other"),
            (Some(word), None) => Content::Status(word),
            (None, Some(code)) if !(200..=599).contains(&code) => {
                return Err("`status-code` goes from 200 to 599");
            }
            (None, Some(status_code)) => Content::Http { status_code, body: self.body.clone() },
            (None, None) => Content::Normal,
        };
        if self.body.is_some() && self.status_code.is_none() {
            return Err("a `body` needs a `status-code`");
        }
        if self.carried_out && self.status_code.is_none() {
            return Err("`carried-out` needs a `status-code`: without one every request is carried out");
        }
        if self.fault.is_none() && (self.bytes.is_some() || self.pause.is_some()) {
            return Err("`bytes` and `pause` need a `fault`");
        }
        let fault = self.fault.map(|kind| Fault { kind, bytes: self.bytes, pause: self.pause });
        let repeat = self.repeat.unwrap_or(1);
        let RawAnswer { headers, carried_out, delay, .. } = self;
        Ok(Answer { content, headers, fault, carried_out, delay, repeat })
    }
}
