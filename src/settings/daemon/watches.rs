//! `[[watch]]`: the exports to follow from the start.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use super::sections::WatchSection;
use crate::export::{ExportRef, Scope};
use crate::settings::places::Step;
use crate::settings::{Settings, SettingsError};
use crate::watch::{DEFAULT_ACCOUNT, NewWatch, labels};

/// All watches, each once, in the order of the file. Their accounts are not checked here.
pub(super) fn all(settings: &Settings) -> Result<Vec<NewWatch>, SettingsError> {
    let mut watches = Vec::new();
    let mut seen: BTreeMap<(Arc<str>, ExportRef), usize> = BTreeMap::new();
    for (index, section) in settings.layers.iter().flat_map(|layer| &layer.watch).enumerate() {
        let watch = watch(section).map_err(|why| error(settings, index, why))?;
        let key = (Arc::clone(&watch.account), watch.export);
        if let Some(first) = seen.insert(key, index) {
            let why = format!(
                "the account `{}` follows this export already, by the entry at {}: remove one of them",
                watch.account,
                place(settings, first)
            );
            return Err(error(settings, index, why));
        }
        watches.push(watch);
    }
    Ok(watches)
}

/// The watch at `index` is wrong.
pub(super) fn error(settings: &Settings, index: usize, why: impl Display) -> SettingsError {
    SettingsError::wrong(place(settings, index), why)
}

fn place(settings: &Settings, index: usize) -> String {
    settings.places.of_entry(&[Step::Key("watch"), Step::Index(index)], "[[watch]]")
}

fn watch(section: &WatchSection) -> Result<NewWatch, String> {
    let (scope, scope_id) = match (section.group_id, section.org_id) {
        (Some(id), None) => (Scope::Group, id.0),
        (None, Some(id)) => (Scope::Org, id.0),
        (None, None) | (Some(_), Some(_)) => {
            return Err("it needs either `group-id` or `org-id`".to_owned());
        }
    };
    let export_id = section.export_id.ok_or("`export-id` is missing")?.0;
    labels::check(&section.labels).map_err(|error| error.to_string())?;
    let account =
        section.account.as_ref().map_or_else(|| Arc::from(DEFAULT_ACCOUNT), |name| Arc::clone(&name.0));
    Ok(NewWatch { account, export: ExportRef { scope, scope_id, export_id }, labels: section.labels.clone() })
}
