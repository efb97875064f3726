//! The environment: read once, at the start, and only here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where programs are looked for if nothing says where.
const DEFAULT_PATH: &str = "/usr/bin:/bin";

/// The variables of this process. An empty variable is an unset one, since that is how CI systems hand on what
/// was never set.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables as they are now. What is not Unicode can be none of ours and is left out.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
    pub fn read() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Only what says how to speak, for commands that ask nobody: the rest may be wrong and not matter.
    #[must_use]
    pub fn of_speech(&self) -> Self {
        const NAMES: [&str; 5] =
            ["TERM", "NO_COLOR", "SNYK_EXPORT_COLOR", "SNYK_EXPORT_LOG_FORMAT", "SNYK_EXPORT_ALLOW_HTTP"];
        let named = self.0.iter().filter(|(name, _)| NAMES.contains(&name.as_str()));
        named.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The value of `name`, unless it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// The file that a command names: at its path, or else in `PATH`.
    #[must_use]
    pub fn executable(&self, name: &OsStr) -> Option<PathBuf> {
        if name.as_encoded_bytes().contains(&b'/') {
            return Some(PathBuf::from(name)).filter(|path| is_executable(path));
        }
        let directories = std::env::split_paths(self.get("PATH").unwrap_or(DEFAULT_PATH));
        // An empty entry is the working directory.
        let directories = directories.map(|directory| match directory.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => directory,
        });
        directories.map(|directory| directory.join(name)).find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Values may be secrets; the names are not.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
