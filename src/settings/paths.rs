//! The paths in a settings file: `${VARIABLE}` in them, and which files the daemon watches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::layers::Layer;
use super::places::{Places, Step};
use super::{Settings, SettingsError};
use crate::disk::Look;
use crate::snyk::credentials::Source;

/// A path with a variable that is not set, and the error about it.
#[derive(Debug)]
pub(super) struct Unset {
    path: PathBuf,
    place: String,
    why: String,
}

impl Settings {
    /// The files to watch, so that the daemon reloads its settings when they change: the settings file, as it looked before it
    /// was read, and those that it names, as they look now. There are none with `[reload] watch-files = false`.
    pub(crate) fn looks(&self) -> BTreeMap<PathBuf, Look> {
        if !self.reload.watch_files {
            return BTreeMap::new();
        }
        let [_, _, file, _] = &self.layers;
        let mut file = file.clone();
        let named = paths(&mut file).into_iter().map(|(_, path)| path.clone());
        let own = self.places.file.iter().map(|(path, _)| path.clone()).zip(self.look);
        let token = match self.credential_source() {
            Ok((Source::TokenFile(path), _)) => Some(path),
            _ => None,
        };
        let seen = named.chain(token).map(|path| (path.clone(), Look::at(&path)));
        // If a path is both, the earlier look counts.
        seen.chain(own).collect()
    }

    /// Whether the settings file is a pipe, which is not read a second time.
    pub(crate) fn are_read_once(&self) -> bool {
        self.look == Some(Look::NotAFile)
    }

    /// Checks that the variables in a path of the settings file are set.
    pub(super) fn usable(&self, path: &Path) -> Result<(), SettingsError> {
        self.unset.iter().find(|unset| unset.path == path).map_or(Ok(()), |unset| Err(unset.error()))
    }

    /// Checks that the variables in all paths of the settings file are set.
    pub(super) fn all_usable(&self) -> Result<(), SettingsError> {
        self.unset.first().map_or(Ok(()), |unset| Err(unset.error()))
    }
}

impl Unset {
    fn error(&self) -> SettingsError {
        SettingsError::wrong(self.place.clone(), &self.why)
    }
}

/// Puts the values of variables into the paths of a file. Returns the paths that cannot be used: a command may not need them.
pub(super) fn expand(file: &mut Layer, places: &Places) -> Vec<Unset> {
    let mut unset = Vec::new();
    let mut expand = |steps: &[Step<'_>], path: &mut PathBuf| match places.environment.expanded(path) {
        Ok(expanded) => *path = expanded,
        Err(why) => {
            let Some(Step::Key(key)) = steps.last() else { return };
            unset.push(Unset { path: path.clone(), place: places.of_entry(steps, key), why });
        }
    };
    if let Some(url) = &mut file.store.url {
        expand(&[Step::Key("store"), Step::Key("url")], &mut url.0);
    }
    paths(file).into_iter().for_each(|(steps, path)| expand(&steps, path));
    unset
}

/// The paths of all files that a settings file names, with the keys that lead to them.
fn paths(file: &mut Layer) -> Vec<(Vec<Step<'_>>, &mut PathBuf)> {
    let Layer { snyk, report, server, notify, .. } = file;
    let mut all = Vec::new();
    let mut take = |steps: Vec<_>, keys: Vec<(&'static str, _)>| {
        for (key, path) in keys {
            let path: &mut Option<PathBuf> = path;
            let steps = steps.iter().copied().chain([Step::Key(key)]).collect();
            all.extend(path.as_mut().map(|path| (steps, path)));
        }
    };
    take(vec![Step::Key("snyk")], vec![("token-file", &mut snyk.token_file), ("ca-cert", &mut snyk.ca_cert)]);
    for (name, account) in snyk.accounts.iter_mut().flatten() {
        take(vec![Step::Key("snyk"), Step::Key("accounts"), Step::Key(&name.0)], account.paths());
    }
    take(vec![Step::Key("report")], vec![("ping-file", &mut report.ping_file)]);
    take(vec![Step::Key("server")], vec![("token-file", &mut server.token_file)]);
    for (index, endpoint) in notify.iter_mut().enumerate() {
        take(vec![Step::Key("notify"), Step::Index(index)], endpoint.paths());
    }
    all
}
