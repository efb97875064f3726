//! Settings from flags, variables, a file and `config/default.toml`, in this order of precedence, checked once.
//!
//! The program never searches for a file. Only `--config` and `SNYK_EXPORT_CONFIG` name one, so that no file of a checkout
//! can send a token elsewhere. Only this module reads the environment.

mod api;
mod content;
mod credentials;
pub mod daemon;
mod defaults;
mod duration;
mod environment;
pub mod exports;
pub(crate) mod layers;
mod mistake;
mod network;
mod paths;
mod ping;
pub(crate) mod places;
mod sources;
pub(crate) mod values;

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::api::{ChosenApi, ConfiguredApi};
pub use self::content::Content;
pub use self::daemon::{AccountSettings, DaemonSettings, ServerSettings};
pub use self::environment::Environment;
pub use self::exports::ExportsError;
pub use self::mistake::Mistake;
pub use self::values::{Color, Listen, LogFormat};

use self::layers::{
    DownloadValues, Layer, LimitsValues, LogValues, PaceValues, RUN, ReloadValues, RetryValues, Sections,
    ServerValues, SnykValues, StatusesValues, StoreValues, WAIT, resolve,
};
use self::paths::{Unset, expand};
use self::places::Places;
pub(crate) use self::sources::variable;
use self::sources::{parse_file, read_environment, read_file, unknown_variables};
use self::values::{HumanDuration, Multiplier, Pause, Share, StatusLimit};
use crate::disk::Look;
use crate::download::Limits;
use crate::export::{Phase, Status, Vocabulary};
use crate::http::TransportError;
use crate::secret::{Placeholder, Secret};
use crate::snyk::credentials::{CredentialError, Source};
use crate::text::Text;
use crate::watch::pace::{Pace, PaceError};
use crate::watch::{Policy, Refusal};

/// The lowest layer, and the reference for users.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The pauses after a 429 without a hint: Snyk's limit lasts until a minute has passed.
const THROTTLE: PaceValues = PaceValues {
    initial_interval: Pause(Duration::from_secs(5)),
    multiplier: Multiplier(2.0),
    max_interval: Pause(Duration::from_secs(60)),
    jitter: Share(0.0),
};

/// Settings that cannot be used. Each message names the input and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The settings file cannot be read.
    #[error("failed to read the settings file {}", Text::of_path(.0))]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The settings file is wrong.
    #[error("{0}")]
    File(Mistake),
    /// A setting is wrong: where it is, and why. The reason says what is allowed, or how to put it right.
    #[error("{0}: {1}")]
    Wrong(String, Text),
    /// Settings contradict each other.
    #[error("{0}")]
    Contradiction(Text),
    /// A reload would remove everything of a kind.
    #[error("{0}")]
    Lost(Text),
    /// There is no credential.
    #[error(
        "no credential: set SNYK_TOKEN, or --token-file, SNYK_TOKEN_FILE, SNYK_OAUTH_TOKEN, SNYK_CLIENT_ID and \
             SNYK_CLIENT_SECRET, or log in with the Snyk CLI"
    )]
    NoCredential,
    /// A variable has a placeholder instead of a secret.
    #[error("{0} holds no usable value: {1}")]
    Placeholder(&'static str, Placeholder),
    /// One half of a credential is missing.
    #[error("{0} is set but {1} is not: OAuth client credentials need both")]
    HalfAClient(&'static str, &'static str),
    /// A credential cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// There is nothing to trust.
    #[error(transparent)]
    Trust(#[from] TransportError),
}

impl SettingsError {
    fn wrong(place: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::Wrong(place.into(), Text::new(&why.to_string()))
    }
}

/// The flags of one call.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// The flags that have keys in a file.
    pub(crate) flags: Layer,
    /// The names of the flags that were given.
    pub(crate) given: BTreeSet<String>,
}

/// All settings, checked, except which exports are meant.
#[derive(Debug)]
pub struct Settings {
    snyk: SnykValues,
    retry: RetryValues,
    download: DownloadValues,
    statuses: StatusesValues,
    log: LogValues,
    store: StoreValues,
    server: ServerValues,
    reload: ReloadValues,
    /// Paths of the user's file that cannot be used.
    unset: Vec<Unset>,
    /// The layers, the strongest first: flags, variables, the user's file, and the defaults.
    layers: [Layer; 4],
    places: Places,
    /// How the user's file looked before it was read.
    look: Option<Look>,
    /// The secrets of the environment, including unused ones, so that texts mask them.
    _held: Vec<Secret>,
}

impl Settings {
    /// Reads the layers and merges them.
    ///
    /// # Errors
    ///
    /// When a file or a variable is wrong.
    pub fn load(command_line: CommandLine, environment: Environment) -> Result<Self, SettingsError> {
        let (settings, mistakes) = Self::salvage(command_line, environment);
        mistakes.into_iter().next().map_or(Ok(settings), Err)
    }

    /// The settings as far as they can be used, and all that is wrong with the others, which count as unset.
    pub(crate) fn salvage(command_line: CommandLine, environment: Environment) -> (Self, Vec<SettingsError>) {
        let CommandLine { config, flags, given } = command_line;
        let held = environment.secrets(); // before the first error, whose text may repeat one
        let (variables, mut mistakes) = read_environment(&environment, &given);
        let path = config.or_else(|| environment.path("SNYK_EXPORT_CONFIG"));
        let read = path.map(|path| read_file(path, environment.pipes())).transpose();
        let (text, look) = usable(read, &mut mistakes).unzip();
        let file = text.as_ref().map(|(path, text)| parse_file(path, text)).transpose();
        let mut file = usable(file, &mut mistakes).unwrap_or_default();
        let mut defaults = usable(parse_file(Path::new("config/default.toml"), DEFAULTS), &mut mistakes);
        if [&flags, &variables, &file].iter().all(|layer| layer.snyk.api.is_none()) {
            defaults.snyk.api = usable(api::of_snyk_cli(&environment), &mut mistakes);
        }
        let places = Places { flags: given, environment, file: text };
        let unset = expand(&mut file, &places);
        let layers = [flags, variables, file, defaults];
        let all = || layers.iter();
        let settings = Self {
            snyk: resolve(all().map(|layer| layer.snyk.clone())),
            retry: resolve(all().map(|layer| layer.retry.clone())),
            download: resolve(all().map(|layer| layer.download.clone())),
            statuses: resolve(all().map(|layer| layer.statuses.clone())),
            log: resolve(all().map(|layer| layer.log.clone())),
            store: resolve(all().map(|layer| layer.store.clone())),
            server: resolve(all().map(|layer| layer.server.clone())),
            reload: resolve(all().map(|layer| layer.reload.clone())),
            unset,
            layers,
            _held: held,
            places,
            look,
        };
        (settings, mistakes)
    }

    /// The version of the API that the user has set, if any.
    #[must_use]
    pub fn api_version(&self) -> Option<String> {
        self.snyk.api_version.clone().map(|version| version.0)
    }

    /// The first credential that is found, and its place.
    ///
    /// # Errors
    ///
    /// When there is none, or when the first one cannot be used.
    pub fn credential_source(&self) -> Result<(Source, String), SettingsError> {
        let [flags, ..] = &self.layers;
        let flag = flags.snyk.token_file.as_deref();
        let found = credentials::source(flag, self.snyk.token_file.as_deref(), &self.places.environment)?;
        if let (Source::TokenFile(path), _) = &found {
            self.usable(path)?;
        }
        Ok(found)
    }

    /// How `wait`, `start`, `download` and `status` follow an export.
    ///
    /// # Errors
    ///
    /// When values contradict each other.
    pub fn policy(&self) -> Result<Policy, SettingsError> {
        self.policy_of(WAIT)
    }

    /// How `run` follows the export that it has just started, which may not be visible yet.
    ///
    /// # Errors
    ///
    /// When values contradict each other.
    pub fn policy_of_run(&self) -> Result<Policy, SettingsError> {
        self.policy_of(RUN)
    }

    /// The pace and the limits from these `sections` of all layers.
    fn following(&self, sections: Sections) -> (PaceValues, LimitsValues) {
        let of = |layer: &Layer| sections.iter().map(|section| layer.following(section)).collect::<Vec<_>>();
        let (paces, limits): (Vec<_>, Vec<_>) = self.layers.iter().flat_map(of).unzip();
        (resolve(paces), resolve(limits))
    }

    /// The policy from these `sections`.
    fn policy_of(&self, sections: Sections) -> Result<Policy, SettingsError> {
        let (pace, limits) = self.following(sections);
        let RetryValues { initial_interval, multiplier, max_interval } = self.retry;
        let retry = PaceValues { initial_interval, multiplier, max_interval, jitter: pace.jitter };
        let throttle = PaceValues { jitter: pace.jitter, ..THROTTLE };
        let vocabulary = self.vocabulary()?;
        Ok(Policy {
            pace: self.pace(&pace, sections)?,
            retry: self.pace(&retry, &["retry"])?,
            throttle: self.pace(&throttle, &["pace"])?,
            max_wait: unless_zero(limits.max_wait),
            max_outage: unless_zero(limits.max_outage),
            request_timeout: limits.request_timeout.0,
            not_found_grace: limits.not_found_grace.0,
            retry_conflict: limits.retry_conflict,
            unrecoverable_is_final: true,
            refusal: Refusal::EndsWatch,
            max_in_progress: self.max_in_progress(&limits, sections, &vocabulary)?,
            vocabulary,
        })
    }

    /// A pace from these `sections`; errors name it by the last one.
    fn pace(&self, values: &PaceValues, sections: Sections) -> Result<Pace, SettingsError> {
        let PaceValues { initial_interval, multiplier, max_interval, jitter } = values;
        let section = sections.last().copied().unwrap_or_default();
        let with_place = |duration, key| {
            // The flags and variables of these names are those of the main pace.
            let place = match section {
                "pace" => self.places.of(sections, key),
                _ => self.places.in_file(sections, key),
            };
            format!("{}, from {place}", humantime::format_duration(duration))
        };
        Pace::new(initial_interval.0, multiplier.0, max_interval.0, jitter.0).map_err(|error| {
            let why = if let PaceError::InitialAboveMax { initial, max } = error {
                let [initial, max] = [(initial, "initial-interval"), (max, "max-interval")]
                    .map(|(pause, key)| format!("{key} ({})", with_place(pause, key)));
                format!("{initial} is above {max}")
            } else {
                error.to_string()
            };
            SettingsError::Contradiction(Text::new(&format!("{why} in the settings of [{section}]")))
        })
    }

    fn vocabulary(&self) -> Result<Vocabulary, SettingsError> {
        let StatusesValues { in_progress_status, finished_status, failed_status } = &self.statuses;
        let mut vocabulary = Vocabulary::default();
        let taught = [
            (in_progress_status, Phase::InProgress),
            (finished_status, Phase::Finished),
            (failed_status, Phase::Failed),
        ];
        for (words, phase) in taught {
            let place = || self.places.of(&["statuses"], phase.option().trim_start_matches('-'));
            for word in words {
                let taught = vocabulary.teach(word.clone(), phase);
                taught.map_err(|error| SettingsError::wrong(place(), error))?;
            }
        }
        Ok(vocabulary)
    }

    fn max_in_progress(
        &self,
        limits: &LimitsValues,
        sections: Sections,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<(Status, Duration)>, SettingsError> {
        let place = || self.places.of(sections, "max-in-progress");
        let check = |limit: &StatusLimit| match vocabulary.phase(&limit.status) {
            Some(Phase::InProgress) => Ok((limit.status.clone(), limit.limit)),
            _ => {
                let why = format!(
                    "`{}` is not a status in progress; allowed are PENDING, STARTED and the words of --in-progress-status",
                    limit.status
                );
                Err(SettingsError::wrong(place(), why))
            }
        };
        limits.max_in_progress.iter().map(check).collect()
    }

    /// The directory for state: the one that systemd made, else the user's, else the volume of the container.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        let environment = self.environment();
        let of_unit = environment
            .get("STATE_DIRECTORY")
            .and_then(|list| list.trim().split(':').next())
            .map(PathBuf::from);
        let of_user = || {
            let state = environment.path("XDG_STATE_HOME");
            let home = || environment.path("HOME").map(|home| home.join(".local/state"));
            state.or_else(home).map(|state| state.join("snyk-export"))
        };
        of_unit.or_else(of_user).unwrap_or_else(|| PathBuf::from("/var/lib/snyk-export"))
    }

    /// How large a download may be, and how slow.
    #[must_use]
    pub fn download_limits(&self) -> Limits {
        let DownloadValues { max_size, patience } = &self.download;
        Limits { max_size: Some(max_size.0).filter(|size| *size > 0), patience: patience.0 }
    }

    /// How many polls may be in flight at once.
    #[must_use]
    pub fn concurrency(&self) -> NonZeroUsize {
        let (_, limits) = self.following(WAIT);
        limits.concurrency
    }

    /// How log lines are written, and whether text is colored.
    #[must_use]
    pub const fn log(&self) -> (LogFormat, Color) {
        (self.log.log_format, self.log.color)
    }

    /// Variables that look like ours and are not, each with the name that it may be meant to have.
    #[must_use]
    pub fn unknown_variables(&self) -> Vec<(String, Option<String>)> {
        unknown_variables(self.environment())
    }

    /// The environment.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.places.environment
    }
}

/// What was read, or nothing if it is wrong.
fn usable<T: Default>(read: Result<T, SettingsError>, mistakes: &mut Vec<SettingsError>) -> T {
    read.unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        T::default()
    })
}

fn unless_zero(HumanDuration(duration): HumanDuration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests;
