//! Which version of the API is used.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::transport::Reply;
use crate::text::Text;
use crate::watch::observation::FailureKind;

/// The version of the API that is used unless the user sets another: the one in Snyk's documentation.
pub const DEFAULT_VERSION: &str = "2024-05-10~experimental";

/// The generally available version, which is used if the default one is gone.
pub const GA_VERSION: &str = "2024-10-15";

/// Versions whose deprecation was reported. Once in a process is enough, however many clients use them.
static WARNED_OF: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The version that all requests of a client use.
#[derive(Debug)]
pub(crate) struct Version(Mutex<InUse>);

#[derive(Debug)]
struct InUse {
    text: String,
    /// Whether the GA version may replace it. A good answer does not change this: the default version may go at any time.
    is_default: bool,
    /// Whether the last answer says that it is deprecated or has a last day.
    is_deprecated: bool,
}

impl InUse {
    const fn new(text: String, is_default: bool) -> Self {
        Self { text, is_default, is_deprecated: false }
    }
}

impl Version {
    /// The version that the user set, or the default one.
    pub(crate) fn new(set: Option<String>) -> Self {
        let is_default = set.is_none();
        let text = set.unwrap_or_else(|| DEFAULT_VERSION.to_owned());
        Self(Mutex::new(InUse::new(text, is_default)))
    }

    /// Asks in the version in use. If the default version returns 404 or 410, asks once in the GA version. If that also
    /// returns 404 or 410, the first answer stands; any other answer counts, and the GA version is used from then on.
    pub(crate) async fn ask<E, F>(&self, send: impl Fn(String) -> F) -> Result<Reply, E>
    where
        F: Future<Output = Result<Reply, E>>,
    {
        let (version, is_default) = self.current();
        let first = send(version).await?;
        if !is_default || !is_missing(&first) {
            return Ok(first);
        }
        let second = send(GA_VERSION.to_owned()).await?;
        if is_missing(&second) {
            return Ok(first);
        }
        self.keep_ga(&first);
        Ok(second)
    }

    fn in_use(&self) -> MutexGuard<'_, InUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version, and whether the GA version may replace it.
    fn current(&self) -> (String, bool) {
        let in_use = self.in_use();
        (in_use.text.clone(), in_use.is_default)
    }

    /// Whether Snyk says that it is deprecated or has a last day.
    pub(super) fn is_deprecated(&self) -> bool {
        self.in_use().is_deprecated
    }

    /// Switches to the GA version, and logs it once. `first` is the answer in the default version.
    fn keep_ga(&self, first: &Reply) {
        let mut in_use = self.in_use();
        if !in_use.is_default {
            return;
        }
        let gone = std::mem::replace(&mut *in_use, InUse::new(GA_VERSION.to_owned(), false)).text;
        drop(in_use);
        tracing::warn!(
            http.response.status_code = first.http_status,
            snyk.version_requested = %gone,
            snyk.version_kept = GA_VERSION,
            "the default API version is gone, keeping to the GA version",
        );
    }

    /// Notes whether the version is deprecated, and logs a warning once. Only a good answer says that it is not.
    pub(super) fn note_deprecation(&self, reply: &Reply) {
        let [deprecation, sunset] = [&super::DEPRECATION, &super::SUNSET].map(|name| reply.header(name));
        let is_deprecated = deprecation.is_some() || sunset.is_some();
        if !is_deprecated && !(200..300).contains(&reply.http_status) {
            return;
        }
        let mut in_use = self.in_use();
        in_use.is_deprecated = is_deprecated;
        let mut warned_of = WARNED_OF.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_deprecated || !warned_of.insert(in_use.text.clone()) {
            return;
        }
        drop((in_use, warned_of));
        let said = |text: Option<Text>| text.map_or_else(|| "not said".to_owned(), |text| text.to_string());
        tracing::warn!(
            snyk.version = reply.header(&super::VERSION_SERVED).map(|text| text.to_string()),
            snyk.deprecation = %said(deprecation),
            snyk.sunset = %said(sunset),
            "the API version is deprecated",
        );
    }
}

fn is_missing(reply: &Reply) -> bool {
    FailureKind::of_http_status(reply.http_status) == FailureKind::NotFound
}
