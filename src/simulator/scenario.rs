//! Scenarios: what the simulated API does, in TOML. The embedded ones are in `config/scenarios/`.

use std::time::Duration;

use serde::Deserialize;

use super::answer::{Answer, RandomFault};
use super::files::{Encoding, FileSize};
use super::http::Framing;
use super::text;

/// The embedded scenarios, in the order in which they are shown.
const EMBEDDED: [(&str, &str); 26] = [
    ("default", include_str!("../../config/scenarios/default.toml")),
    ("quick", include_str!("../../config/scenarios/quick.toml")),
    ("demo", include_str!("../../config/scenarios/demo.toml")),
    ("errored", include_str!("../../config/scenarios/errored.toml")),
    ("error", include_str!("../../config/scenarios/error.toml")),
    ("flaky", include_str!("../../config/scenarios/flaky.toml")),
    ("rate-limited", include_str!("../../config/scenarios/rate-limited.toml")),
    ("maintenance", include_str!("../../config/scenarios/maintenance.toml")),
    ("slow", include_str!("../../config/scenarios/slow.toml")),
    ("unauthorized", include_str!("../../config/scenarios/unauthorized.toml")),
    ("forbidden", include_str!("../../config/scenarios/forbidden.toml")),
    ("not-found", include_str!("../../config/scenarios/not-found.toml")),
    ("not-found-at-first", include_str!("../../config/scenarios/not-found-at-first.toml")),
    ("conflict", include_str!("../../config/scenarios/conflict.toml")),
    ("old-version-gone", include_str!("../../config/scenarios/old-version-gone.toml")),
    ("deprecated", include_str!("../../config/scenarios/deprecated.toml")),
    ("unknown-status", include_str!("../../config/scenarios/unknown-status.toml")),
    ("never-ready", include_str!("../../config/scenarios/never-ready.toml")),
    ("proxy-page", include_str!("../../config/scenarios/proxy-page.toml")),
    ("hostile", include_str!("../../config/scenarios/hostile.toml")),
    ("zero-rows", include_str!("../../config/scenarios/zero-rows.toml")),
    ("multi-part", include_str!("../../config/scenarios/multi-part.toml")),
    ("cut-downloads", include_str!("../../config/scenarios/cut-downloads.toml")),
    ("expiring-links", include_str!("../../config/scenarios/expiring-links.toml")),
    ("gzip", include_str!("../../config/scenarios/gzip.toml")),
    ("wrong-files", include_str!("../../config/scenarios/wrong-files.toml")),
];

/// What a simulator does. Keys that a file leaves out are as in `config/scenarios/default.toml`, which
/// explains each of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub(super) description: String,
    pub(super) seed: u64,
    #[serde(deserialize_with = "text::duration")]
    pub(super) pending: Duration,
    #[serde(deserialize_with = "text::duration")]
    pub(super) started: Duration,
    pub(super) ends_as: String,
    pub(super) error_text: Option<String>,
    pub(super) shape: Shape,
    pub(super) inline_results: bool,
    pub(super) no_zone_in_created: Option<bool>,
    pub(super) unknown_exports: UnknownExports,
    #[serde(deserialize_with = "text::between::<_, _, 0, 1_000_000>")]
    pub(super) rows: u32,
    #[serde(deserialize_with = "text::between::<_, _, 1, 100>")]
    pub(super) parts: u32,
    #[serde(deserialize_with = "text::duration")]
    pub(super) url_expiration: Duration,
    #[serde(deserialize_with = "text::between::<_, _, 400, 499>")]
    pub(super) url_expired_status_code: u16,
    pub(super) file_size: FileSize,
    pub(super) file_size_error: i64,
    pub(super) no_results: bool,
    pub(super) storage_encoding: Encoding,
    pub(super) storage_framing: Framing,
    pub(super) storage_ranges: bool,
    pub(super) storage_etag: bool,
    pub(super) storage_hash: bool,
    #[serde(deserialize_with = "text::duration")]
    pub(super) start_retry_after: Duration,
    pub(super) token: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    #[serde(deserialize_with = "text::duration")]
    pub(super) token_lifetime: Duration,
    #[serde(deserialize_with = "text::duration")]
    pub(super) token_ends: Duration,
    pub(super) experimental_version: bool,
    pub(super) starts_per_hour: u32,
    pub(super) requests_per_minute: Option<u32>,
    pub(super) deprecation: Option<String>,
    pub(super) sunset: Option<String>,
    #[serde(deserialize_with = "text::duration")]
    pub(super) latency: Duration,
    #[serde(deserialize_with = "text::duration")]
    pub(super) latency_jitter: Duration,
    pub(super) answers: Vec<Answer>,
    pub(super) then: Then,
    pub(super) faults: Vec<RandomFault>,
}

/// The text is not a scenario. The message shows the line and the key.
#[derive(Debug, thiserror::Error)]
#[error("invalid scenario: {0}")]
pub struct ScenarioError(toml::de::Error);

/// How documents look: as Snyk's OpenAPI has them, or as its servers were seen to send them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shape {
    Spec,
    Real,
}

/// The answer to a status request for an unknown id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UnknownExports {
    /// The export starts on the spot, so that a client can be pointed at any id.
    Create,
    NotFound,
}

/// What follows the last of the scripted answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Then {
    /// The normal course.
    Normal,
    /// The last answer, for ever.
    Last,
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// If it is not TOML, or has keys or values that a scenario cannot have.
    pub fn from_toml(source: &str) -> Result<Scenario, ScenarioError> {
        toml::from_str(source).map_err(ScenarioError)
    }

    /// The embedded scenario of this name.
    pub fn named(name: &str) -> Option<Scenario> {
        let (_, source) = EMBEDDED.iter().find(|(known, _)| *known == name)?;
        Scenario::from_toml(source).ok()
    }

    /// The names of the embedded scenarios, each with its description of one line.
    pub fn names() -> impl Iterator<Item = (&'static str, String)> {
        EMBEDDED.iter().filter_map(|(name, _)| Some((*name, Scenario::named(name)?.description)))
    }

    /// The scripted answer to the status poll number `poll` of an export, counted from 0.
    pub(super) fn scripted(&self, poll: u32) -> Option<&Answer> {
        let mut end = 0_u32;
        let within = self.answers.iter().find(|answer| {
            end = end.saturating_add(answer.repeat);
            poll < end
        });
        match self.then {
            Then::Normal => within,
            Then::Last => within.or(self.answers.last()),
        }
    }

    /// Whether `created` has a time zone. Depends on the shape, unless the file sets it.
    pub(super) fn zone_in_created(&self) -> bool {
        !self.no_zone_in_created.unwrap_or(self.shape == Shape::Real)
    }
}

impl Default for Scenario {
    /// The embedded scenario `default`: about 8 seconds to FINISHED, no faults.
    fn default() -> Scenario {
        Scenario {
            description: String::new(),
            seed: 1,
            pending: Duration::from_secs(3),
            started: Duration::from_secs(5),
            ends_as: "FINISHED".to_owned(),
            error_text: None,
            shape: Shape::Real,
            inline_results: true,
            no_zone_in_created: None,
            unknown_exports: UnknownExports::Create,
            rows: 1061,
            parts: 1,
            url_expiration: Duration::from_secs(3600),
            url_expired_status_code: 403,
            file_size: FileSize::Decoded,
            file_size_error: 0,
            no_results: false,
            storage_encoding: Encoding::Identity,
            storage_framing: Framing::Length,
            storage_ranges: true,
            storage_etag: true,
            storage_hash: true,
            start_retry_after: Duration::from_secs(10),
            token: None,
            client_id: None,
            client_secret: None,
            token_lifetime: Duration::from_secs(3600),
            token_ends: Duration::from_secs(90 * 24 * 3600),
            experimental_version: true,
            starts_per_hour: 20,
            requests_per_minute: None,
            deprecation: None,
            sunset: None,
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
            answers: Vec::new(),
            then: Then::Normal,
            faults: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_scenario_is_valid_and_described() {
        for (name, source) in EMBEDDED {
            let scenario = Scenario::from_toml(source).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!scenario.description.is_empty(), "{name} has no description");
            assert!(!scenario.description.contains('\n'), "the description of {name} has several lines");
        }
        assert_eq!(Scenario::names().count(), EMBEDDED.len());
    }

    #[test]
    fn the_default_file_spells_out_the_defaults() {
        let mut file = Scenario::named("default").unwrap();
        file.description.clear();
        assert_eq!(file, Scenario::default());
    }

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/scenarios");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), EMBEDDED.len());
    }

    #[test]
    fn errors_show_the_line_and_the_key() {
        let rows = [
            ("pending = '3s'\npendign = '3s'", "line 2", "pendign"),
            ("seed = 1\npending = 'soon'", "line 2", "expected a duration such as"),
            ("rows = 1000001", "line 1", "expected a number from 0 to 1000000"),
            ("[[faults]]\nfault = 'cut'", "line 1", "needs a `probability`"),
            ("[[faults]]\nfault = 'cut'\nprobability = 1.5", "line 1", "from 0 to 1"),
            ("[[faults]]\nprobability = 1\nstatus = 'PENDING'", "line 1", "needs `on = \"status\"`"),
            ("[[answers]]\nfault = 'explode'", "line 2", "unknown variant `explode`"),
            ("[[answers]]\nstatus = 'PENDING'\nstatus-code = 200", "line 1", "exclude each other"),
            ("[[answers]]\nbody = 'x'", "line 1", "needs a `status-code`"),
            ("[[answers]]\nstatus-code = 99", "line 1", "from 200 to 599"),
            ("[[answers]]\nprobability = 0.5", "line 1", "belong in `[[faults]]`"),
            ("[[answers]]\npause = '1s'", "line 1", "need a `fault`"),
            ("[[faults]]\nprobability = 1\ncarried-out = true", "line 1", "needs a `status-code`"),
            ("url-expired-status-code = 500", "line 1", "expected a number from 400 to 499"),
            ("storage-encoding = 'br'", "line 1", "unknown variant `br`"),
        ];
        for (source, line, key) in rows {
            let message = Scenario::from_toml(source).unwrap_err().to_string();
            assert!(message.contains(line) && message.contains(key), "{source}: {message}");
        }
    }

    #[test]
    fn scripted_answers_come_in_their_order_and_number() {
        let script = "answers = [{}, { status = 'A', repeat = 2 }, { status = 'B' }]";
        let scenario = Scenario::from_toml(script).unwrap();
        let at = |poll| scenario.scripted(poll).map(|answer| &answer.content);
        assert_eq!(at(0), Some(&super::super::answer::Content::Normal));
        assert_eq!(at(1), at(2));
        assert_ne!(at(2), at(3));
        assert_eq!(at(4), None);
        let last = Scenario { then: Then::Last, ..scenario.clone() };
        assert_eq!(last.scripted(99).map(|answer| &answer.content), at(3));
    }
}
