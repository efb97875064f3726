//! Unfinished runs of other calls for the same group or organization, such as a crontab line before it was edited.
//! Their state files have other names, so nothing continues them.

use std::path::{Path, PathBuf};

use super::job::go_on;
use super::keeper::{Keeper, lock_of, read};
use super::record::Record;
use super::{Place, Run, SAFETY};
use crate::commands::start::now;
use crate::disk;
use crate::text::{Text, path_as_data};
use crate::words::quoted;

/// The name of a state file.
const PREFIX: &str = "run-";
const SUFFIX: &str = ".json";

/// The name of the state file for a call with this digest.
pub(super) fn name(digest: &str) -> String {
    format!("{PREFIX}{digest}{SUFFIX}")
}

/// The state files in a directory without `own`, sorted.
fn others(directory: &Path, own: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_other = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PREFIX) && name.ends_with(SUFFIX) && path != own
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_other).collect();
    paths.sort();
    paths
}

impl Run<'_> {
    /// Reports unfinished runs of other calls for the same group or organization, with the command that continues each.
    /// They are not continued here, since the other call may still be in a crontab. Expired records are removed.
    pub(super) fn tell_of_others(&self, wanted: &Record) {
        let directory = disk::absolute(&self.session.settings.state_directory());
        for path in others(&directory, self.keeper.path()) {
            if disk::is_locked(&lock_of(&path)) {
                continue;
            }
            let records = read(&path).unwrap_or_default().into_iter();
            for record in records.filter(|record| record.scope == wanted.scope) {
                if record.is_expired(now(self.session.clock)) {
                    self.forget_other(&path, &record);
                } else {
                    self.tell_of_other(&path, &record, record.asks_for_the_same(wanted));
                }
            }
        }
    }

    fn forget_other(&self, path: &Path, record: &Record) {
        let keeper = Keeper::open_at_once(path.to_owned(), self.session.clock);
        // If it cannot be removed, the next run tries again.
        if keeper.is_ok_and(|mut keeper| keeper.forget(record).is_ok()) {
            tracing::warn!(
                path = %Text::of_file(path),
                run.date = record.date,
                export.id = record.export.map(|export| tracing::field::display(export.export_id)),
                "what another call has left is given up: Snyk keeps no export for longer than three days"
            );
        }
    }

    fn tell_of_other(&self, path: &Path, record: &Record, is_the_same: bool) {
        let place = Place::new(record.dir.clone(), record.merge.clone(), false, SAFETY);
        let hint = record.export.map_or_else(
            || {
                format!(
                    "whether there is an export is unknown; to remove the record: rm {}",
                    quoted(path_as_data(path))
                )
            },
            |export| {
                // Another API is in the record. The rest of this call reaches Snyk in the same way.
                let is_here = record.api == self.asking.surroundings.api;
                let api = (!is_here).then(|| ("api".to_owned(), Some(record.api.clone())));
                let left_out: &[&str] = if is_here { &["output"] } else { &["output", "api"] };
                let command = go_on(&place, Some(path), self.session).of_another_call(left_out).with(api);
                format!("to go on with it: {}", command.command(export, None))
            },
        );
        let id = record.export.map(|export| tracing::field::display(export.export_id));
        let (path, date) = (Text::of_file(path), &record.date);
        if is_the_same {
            // An error, so that `--quiet` shows it too.
            tracing::error!(
                %path,
                run.date = date,
                export.id = id,
                hint,
                "another call has left an export of the very same, and this one starts another"
            );
        } else {
            tracing::warn!(
                %path,
                run.date = date,
                export.id = id,
                hint,
                "another call has left an export of the same group or organization"
            );
        }
    }
}
