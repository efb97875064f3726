//! An export that has been started, brought to its end: waited for, and its files brought home.

use std::path::{Path, PathBuf};

use super::typed;
use crate::cli::OutputArgs;
use crate::commands::download::{Lost, Place, bring, sync, tell_brought, tell_lost, with_links};
use crate::commands::start::policy_of_requests;
use crate::commands::wait::{Finished, Telling, follow};
use crate::commands::{Asking, CommandError, Session};
use crate::document::Document;
use crate::download::Folder;
use crate::event::Ending;
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::manifest::Manifest;
use crate::observe::{Transfer, quoted, sentence};
use crate::watch::outcome::{Outcome, Signal};

/// What is left to do of a run.
pub(super) struct Job {
    pub(super) export: ExportRef,
    pub(super) place: Place,
    /// Where the run is recorded.
    pub(super) state: Option<PathBuf>,
    pub(super) output: OutputArgs,
}

/// How a run ended.
pub(super) struct Verdict {
    pub(super) code: ExitCode,
    /// Whether nothing is left to go on with.
    pub(super) is_over: bool,
    /// Whether it ended for a reason that is none of the export's, such as a signal or a credential.
    pub(super) may_be_better_soon: bool,
    /// The export, where its files are there.
    pub(super) finished: Option<Finished>,
}

impl Verdict {
    fn of_success(finished: Finished) -> Self {
        let (code, may_be_better_soon) = (ExitCode::SUCCESS, false);
        Self { code, is_over: true, may_be_better_soon, finished: Some(finished) }
    }

    /// A run without files, whose outcome says whether there will ever be any.
    pub(super) fn of_failure(code: ExitCode, outcome: Option<Outcome>) -> Self {
        let is_over = matches!(outcome, Some(Outcome::Failed | Outcome::NotFound));
        let may_be_better_soon = matches!(
            outcome,
            Some(Outcome::Interrupted(_) | Outcome::Unauthorized | Outcome::Forbidden | Outcome::Unavailable)
        );
        Self { code, is_over, may_be_better_soon, finished: None }
    }
}

impl Job {
    /// Waits for the export and brings its files home, and tells of it.
    pub(super) async fn finish(
        self,
        mut asking: Asking,
        session: &mut Session,
    ) -> Result<Verdict, CommandError> {
        asking.exports = vec![self.export];
        asking.surroundings.go_on = Some(self.go_on(session));
        let Place { dir, merge, force } = &self.place;
        if let Some(manifest) = Folder::done(dir, merge.as_deref(), &self.export)? {
            return self.tell_done(manifest, session);
        }
        Folder::check(dir, merge.as_deref(), &self.export, *force)?;
        let endings = follow(&asking, false, self.output, Telling::WordsOfFinished, session).await?;
        let Some(ending) = endings.into_iter().next() else {
            unreachable!("each export that is followed comes to an end");
        };
        if ending.outcome == Outcome::Finished {
            return self.fetch(ending, asking, session).await;
        }
        session.console.annotate(&sentence(&ending));
        session.console.actions.hand_on(&ending, std::slice::from_ref(&ending));
        let code = ExitCode::of(ending.outcome).unwrap_or(ExitCode::UNFORESEEN);
        Ok(Verdict::of_failure(code, Some(ending.outcome)))
    }

    async fn fetch(
        &self,
        mut ending: Ending,
        asking: Asking,
        session: &mut Session,
    ) -> Result<Verdict, CommandError> {
        let asking = asking.with_policy(policy_of_requests(asking.policy.clone()));
        let transfer = Transfer::new(session.clock, session.console.line.clone());
        let report = with_links(ending.report.take(), &self.export, &asking, &transfer, session).await;
        let (brought, is_of_api) = match report {
            Ok(report) => {
                let brought = bring(&self.export, &report, &self.place, &asking, &transfer, session).await?;
                ending.report = Some(report);
                (brought, false)
            }
            Err(lost) => (Err(lost), true),
        };
        let brought = match brought {
            // The record is forgotten for good after this, and so the files have to be there for good.
            Ok(manifest) => sync(&self.export, &self.place, &manifest).await.map(|()| manifest),
            Err(lost) => Err(lost),
        };
        session.console.line.clear();
        let document = Document::of_ending(&ending, self.output.show_urls);
        let verdict = match brought {
            Ok(manifest) => {
                tell_brought(manifest, document, &self.place, &transfer, self.output.output, session)?;
                let finished = Finished { export: self.export, row_count: ending.row_count() };
                Verdict::of_success(finished)
            }
            Err(lost) => {
                let advice = lost.advice.or_else(|| Some(format!("to go on: {}", self.go_on(session))));
                let lost = Lost { advice, ..lost };
                tell_lost(&lost, document, &self.export, self.output.output, session)?;
                let is_signal = matches!(lost.outcome, Some(Outcome::Interrupted(_)));
                if let Some(outcome) = lost.outcome {
                    ending.outcome = outcome;
                }
                let (may_be_better_soon, finished) = (is_signal || is_of_api, None);
                Verdict { code: lost.code, is_over: false, may_be_better_soon, finished }
            }
        };
        session.console.actions.hand_on(&ending, std::slice::from_ref(&ending));
        Ok(verdict)
    }

    /// An earlier call had done all but to forget the run.
    fn tell_done(&self, manifest: Manifest, session: &Session) -> Result<Verdict, CommandError> {
        let transfer = Transfer::new(session.clock, session.console.line.clone());
        let finished = Finished { export: self.export, row_count: manifest.row_count };
        let document = Document::of(&self.export).finished();
        tell_brought(manifest, document, &self.place, &transfer, self.output.output, session)?;
        session.console.actions.hand_on_values(&[
            ("outcome", Outcome::Finished.to_string()),
            ("export-id", self.export.export_id.to_string()),
            ("row-count", finished.row_count.map(|count| count.to_string()).unwrap_or_default()),
        ]);
        Ok(Verdict::of_success(finished))
    }

    /// A signal came when the export had just been started.
    pub(super) fn tell_interruption(
        self,
        signal: Signal,
        session: &Session,
    ) -> Result<Verdict, CommandError> {
        let words = format!("{} came when {} had been started", signal.name(), self.export);
        let advice = Some(format!("to go on: {}", self.go_on(session)));
        let lost = Lost { advice, ..Lost::of_signal(signal, words) };
        let code = tell_lost(&lost, Document::of(&self.export), &self.export, self.output.output, session)?;
        Ok(Verdict::of_failure(code, lost.outcome))
    }

    /// The command that goes on where this one stops.
    fn go_on(&self, session: &Session) -> String {
        let state = |path: &Path| format!(" --state {}", quoted(&path.display().to_string()));
        let state = self.state.as_deref().map(state).unwrap_or_default();
        let typed = typed::kept(&session.args);
        format!("snyk-export run --resume {} {}{state}{typed}", self.export, self.place.options())
    }
}
