//! Unfinished runs of earlier days: they are completed before the run of this day, or given up. The run of this day
//! takes place in any case.

use std::time::Duration;

use super::job::Verdict;
use super::record::{Record, RecordError};
use super::{Run, unsure};
use crate::commands::files::Prospect;
use crate::commands::start::now;
use crate::commands::{Asking, CommandError};
use crate::export::ExportRef;
use crate::text::path_as_data;
use crate::watch::Policy;

/// The longest outage for a run of an earlier day. The run of this day has its full `max-outage`.
const MAX_OUTAGE: Duration = Duration::from_secs(10 * 60);

/// The hint after a start of an earlier day that may have created an export.
const GIVEN_UP: &str = "that day is given up: if you need its export, start it again with dates such as --introduced-from 2025-01-31";

/// The prospect of a record that may have expired: Snyk keeps exports for three days.
fn unless_expired(prospect: Prospect, is_expired: bool) -> Prospect {
    if is_expired && prospect == Prospect::Later { Prospect::Doubtful } else { prospect }
}

/// The prospect after an error about the run of an earlier day; `None` if the error is about this call.
fn prospect_of(error: &CommandError) -> Option<Prospect> {
    if let CommandError::Folder(error) = error {
        return Some(if error.is_of_what_is_there() { Prospect::Doubtful } else { Prospect::Later });
    }
    let is_of_record = matches!(error, CommandError::Record(RecordError::OtherApi { .. }));
    is_of_record.then_some(Prospect::Later)
}

impl Run<'_> {
    /// Completes a run of an earlier day if possible. A failure is reported and does not stop the run of this day; only
    /// a signal does.
    pub(super) async fn conclude(&mut self, left: &Record) -> Result<Verdict, CommandError> {
        let max_outage = self.asking.policy.max_outage.map_or(MAX_OUTAGE, |most| most.min(MAX_OUTAGE));
        let policy = Policy { max_outage: Some(max_outage), ..self.asking.policy.clone() };
        let asking = Asking { policy, ..self.asking.clone() };
        let verdict = match self.try_to_conclude(left, asking).await {
            Ok(verdict) => verdict,
            Err(error) => match prospect_of(&error) {
                Some(prospect) => {
                    self.session.console.error(&error, None, error.exit_code());
                    Verdict::of_failure(error.exit_code(), prospect)
                }
                None => return Err(error),
            },
        };
        self.settle(left, verdict.prospect)?;
        Ok(verdict)
    }

    async fn try_to_conclude(&mut self, left: &Record, asking: Asking) -> Result<Verdict, CommandError> {
        self.keeper.check_api(left, &self.asking.surroundings.api)?;
        match left.export {
            Some(_) => self.go_on(left, asking).await,
            None => self.tell_no_start(&unsure(left), GIVEN_UP, &left.request()),
        }
    }

    /// Keeps or removes the record of an earlier day, and says so.
    fn settle(&mut self, left: &Record, prospect: Prospect) -> Result<(), RecordError> {
        let (date, is_expired) = (&left.date, left.is_expired(now(self.session.clock)));
        let id = left.export.map(|export| tracing::field::display(export.export_id));
        match unless_expired(prospect, is_expired) {
            // Nothing is left to do, or the next call does it.
            Prospect::Over | Prospect::Stopped => Ok(()),
            Prospect::Later => {
                tracing::warn!(
                    run.date = date,
                    export.id = id,
                    "the run of an earlier day is not at its end, and the next run tries again: for three days at most"
                );
                Ok(())
            }
            Prospect::Doubtful => {
                let command = |export: ExportRef| {
                    let dir = ("dir".to_owned(), Some(path_as_data(&left.dir)));
                    let command = self.session.go_on("download").with([dir]).command(export, None);
                    format!("its files are available for three days: {command}")
                };
                let reason = if is_expired {
                    "it is older than three days, and Snyk keeps no export longer"
                } else {
                    "trying again would not help"
                };
                tracing::error!(
                    run.date = date,
                    export.id = id,
                    reason,
                    hint = left.export.filter(|_| !is_expired).map(command),
                    "the run of an earlier day is given up"
                );
                self.keeper.forget(left)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::download::FolderError;
    use crate::text::Text;
    use crate::watch::outcome::{Outcome, Signal};

    /// For each outcome, what happens to the record: before it has expired, and after.
    #[test]
    fn only_a_signal_stops_the_run_of_this_day() {
        use Prospect::{Doubtful as GivenUp, Later as Kept, Over as Forgotten, Stopped};
        let rows = [
            (Outcome::Failed, Forgotten, Forgotten),
            (Outcome::NotFound, Forgotten, Forgotten),
            (Outcome::Unauthorized, Kept, GivenUp),
            (Outcome::Forbidden, Kept, GivenUp),
            (Outcome::Unavailable, Kept, GivenUp),
            (Outcome::Conflict, GivenUp, GivenUp),
            (Outcome::Rejected, GivenUp, GivenUp),
            (Outcome::UnknownStatus, GivenUp, GivenUp),
            (Outcome::Stalled, GivenUp, GivenUp),
            (Outcome::TimedOut, GivenUp, GivenUp),
            (Outcome::Abandoned, GivenUp, GivenUp),
            (Outcome::Interrupted(Signal::Hangup), Stopped, Stopped),
            (Outcome::Interrupted(Signal::Interrupt), Stopped, Stopped),
            (Outcome::Interrupted(Signal::Terminate), Stopped, Stopped),
        ];
        for (outcome, fresh, expired) in rows {
            let prospect = Prospect::of(outcome);
            assert_eq!(
                (unless_expired(prospect, false), unless_expired(prospect, true)),
                (fresh, expired),
                "{outcome:?}"
            );
        }
        assert_eq!(unless_expired(Prospect::Over, true), Forgotten, "its files are there");
    }

    #[test]
    fn a_problem_with_an_earlier_days_place_does_not_end_the_call() {
        let (path, source) = (PathBuf::new(), || io::Error::other("x"));
        let doubtful = [
            FolderError::Taken(path.clone()),
            FolderError::NoFile(path.clone()),
            FolderError::Clash(path.clone()),
            FolderError::OtherMerge { dir: path.clone(), merged: None },
        ];
        for error in doubtful.map(CommandError::Folder) {
            assert_eq!(prospect_of(&error), Some(Prospect::Doubtful), "{error:?}");
        }
        let other_api =
            RecordError::OtherApi { path: path.clone(), theirs: Text::new(""), ours: String::new() };
        let later = [
            FolderError::Unusable { option: "--dir", path: path.clone(), source: source() }.into(),
            FolderError::Busy(path.clone()).into(),
            other_api.into(),
        ];
        for error in later {
            assert_eq!(prospect_of(&error), Some(Prospect::Later), "{error:?}");
        }
        let ours = [
            CommandError::Output(source()),
            CommandError::Interrupted(Signal::Terminate),
            RecordError::Lost { path: path.clone(), source: source() }.into(),
            RecordError::Unwritable { path, source: source() }.into(),
        ];
        for error in ours {
            assert_eq!(prospect_of(&error), None, "{error:?}");
        }
    }
}
