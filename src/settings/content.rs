//! What a settings file has, so that a reload refuses one that lost it all: it may be half written.

use crate::settings::{Settings, SettingsError};
use crate::text::Text;

/// How much a settings file has.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    /// Whether it has no keys.
    is_empty: bool,
    accounts: usize,
    endpoints: usize,
    watches: usize,
}

impl Settings {
    /// How much the settings file has; nothing if there is none.
    #[must_use]
    pub fn content(&self) -> Content {
        let [_, _, file, _] = &self.layers;
        let text = self.places.file.as_ref().map(|(_, text)| text.as_str()).unwrap_or_default();
        let says_nothing = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
        let named = file.snyk.accounts.as_ref().map_or(0, std::collections::BTreeMap::len);
        Content {
            is_empty: text.trim_start_matches('\u{feff}').lines().all(says_nothing),
            accounts: named + usize::from(file.snyk.token_file.is_some()),
            endpoints: file.notify.len(),
            watches: file.watch.len(),
        }
    }

    /// Checks that a reload of these settings does not remove every account, endpoint or watch of the file.
    ///
    /// # Errors
    ///
    /// When it does. The message says what to do.
    pub fn keep_some_of(&self, before: Content) -> Result<(), SettingsError> {
        let Some((path, _)) = &self.places.file else { return Ok(()) };
        let (path, now) = (Text::of_path(path), self.content());
        if now.is_empty && !before.is_empty {
            return Err(SettingsError::Lost(Text::new(&format!(
                "{path} is empty: write it again and reload, or restart the daemon if it is meant to be empty"
            ))));
        }
        let lost = [
            ("account", before.accounts, now.accounts),
            ("endpoint", before.endpoints, now.endpoints),
            ("watch", before.watches, now.watches),
        ];
        let lost = lost.into_iter().filter(|(_, before, now)| *before > 0 && *now == 0);
        let lost: Vec<_> = lost.map(|(what, before, _)| format!("every {what} ({before})")).collect();
        match lost.is_empty() {
            true => Ok(()),
            false => Err(SettingsError::Lost(Text::new(&format!(
                "{path} removes {}: put one back and reload, or restart the daemon to remove them all",
                lost.join(", ")
            )))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use crate::settings::{CommandLine, Environment, Settings};

    fn settings(text: &str) -> Settings {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let line = CommandLine { config: Some(file.path().to_owned()), ..CommandLine::default() };
        Settings::load(line, Environment::default()).unwrap()
    }

    #[test]
    fn a_reload_does_not_lose_every_account_endpoint_or_watch() {
        const ALL: &str =
            "[snyk.accounts.a]\n[[notify]]\nname = 'n'\n[[watch]]\n[[watch]]\n[pace]\njitter = 0\n";
        let rows = [
            (ALL, ALL, ""),
            (ALL, "", "is empty: write it again"),
            (ALL, " \n# nothing\n", "is empty"),
            (ALL, "[pace]\njitter = 0\n", "every account (1), every endpoint (1), every watch (2): put"),
            (ALL, "[snyk.accounts.b]\n[[notify]]\n", "removes every watch (2):"),
            (ALL, "[snyk]\ntoken-file = 'x'\n[[notify]]\n[[watch]]\n", ""),
            ("[snyk]\ntoken-file = 'x'\n", "[snyk]\napi = 'eu'\n", "removes every account (1):"),
            ("[pace]\njitter = 0\n", "", "is empty"),
            ("", "", ""),
            ("# nothing", "[[watch]]\n", ""),
        ];
        for (before, now, why) in rows {
            let kept = settings(now).keep_some_of(settings(before).content());
            match kept {
                Ok(()) => assert_eq!(why, "", "{before:?} → {now:?}"),
                Err(error) => {
                    assert!(
                        !why.is_empty() && error.to_string().contains(why),
                        "{before:?} → {now:?}: {error}"
                    );
                }
            }
        }
    }
}
