//! `[[watch]]`: the exports to follow from the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::DEFAULT_ACCOUNT;
use super::entry::EntryError;
use super::sections::WatchSection;
use crate::export::{ExportRef, Scope};
use crate::settings::places::Step;
use crate::settings::{Settings, SettingsError};
use crate::text::{has_our_secret, is_plain};
use crate::watch::NewWatch;

/// How many labels a watch takes.
pub(super) const MOST_LABELS: usize = 32;

/// The longest name of a label, in characters.
pub(super) const LONGEST_LABEL_NAME: usize = 64;

/// The longest label, in characters.
pub(super) const LONGEST_LABEL: usize = 256;

/// All watches, each once, in the order of the file. Whether their accounts exist is another question.
pub(super) fn all(settings: &Settings) -> Result<Vec<NewWatch>, SettingsError> {
    let mut watches = Vec::new();
    let mut seen: BTreeMap<(Arc<str>, ExportRef), usize> = BTreeMap::new();
    for (index, section) in settings.daemon.watches.iter().enumerate() {
        let watch = watch(section).map_err(|why| error(settings, index, why))?;
        let key = (Arc::clone(&watch.account), watch.export);
        if let Some(first) = seen.insert(key, index) {
            let (account, first) = (watch.account.to_string(), place(settings, first));
            return Err(error(settings, index, EntryError::SameWatch { account, first }));
        }
        watches.push(watch);
    }
    Ok(watches)
}

/// The watch at `index` is wrong.
pub(super) fn error(settings: &Settings, index: usize, why: EntryError) -> SettingsError {
    SettingsError::Entry(place(settings, index), why)
}

fn place(settings: &Settings, index: usize) -> String {
    settings.places.of_entry(&[Step::Key("watch"), Step::Index(index)], "[[watch]]")
}

fn watch(section: &WatchSection) -> Result<NewWatch, EntryError> {
    let (scope, scope_id) = match (section.group_id, section.org_id) {
        (Some(id), None) => (Scope::Group, id.0),
        (None, Some(id)) => (Scope::Org, id.0),
        (None, None) | (Some(_), Some(_)) => return Err(EntryError::EitherOr("group-id", "org-id")),
    };
    let export_id = section.export_id.ok_or(EntryError::Missing("export-id"))?.0;
    let fits = |(name, value): (&String, &String)| {
        (1..=LONGEST_LABEL_NAME).contains(&name.chars().count())
            && value.chars().count() <= LONGEST_LABEL
            && [name, value].into_iter().all(|text| is_plain(text) && !has_our_secret(text))
    };
    if section.labels.len() > MOST_LABELS || !section.labels.iter().all(fits) {
        return Err(EntryError::Labels);
    }
    let account =
        section.account.as_ref().map_or_else(|| Arc::from(DEFAULT_ACCOUNT), |name| Arc::clone(&name.0));
    Ok(NewWatch { account, export: ExportRef { scope, scope_id, export_id }, labels: section.labels.clone() })
}
