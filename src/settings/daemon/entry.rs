//! One entry of the settings file and its place, for errors about it.

use std::fmt::Display;
use std::path::Path;

use crate::disk::Pipes;
use crate::secret::{Placeholder, Secret};
use crate::secret_file;
use crate::settings::SettingsError;
use crate::settings::places::{Places, Step};
use crate::text::Text;

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

    /// Its place.
    pub(super) fn place(&self) -> String {
        self.places.of_entry(self.steps, self.title)
    }

    /// The place of one of its keys.
    pub(super) fn place_of(&self, key: &str) -> String {
        let steps: Vec<Step<'_>> = self.steps.iter().copied().chain([Step::Key(key)]).collect();
        self.places.of_entry(&steps, key)
    }

    /// What was read from pipes.
    pub(super) const fn pipes(&self) -> &'a Pipes {
        self.places.environment.pipes()
    }

    /// An error about the whole entry. The message says what is allowed, or how to fix it.
    pub(super) fn error(&self, why: impl Display) -> SettingsError {
        SettingsError::wrong(self.place(), why)
    }

    /// An error about a missing key.
    pub(super) fn lacks(&self, key: &str) -> SettingsError {
        self.error(format!("`{key}` is missing"))
    }

    /// An error about one of its keys.
    pub(super) fn at<E: Display>(self, key: &str) -> impl FnOnce(E) -> SettingsError + use<'a, '_, E> {
        move |why| SettingsError::wrong(self.place_of(key), why)
    }
}

/// Reads a secret from a file, without the white space around it. Warns if every user can read it.
pub(super) fn read_secret(path: &Path, entry: Entry<'_>) -> Result<Secret, String> {
    secret_file::warn_if_open(path);
    secret_in(path, entry.pipes())
}

/// The secret in a file, without the white space around it.
pub(in crate::settings) fn secret_in(path: &Path, pipes: &Pipes) -> Result<Secret, String> {
    let name = Text::of_path(path);
    let text = pipes.read(path).map_err(|error| format!("failed to read {name}: {error}"))?;
    let text = Secret::new(text.as_str());
    let trimmed = text.expose().trim_start_matches('\u{feff}').trim();
    if trimmed.is_empty() {
        return Err(format!("{name} is empty"));
    }
    match Placeholder::of(trimmed) {
        Some(placeholder) => Err(unusable(&name, placeholder)),
        None => Ok(Secret::new(trimmed)),
    }
}

/// Describes a placeholder instead of a secret, in a file or a key.
pub(super) fn unusable(place: impl Display, placeholder: Placeholder) -> String {
    format!("{place} holds no usable value: {placeholder}")
}
