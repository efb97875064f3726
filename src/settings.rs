//! Settings: what flags, variables, a file and `config/default.toml` say, in this order, checked once.
//!
//! There is no search for a file: only `--config` and `SNYK_EXPORT_CONFIG` name one, so that nothing that lies
//! about in a checkout can send a token elsewhere. Only this module reads the environment.

mod api;
mod credentials;
pub mod daemon;
mod defaults;
mod duration;
mod environment;
pub mod exports;
pub(crate) mod layers;
mod mistake;
mod network;
pub(crate) mod places;
mod sources;
pub(crate) mod values;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::api::{ChosenApi, ConfiguredApi};
pub use self::daemon::{AccountSettings, DaemonSettings, ServerSettings};
pub use self::environment::Environment;
pub use self::exports::ExportsError;
pub use self::mistake::Mistake;
pub use self::values::{Color, LogFormat};

use self::credentials::TokenFiles;
use self::daemon::{EntryError, Layers};
use self::layers::{
    DownloadLayer, File, Flags, Following, LimitsLayer, LogLayer, PaceLayer, RetryLayer, SnykLayer,
};
use self::places::Places;
pub(crate) use self::sources::variable;
use self::sources::{parse_file, read_environment, read_file};
use self::values::{HumanDuration, Multiplier, Pause, StatusLimit};
use crate::download::Limits;
use crate::export::{AmbiguousStatus, Phase, Status, Vocabulary};
use crate::http::TransportError;
use crate::secret::{Placeholder, Secret};
use crate::snyk::credentials::{CredentialError, Source};
use crate::snyk::region::Api;
use crate::text::Text;
use crate::watch::Policy;
use crate::watch::pace::{Pace, PaceError};

/// The lowest layer, and the reference for users.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The pauses after a 429 that says nothing of how long to stay away: Snyk's limit lasts until a minute is over.
const THROTTLE: (Duration, f64, Duration) = (Duration::from_secs(5), 2.0, Duration::from_secs(60));

/// Variables that hold a secret.
const SECRET_VARIABLES: [&str; 4] = ["SNYK_TOKEN", "SNYK_OAUTH_TOKEN", "SNYK_CFG_API", "SNYK_CLIENT_SECRET"];

/// Settings that cannot be used. Each message names the input and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The settings file cannot be read.
    #[error("failed to read the settings file {}", Text::of_path(.0))]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The settings file is wrong.
    #[error("{0}")]
    File(Mistake),
    /// A variable is wrong.
    #[error("{0}: {1}")]
    Variable(String, Text),
    /// The first delay of a pace is longer than the longest.
    #[error("initial-interval ({initial}) is above max-interval ({max}) in the settings of [{section}]")]
    InitialAboveMax {
        /// The section.
        section: &'static str,
        /// The first delay, and where it comes from.
        initial: String,
        /// The longest delay, and where it comes from.
        max: String,
    },
    /// A pace that cannot be kept for another reason.
    #[error("the settings of [{0}]: {1}")]
    Pace(&'static str, PaceError),
    /// A status word would mean two things.
    #[error("{0}: {1}")]
    Statuses(String, AmbiguousStatus),
    /// A limit on a status that no export can stay in.
    #[error(
        "{0}: `{1}` is no status in progress; it takes PENDING, STARTED and what --in-progress-status teaches"
    )]
    NotInProgress(String, Text),
    /// A credential would go over the wire for all to read.
    #[error(
        "{1}: {0} is plain http and not on this machine: use https, or --allow-http if nobody else can listen"
    )]
    PlainHttp(Api, String),
    /// There is no credential.
    #[error(
        "no credential: set SNYK_TOKEN, or --token-file, SNYK_TOKEN_FILE, SNYK_OAUTH_TOKEN, SNYK_CLIENT_ID and \
             SNYK_CLIENT_SECRET, or log in with the Snyk CLI"
    )]
    NoCredential,
    /// A variable holds something that nobody replaced by a secret.
    #[error("{0} holds no usable value: {1}")]
    Placeholder(&'static str, Placeholder),
    /// One half of a credential is missing.
    #[error("{0} is set but {1} is not: OAuth client credentials need both")]
    HalfAClient(&'static str, &'static str),
    /// A credential cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A CA file cannot be used.
    #[error("{place}: failed to read CA certificates from {}: {why}", Text::of_path(path))]
    CaCert {
        /// Where the file is named.
        place: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is nothing to trust.
    #[error(transparent)]
    Trust(#[from] TransportError),
    /// An entry of the file is wrong.
    #[error("{0}: {1}")]
    Entry(String, EntryError),
}

/// What the flags of one call say.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// The flags that have keys in a file.
    pub(crate) flags: Flags,
    /// The names of the flags that were given.
    pub(crate) given: BTreeSet<String>,
}

/// All settings, checked, except those of one export.
#[derive(Debug)]
pub struct Settings {
    /// What holds for all commands, and the pace and the limits of `wait`.
    layers: Flags,
    /// The pace and the limits of `run`.
    run: Following,
    retry: RetryLayer,
    concurrency: NonZeroUsize,
    token_files: TokenFiles,
    daemon: Layers,
    places: Places,
    /// The secrets of the environment, those that are not used too: no text shows them.
    _held: Vec<Secret>,
}

impl Settings {
    /// Reads the layers and puts them together.
    ///
    /// # Errors
    ///
    /// When a file or a variable is wrong.
    pub fn load(command_line: CommandLine, environment: Environment) -> Result<Self, SettingsError> {
        let from_environment = read_environment(&environment, &command_line.given)?;
        let path = command_line.config.or_else(|| environment.get("SNYK_EXPORT_CONFIG").map(PathBuf::from));
        let text = path.map(read_file).transpose()?;
        let file =
            text.as_ref().map_or_else(|| Ok(File::default()), |(path, text)| parse_file(path, text))?;
        let defaults = parse_file(Path::new("config/default.toml"), DEFAULTS)?;

        let Flags { snyk, pace, limits, download, statuses, log } = command_line.flags;
        let token_files = TokenFiles {
            from_flag: snyk.token_file.clone(),
            from_settings_file: file.snyk.token_file.clone(),
        };
        let mut said = SnykLayer::or(snyk.or(from_environment.snyk), file.snyk);
        if said.api.is_none() {
            said.api = api::of_snyk_cli(&environment)?;
        }
        let typed = Following { pace, limits }
            .or(Following { pace: from_environment.pace, limits: from_environment.limits });
        let in_file = Following { pace: file.pace, limits: file.limits };
        let by_default = Following { pace: defaults.pace, limits: defaults.limits };
        let wait = typed.clone().or(file.wait.clone()).or(in_file.clone());
        let run = typed.clone().or(file.run).or(file.wait).or(in_file.clone());
        // A daemon knows no [wait], which would win over [limits] and [pace] here.
        let of_daemon = typed.or(in_file);
        let daemon = Layers {
            max_outage_is_set: of_daemon.limits.max_outage.is_some(),
            following: of_daemon.or(by_default.clone()),
            store: file.store.or(defaults.store),
            server: file.server.or(defaults.server),
            watches: file.watch,
            endpoints: file.notify,
        };
        let Following { pace, limits } = wait.or(defaults.wait.clone()).or(by_default.clone());
        let held = SECRET_VARIABLES.iter().filter_map(|name| environment.get(name)).map(Secret::new);
        Ok(Self {
            _held: held.collect(),
            daemon,
            run: run.or(defaults.run).or(defaults.wait).or(by_default),
            retry: file.retry.or(defaults.retry),
            concurrency: limits.concurrency.unwrap_or(NonZeroUsize::MIN),
            layers: Flags {
                snyk: said.or(defaults.snyk),
                pace,
                limits,
                download: download.or(from_environment.download).or(file.download).or(defaults.download),
                statuses: statuses.or(from_environment.statuses).or(file.statuses).or(defaults.statuses),
                log: log.or(from_environment.log).or(file.log).or(defaults.log),
            },
            token_files,
            places: Places { flags: command_line.given, environment, file: text },
        })
    }

    /// The version of the API that the user has set, if any.
    #[must_use]
    pub fn api_version(&self) -> Option<String> {
        self.layers.snyk.api_version.clone().map(|version| version.0)
    }

    /// The first credential that is found, and where it was.
    ///
    /// # Errors
    ///
    /// When there is none, or when the first one cannot be used.
    pub fn credential_source(&self) -> Result<(Source, String), SettingsError> {
        credentials::source(&self.token_files, &self.places.environment)
    }

    /// What the user wants of a watch.
    ///
    /// # Errors
    ///
    /// When values contradict each other.
    pub fn policy(&self) -> Result<Policy, SettingsError> {
        let Flags { pace, limits, .. } = &self.layers;
        self.policy_of(pace, limits, &["wait", "limits", "pace"])
    }

    /// The policy with the pace and the limits that `sections` of the file have said.
    fn policy_of(
        &self,
        pace: &PaceLayer,
        limits: &LimitsLayer,
        sections: &'static [&'static str],
    ) -> Result<Policy, SettingsError> {
        let RetryLayer { initial_interval, multiplier, max_interval } = self.retry;
        let retry = PaceLayer { initial_interval, multiplier, max_interval, jitter: pace.jitter };
        let (initial, growth, max) = THROTTLE;
        let [initial_interval, max_interval] = [initial, max].map(|pause| Some(Pause(pause)));
        let multiplier = Some(Multiplier(growth));
        let throttle = PaceLayer { initial_interval, multiplier, max_interval, jitter: pace.jitter };
        let vocabulary = self.vocabulary()?;
        Ok(Policy {
            pace: self.pace(pace, sections)?,
            retry: self.pace(&retry, &["retry"])?,
            throttle: self.pace(&throttle, &["pace"])?,
            max_wait: unless_zero(limits.max_wait),
            max_outage: unless_zero(limits.max_outage),
            request_timeout: limits.request_timeout.map_or(Duration::MAX, |timeout| timeout.0),
            not_found_grace: unless_zero(limits.not_found_grace).unwrap_or_default(),
            retry_conflict: limits.retry_conflict.unwrap_or_default(),
            unrecoverable_is_final: true,
            unauthorized_is_final: true,
            max_in_progress: self.max_in_progress(limits, sections, &vocabulary)?,
            vocabulary,
        })
    }

    /// A pace that `sections` of the file have said, the last of which it is named after.
    fn pace(&self, layer: &PaceLayer, sections: &[&'static str]) -> Result<Pace, SettingsError> {
        let PaceLayer { initial_interval, multiplier, max_interval, jitter } = layer;
        let [initial, max] =
            [initial_interval, max_interval].map(|pause| pause.map_or(Duration::ZERO, |pause| pause.0));
        let jitter = jitter.map_or(0.0, |share| share.0);
        let section = sections.last().copied().unwrap_or_default();
        let with_place = |duration, key| {
            // The flags and variables of these names are those of the main pace.
            let place = match section {
                "pace" => self.places.of(sections, key),
                _ => self.places.in_file(sections, key),
            };
            format!("{}, from {place}", humantime::format_duration(duration))
        };
        Pace::new(initial, multiplier.map_or(1.0, |value| value.0), max, jitter).map_err(
            |error| match error {
                PaceError::InitialAboveMax { initial, max } => SettingsError::InitialAboveMax {
                    section,
                    initial: with_place(initial, "initial-interval"),
                    max: with_place(max, "max-interval"),
                },
                error @ (PaceError::Nothing | PaceError::Multiplier(_) | PaceError::Jitter(_)) => {
                    SettingsError::Pace(section, error)
                }
            },
        )
    }

    fn vocabulary(&self) -> Result<Vocabulary, SettingsError> {
        let statuses = &self.layers.statuses;
        let mut vocabulary = Vocabulary::default();
        let taught = [
            (&statuses.in_progress_status, Phase::InProgress),
            (&statuses.finished_status, Phase::Finished),
            (&statuses.failed_status, Phase::Failed),
        ];
        for (words, phase) in taught {
            let place = || self.places.of(&["statuses"], phase.option().trim_start_matches('-'));
            for word in words.iter().flatten() {
                let taught = vocabulary.teach(word.clone(), phase);
                taught.map_err(|error| SettingsError::Statuses(place(), error))?;
            }
        }
        Ok(vocabulary)
    }

    fn max_in_progress(
        &self,
        limits: &LimitsLayer,
        sections: &[&str],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<(Status, Duration)>, SettingsError> {
        let place = || self.places.of(sections, "max-in-progress");
        let check = |limit: &StatusLimit| match vocabulary.phase(&limit.status) {
            Some(Phase::InProgress) => Ok((limit.status.clone(), limit.limit)),
            _ => Err(SettingsError::NotInProgress(place(), Text::new(limit.status.as_str()))),
        };
        limits.max_in_progress.iter().flatten().map(check).collect()
    }

    /// What the user wants of an export that this very command has started, which may not be visible yet.
    ///
    /// # Errors
    ///
    /// When values contradict each other.
    pub fn policy_of_run(&self) -> Result<Policy, SettingsError> {
        let Following { pace, limits } = &self.run;
        self.policy_of(pace, limits, &["run", "wait", "limits", "pace"])
    }

    /// Where state is kept: in the directory that systemd made, in the user's, or in the one that the container has as
    /// its volume.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        let environment = self.environment();
        let of_unit =
            environment.get("STATE_DIRECTORY").and_then(|list| list.split(':').next()).map(PathBuf::from);
        let of_user = || {
            let state = environment.get("XDG_STATE_HOME").map(PathBuf::from);
            let home = || environment.get("HOME").map(|home| PathBuf::from(home).join(".local/state"));
            state.or_else(home).map(|state| state.join("snyk-export"))
        };
        of_unit.or_else(of_user).unwrap_or_else(|| PathBuf::from("/var/lib/snyk-export"))
    }

    /// How much is downloaded, and how slowly.
    #[must_use]
    pub fn download_limits(&self) -> Limits {
        let DownloadLayer { max_size, patience } = &self.layers.download;
        Limits {
            max_size: max_size.map(|size| size.0).filter(|size| *size > 0),
            patience: patience.map_or(Duration::MAX, |patience| patience.0),
        }
    }

    /// How many polls may be under way at once.
    #[must_use]
    pub const fn concurrency(&self) -> NonZeroUsize {
        self.concurrency
    }

    /// How log lines are written, and whether text is colored.
    #[must_use]
    pub fn log(&self) -> (LogFormat, Color) {
        let LogLayer { log_format, color } = &self.layers.log;
        (log_format.unwrap_or(LogFormat::Auto), color.unwrap_or(Color::Auto))
    }

    /// The variables that CI systems set.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.places.environment
    }
}

fn unless_zero(duration: Option<HumanDuration>) -> Option<Duration> {
    duration.map(|duration| duration.0).filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests;
