//! One entry of the settings file, and what can be wrong with it.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::secret::{Placeholder, Secret};
use crate::secret_file;
use crate::settings::SettingsError;
use crate::settings::places::{Places, Step};
use crate::snyk::credentials::CredentialError;
use crate::snyk::region::Api;
use crate::text::Text;

/// What is wrong with an entry of the settings file. Each message says what is allowed, or how to put it right.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A key that cannot be done without.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Neither or both of two keys.
    #[error("it needs either `{0}` or `{1}`")]
    EitherOr(&'static str, &'static str),
    /// A key of another kind of endpoint.
    #[error("`{0}` is not for an endpoint of kind \"{1}\"")]
    NotForKind(&'static str, &'static str),
    /// The same name twice.
    #[error("there is another endpoint called `{}`: each needs a name of its own", Text::of_wrong_value(.0))]
    SameName(String),
    /// The same watch twice.
    #[error(
        "the account `{account}` follows this export already, by the entry at {first}: remove one of them"
    )]
    SameWatch {
        /// The account.
        account: String,
        /// Where it was first.
        first: String,
    },
    /// An account that there is not.
    #[error("there is no account `{}`: the settings have {known}", Text::of_wrong_value(wanted))]
    UnknownAccount {
        /// The name.
        wanted: String,
        /// The names that there are.
        known: String,
    },
    /// A watch of the default account, which has no credential.
    #[error(
        "it is of the account `default`, which has no credential: name another one as its `account`, or set \
         SNYK_TOKEN, SNYK_TOKEN_FILE or the token-file of [snyk]"
    )]
    NoDefaultAccount,
    /// The default account under a name.
    #[error("`default` is the name of the account of [snyk] itself: give this one another")]
    DefaultIsTaken,
    /// An account without a credential.
    #[error(
        "it has no credential: give `token-file`, or `client-id` and `client-secret-file`; a named account takes \
         none from the environment"
    )]
    NoCredential,
    /// An account with two credentials.
    #[error("it has two credentials: give either `token-file`, or `client-id` and `client-secret-file`")]
    TwoCredentials,
    /// A credential that cannot be used.
    #[error("{}", with_cause(.0))]
    Credential(CredentialError),
    /// An account that would send its credential for all to read.
    #[error(
        "{0} is plain http and not on this machine: use https, or `allow-http` in [snyk] if nobody else can listen"
    )]
    PlainHttp(Api),
    /// A file that cannot be read.
    #[error("failed to read {}: {why}", Text::of_path(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A file with nothing in it.
    #[error("{} is empty", Text::of_path(.0))]
    Empty(PathBuf),
    /// Something that nobody replaced by a secret, in a file or under a key.
    #[error("{0} holds no usable value: {1}")]
    Placeholder(String, Placeholder),
    /// A server that others can reach, and that lets everybody in.
    #[error(
        "listen = \"{0}\" can be reached from other machines: [server] needs a `token-file` then, or listen on \
         loopback, such as 127.0.0.1:8686"
    )]
    OpenToAll(std::net::SocketAddr),
    /// A token that could be guessed, or not be sent.
    #[error(
        "the token in {} must have {least} characters or more, without blanks, and so must each where there are several, one a line: `openssl rand -hex 32` makes one",
        Text::of_path(path)
    )]
    WeakToken {
        /// The file.
        path: PathBuf,
        /// How long it must be.
        least: usize,
    },
    /// An address to which nothing can be sent.
    #[error("{0}")]
    Address(String),
    /// The address of a Slack webhook, for all to read.
    #[error(
        "the address of a Slack webhook is a secret, which plain http would show to all on the way: use https, or \
         `allow-http` in [snyk] if nobody else can listen"
    )]
    PlainSlack,
    /// An endpoint that would never be told anything.
    #[error("`on` is empty: leave it out to be told of every outcome")]
    NeverTold,
    /// A key for signatures that is none.
    #[error("{}: {why}", Text::of_path(path))]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A command that is not there.
    #[error("`{0}` cannot be run: it is no executable file here or in PATH")]
    NoCommand(Text),
    /// A name that no variable has.
    #[error(
        "`{0}` is no name of a variable: give names alone, such as \"DATABASE_URL\"; their values are taken from the environment"
    )]
    NoVariable(Text),
    /// A variable that a command must not have.
    #[error("`{0}` may hold a credential for Snyk, which no command gets: leave it out")]
    CredentialForCommand(String),
    /// A label that would not be taken from the API either.
    #[error(
        "a watch takes {} labels at most, with names of 1 to {} and values of up to {} characters, none of them a \
         control or a direction character, one that nobody sees, or a secret",
        super::watches::MOST_LABELS,
        super::watches::LONGEST_LABEL_NAME,
        super::watches::LONGEST_LABEL
    )]
    Labels,
    /// An endpoint that cannot be set up for another reason.
    #[error("{0}")]
    Endpoint(String),
}

/// A credential's trouble with what the system says of it.
fn with_cause(error: &CredentialError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// One entry of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    places: &'a Places,
    steps: &'a [Step<'a>],
    title: &'a str,
}

impl<'a> Entry<'a> {
    /// The entry at the end of `steps`, called `title`.
    pub(super) const fn new(places: &'a Places, steps: &'a [Step<'a>], title: &'a str) -> Self {
        Self { places, steps, title }
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        self.places.of_entry(self.steps, self.title)
    }

    /// The entry as a whole is wrong.
    pub(super) fn error(&self, why: EntryError) -> SettingsError {
        SettingsError::Entry(self.place(), why)
    }

    /// Where one of its keys is.
    pub(super) fn place_of(&self, key: &str) -> String {
        let steps: Vec<Step<'_>> = self.steps.iter().copied().chain([Step::Key(key)]).collect();
        self.places.of_entry(&steps, key)
    }

    /// One of its keys is wrong. The place is looked for only then.
    pub(super) fn at(self, key: &str) -> impl FnOnce(EntryError) -> SettingsError + use<'a, '_> {
        move |why| SettingsError::Entry(self.place_of(key), why)
    }
}

/// Reads a secret from a file, without the white space around it.
pub(super) fn read_secret(path: &Path) -> Result<Secret, EntryError> {
    let unreadable =
        |error: std::io::Error| EntryError::Unreadable { path: path.to_owned(), why: error.to_string() };
    let text = Secret::new(disk::read_text(path).map_err(unreadable)?);
    secret_file::warn_if_open(path);
    let trimmed = text.expose().trim_start_matches('\u{feff}').trim();
    if trimmed.is_empty() {
        return Err(EntryError::Empty(path.to_owned()));
    }
    match Placeholder::of(trimmed) {
        Some(placeholder) => Err(EntryError::Placeholder(Text::of_path(path).to_string(), placeholder)),
        None => Ok(Secret::new(trimmed)),
    }
}
