//! The environment: read once, at the start, and only here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::disk::Pipes;
use crate::secret::Secret;
use crate::text::Text;

/// Where to search for programs if `PATH` is unset.
const DEFAULT_PATH: &str = "/usr/bin:/bin";

/// The variables that may hold a secret: those of this program, of Snyk's own CLI, and of scripts around exports. Their values
/// are masked wherever text is shown, and no command of `[[notify]]` gets them.
pub(super) const SECRET_VARIABLES: [&str; 9] = [
    "SNYK_TOKEN",
    "SNYK_OAUTH_TOKEN",
    "SNYK_CLIENT_SECRET",
    "SNYK_API_TOKEN",
    "SNYK_CFG_API",
    "SNYK_DOCKER_TOKEN",
    "SNYK_CFG_INTERNAL_OAUTH_TOKEN_STORAGE",
    "INTERNAL_OAUTH_TOKEN_STORAGE",
    "SNYK_EXPORT_PING",
];

/// The variables of this process. An empty variable counts as unset, because CI systems pass unset variables that way.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>, Pipes);

impl Environment {
    /// Whether the locale has UTF-8, so that a terminal shows more than ASCII. Without a locale it is taken to have it.
    #[must_use]
    pub fn has_unicode(&self) -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| self.get(name));
        let utf8 = |locale: &str| locale.to_ascii_lowercase().replace('-', "").contains("utf8");
        locale.is_none_or(utf8)
    }

    /// The current variables. Variables that are not Unicode are left out; none of ours are.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
    pub fn read() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Only the variables about output, for commands that send no requests: the others may be wrong.
    #[must_use]
    pub fn of_speech(&self) -> Self {
        const NAMES: [&str; 13] = [
            "TERM",
            "NO_COLOR",
            "FORCE_COLOR",
            "CLICOLOR_FORCE",
            "CI",
            "GITHUB_ACTIONS",
            "LC_ALL",
            "LC_CTYPE",
            "LANG",
            "TZ",
            "SNYK_EXPORT_COLOR",
            "SNYK_EXPORT_LOG_FORMAT",
            "SNYK_EXPORT_ALLOW_HTTP",
        ];
        let named = self.0.iter().filter(|(name, _)| NAMES.contains(&name.as_str()));
        named.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The value of `name`, unless it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// What this process has read from pipes.
    pub(super) const fn pipes(&self) -> &Pipes {
        &self.1
    }

    /// The names of all variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The path in `name`, without the white space around it, such as the carriage return of a file with Windows line ends.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(|path| PathBuf::from(path.trim()))
    }

    /// The secrets among the variables. Texts are masked as long as these are kept.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        SECRET_VARIABLES.iter().filter_map(|name| self.get(name)).map(Secret::new).collect()
    }

    /// A path with the values of its variables: `${NAME}` is one, and `$${` stands for `${` itself.
    ///
    /// # Errors
    ///
    /// When a variable is not set, may hold a secret, or has no end.
    pub fn expanded(&self, path: &Path) -> Result<PathBuf, String> {
        let Some(mut rest) = path.to_str().filter(|text| text.contains("${")) else {
            return Ok(path.to_owned());
        };
        let mut whole = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                whole.extend([before, "${"]);
                rest = after;
                continue;
            }
            let no_end = "a `${` without `}`: the form is `${NAME}`; `$${` stands for `${`";
            let (name, end) = after.split_once('}').ok_or(no_end)?;
            whole.extend([before, self.value_in_path(name)?]);
            rest = end;
        }
        whole.push_str(rest);
        Ok(whole.into())
    }

    fn value_in_path(&self, name: &str) -> Result<&str, String> {
        let shown = Text::of_wrong_value(name);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!(
                "`${{{shown}}}` is not a variable: its name has letters, digits and `_`; `$${{` stands for `${{`"
            ));
        }
        if SECRET_VARIABLES.contains(&name) {
            return Err(format!("the variable `{shown}` may hold a secret: a path has none"));
        }
        self.get(name).map(str::trim).ok_or_else(|| {
            format!("the variable `{shown}` is not set: set it, or write the path without it; `$${{` stands for `${{`")
        })
    }

    /// Whether a CI system runs this: its log is not a screen on which a line can be redrawn.
    #[must_use]
    pub fn is_ci(&self) -> bool {
        ["CI", "GITHUB_ACTIONS"].into_iter().any(|name| self.get(name).is_some_and(|value| value != "false"))
    }

    /// The time zone of this machine; UTC if it is not known.
    #[must_use]
    pub fn time_zone(&self) -> TimeZone {
        let named = self.get("TZ").map(|name| name.trim_start_matches(':').to_owned());
        let linked = || {
            let path = std::fs::read_link("/etc/localtime").ok()?.into_os_string().into_string().ok()?;
            path.split_once("zoneinfo/").map(|(_, name)| name.to_owned())
        };
        let name = named.or_else(linked);
        name.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC)
    }

    /// The executable file that a command names: at its path, or else in `PATH`.
    #[must_use]
    pub fn executable(&self, name: &OsStr) -> Option<PathBuf> {
        if name.as_encoded_bytes().contains(&b'/') {
            return Some(PathBuf::from(name)).filter(|path| is_executable(path));
        }
        let directories = std::env::split_paths(self.get("PATH").unwrap_or(DEFAULT_PATH));
        // An empty entry means the working directory.
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
        Self(variables.into_iter().collect(), Pipes::default())
    }
}

/// Shows only names: values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_paths_have_their_values() {
        let variables = [("CREDENTIALS_DIRECTORY", "/run/credentials/x "), ("A_1", "a"), ("EMPTY", "")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment: Environment = variables.into_iter().collect();
        let rows = [
            ("${CREDENTIALS_DIRECTORY}/token", "/run/credentials/x/token"),
            ("/${A_1}/${A_1}b", "/a/ab"),
            ("/a$b/$c}", "/a$b/$c}"),
            ("/$${A_1}/${A_1}", "/${A_1}/a"),
            ("$$${A_1}", "$${A_1}"),
            ("/plain", "/plain"),
        ];
        for (path, whole) in rows {
            assert_eq!(environment.expanded(Path::new(path)), Ok(whole.into()), "{path}");
        }
        let wrong = [
            ("${MISSING}/x", "`MISSING` is not set"),
            ("/${EMPTY}", "`EMPTY` is not set"),
            ("/${A_1", "without `}`"),
            ("/${}", "is not a variable"),
            ("/${A-1}", "`${A-1}` is not a variable"),
            ("/${SNYK_TOKEN}", "may hold a secret"),
        ];
        for (path, why) in wrong {
            let error = environment.expanded(Path::new(path)).unwrap_err();
            assert!(error.contains(why) && !error.contains("{{"), "{path}: {error}");
        }
    }
}
