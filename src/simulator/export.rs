//! The exports that a simulator has, and the course that each of them takes.

use std::time::Duration;

use super::csv::Table;
use super::files::Files;
use super::route::Scope;
use super::scenario::Scenario;
use super::start_request::StartRequest;

/// One export. Its status is computed from its age when it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Export {
    pub(super) scope: Scope,
    /// When it was started, on the simulator's timeline.
    pub(super) created: Duration,
    pub(super) table: Table,
    /// How long its download links work.
    pub(super) url_expiration: Duration,
    /// How many status polls it had.
    pub(super) polls: u32,
    /// Whether a scripted answer showed it as finished: then it stays finished.
    pub(super) shown_finished: bool,
    /// The announced size of each file, once it was asked for.
    announced_sizes: Option<Vec<Option<u64>>>,
}

impl Export {
    pub(super) fn new(scope: Scope, request: StartRequest, scenario: &Scenario, at: Duration) -> Export {
        Export {
            scope,
            created: at,
            table: Table::new(request.columns, scenario.rows, scenario.parts),
            url_expiration: request.url_expiration.unwrap_or(scenario.url_expiration),
            polls: 0,
            shown_finished: false,
            announced_sizes: None,
        }
    }

    /// The status word at a moment.
    pub(super) fn status<'a>(&self, scenario: &'a Scenario, at: Duration) -> &'a str {
        let age = at.saturating_sub(self.created);
        if self.shown_finished {
            "FINISHED"
        } else if age < scenario.pending {
            "PENDING"
        } else if age < scenario.pending.saturating_add(scenario.started) {
            "STARTED"
        } else {
            &scenario.ends_as
        }
    }

    /// When it ends or ended, on the simulator's timeline.
    pub(super) fn ends(&self, scenario: &Scenario) -> Duration {
        self.created.saturating_add(scenario.pending).saturating_add(scenario.started)
    }

    /// The announced size of each file. The first call renders all files.
    pub(super) fn announced_sizes(&mut self, scenario: &Scenario, files: &Files) -> &[Option<u64>] {
        let table = &self.table;
        self.announced_sizes.get_or_insert_with(|| {
            let stored =
                (0..table.parts()).filter_map(|part| files.part(table, part, scenario.storage_encoding));
            stored.map(|file| file.announced_size(scenario.file_size, scenario.file_size_error)).collect()
        })
    }
}

/// Whether a status word means that there are results.
pub(super) fn is_finished(status: &str) -> bool {
    status.trim().eq_ignore_ascii_case("FINISHED")
}
