//! The exports that a simulator has, and the course that each of them takes.

use std::time::Duration;

use super::csv::Table;
use super::route::Scope;
use super::scenario::Scenario;
use super::start_request::StartRequest;

/// One export. It has no state but its age: its status is computed when someone asks.
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
    /// A scripted answer showed it as finished: its normal course must not fall behind that.
    pub(super) shown_finished: bool,
    /// The sizes of its files in bytes, once somebody needed them.
    file_sizes: Option<Vec<u64>>,
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
            file_sizes: None,
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

    /// The size of each file in bytes. The first call renders them all.
    pub(super) fn file_sizes(&mut self) -> &[u64] {
        let table = &self.table;
        self.file_sizes.get_or_insert_with(|| {
            let rows = (0..table.parts()).filter_map(|part| table.part(part));
            rows.map(|rows| table.render(rows).len() as u64).collect()
        })
    }
}

/// Whether a status word means that there are results.
pub(super) fn is_finished(status: &str) -> bool {
    status.trim().eq_ignore_ascii_case("FINISHED")
}
