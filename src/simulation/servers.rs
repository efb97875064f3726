//! The servers: what they answer, and after how long.

use std::time::Duration;

use super::invent::rng;
use super::rules::Saw;
use super::scene::{AccountScene, HintForm, Weather};
use super::world::{BEGINNING, World};
use crate::moment::Moment;
use crate::snyk::{DEFAULT_VERSION, Reply};
use crate::watch::observation::FailureKind;

/// The result of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sent {
    /// No answer ever comes.
    Nothing,
    /// No connection, or an untrusted certificate.
    Broken(FailureKind),
    Answer(Answer),
}

/// An answer, before it is written as HTTP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    code: u16,
    word: Option<&'static str>,
    /// Whether Snyk wrote it, and not a gateway.
    is_snyks: bool,
    hint: Option<Duration>,
}

impl Answer {
    const fn of(code: u16) -> Self {
        Self { code, word: None, is_snyks: true, hint: None }
    }

    /// The class of an answer, by the table in the design.
    pub(super) const fn class(self) -> Saw {
        if let (200, Some(word)) = (self.code, self.word) {
            return Saw::Word(word);
        }
        let kind = match self.code {
            401 => FailureKind::Unauthorized,
            403 => FailureKind::Forbidden,
            404 | 410 => FailureKind::NotFound,
            409 => FailureKind::Conflict,
            429 => FailureKind::Throttled,
            400..=499 if !self.is_snyks => FailureKind::Gateway,
            300..=499 => FailureKind::Rejected,
            _ => FailureKind::Transient,
        };
        Saw::Failed(kind, true)
    }
}

impl Sent {
    /// What a poll sees, and the hint.
    pub(super) fn seen(self) -> (Saw, Option<Duration>) {
        match self {
            Self::Nothing => (Saw::Failed(FailureKind::Transient, false), None),
            Self::Broken(kind) => (Saw::Failed(kind, false), None),
            Self::Answer(answer) => (answer.class(), answer.hint),
        }
    }
}

impl World {
    /// The result of a request, and how long it takes. `nth` counts the requests of a poll.
    pub(super) fn request(
        &self,
        scene: &AccountScene,
        (watch, poll, nth): (usize, u64, usize),
        version: &str,
    ) -> (Duration, Sent) {
        let part = if nth == 0 { "poll" } else { "poll, second request" };
        let mut rng = rng(self.scene.seed, part, watch.wrapping_mul(1_000_003) + poll as usize);
        let takes = Duration::from_millis(scene.latency.0 + rng.u64(0..=scene.latency.1));
        // The second request of a poll is answered at once, so that a poll takes as long as one request.
        let takes = if nth == 0 { takes } else { Duration::ZERO };
        let well = || {
            self.word(watch).map_or(Answer::of(404), |word| Answer { word: Some(word), ..Answer::of(200) })
        };
        let answer = match self.weather(scene.server) {
            None => well(),
            Some(Weather::Hangs) => return (Duration::MAX, Sent::Nothing),
            Some(Weather::Slow(by)) => return (takes + by, Sent::Answer(well())),
            Some(Weather::Code { code, gateway, hint }) => {
                Answer { is_snyks: !gateway, hint, ..Answer::of(code) }
            }
            Some(Weather::Unreachable) => return (takes, Sent::Broken(FailureKind::Transient)),
            Some(Weather::Untrusted) => return (takes, Sent::Broken(FailureKind::Unrecoverable)),
            Some(Weather::Flaky { percent, code, later }) if rng.u8(0..100) < percent => {
                return (takes + later, Sent::Answer(Answer::of(code)));
            }
            Some(Weather::Flaky { .. }) => well(),
            Some(Weather::Hints(pause)) => Answer { hint: Some(pause), ..well() },
            Some(Weather::Retired { code, is_default }) if (version == DEFAULT_VERSION) == is_default => {
                Answer::of(code)
            }
            Some(Weather::Retired { .. }) => well(),
        };
        (takes, Sent::Answer(answer))
    }

    /// The status word of an export.
    fn word(&self, watch: usize) -> Option<&'static str> {
        let now = self.elapsed() + self.slept.get();
        let scene = self.scene.watch(watch)?;
        let stages =
            [(scene.ends_at, scene.last_word), (scene.started_at, "STARTED"), (scene.born_at, "PENDING")];
        stages.iter().find(|(at, _)| *at <= now && scene.born_at <= now).map(|(_, word)| *word)
    }

    /// An answer as HTTP: with the server's own clock, and its own form of hints.
    pub(super) fn written(&self, scene: &AccountScene, answer: &Answer) -> Reply {
        let now = BEGINNING.plus(self.elapsed() + self.slept.get());
        let now = if scene.clock.1 {
            now.plus(scene.clock.0)
        } else {
            now.before(scene.clock.0).unwrap_or_default()
        };
        let mut headers = vec![("date", date(now))];
        match (answer.hint, scene.hints) {
            // Snyk sends these with good answers. They are not a hint, because the limit is not reached.
            (None, _) if answer.code == 200 => headers
                .extend([("x-ratelimit-remaining", "12".to_owned()), ("x-ratelimit-reset", "59".to_owned())]),
            (None, _) => {}
            (Some(hint), HintForm::Seconds) => headers.push(("retry-after", hint.as_secs().to_string())),
            (Some(hint), HintForm::Date) => headers.push(("retry-after", date(now.plus(hint)))),
            // The longest counts.
            (Some(hint), HintForm::Reset) => headers.extend([
                ("retry-after", (hint.as_secs() / 2).to_string()),
                ("x-ratelimit-remaining", "0".to_owned()),
                ("x-ratelimit-reset", (now.plus(hint).unix_ms() / 1000).to_string()),
            ]),
        }
        if answer.is_snyks {
            headers.push(("snyk-request-id", "5eed".to_owned()));
        }
        let body = match answer.word {
            Some(word) => format!(r#"{{"data":{{"attributes":{{"status":"{word}"}}}}}}"#),
            None => "<html>no status</html>".to_owned(),
        };
        let header = |(name, value): (&'static str, String)| {
            Some((reqwest::header::HeaderName::from_static(name), value.parse().ok()?))
        };
        Reply::whole(answer.code, headers.into_iter().filter_map(header).collect(), body.as_bytes())
    }
}

/// An HTTP date, which has whole seconds.
fn date(moment: Moment) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(moment.unix_ms() / 1000))
}
