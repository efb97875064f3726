//! An export that has been started, brought to its end: waited for, and its files brought home.

use std::path::PathBuf;

use crate::cli::OutputArgs;
use crate::commands::download::{Lost, Place, bring, tell_brought, tell_lost_as, with_links};
use crate::commands::start::policy_of_requests;
use crate::commands::wait::{Telling, follow};
use crate::commands::{Asking, CommandError, Session};
use crate::document::Document;
use crate::download::Folder;
use crate::event::Ending;
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::manifest::Manifest;
use crate::observe::{Transfer, quoted, sentence};
use crate::watch::observation::Problem;
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
    pub(super) outcome: Option<Outcome>,
    /// Whether nothing is left to go on with.
    pub(super) is_over: bool,
    /// The end of the export, where it was waited for.
    pub(super) ending: Option<Ending>,
}

impl Job {
    /// Waits for the export and brings its files home, and tells of it.
    pub(super) async fn finish(
        self,
        mut asking: Asking,
        session: &mut Session,
    ) -> Result<Verdict, CommandError> {
        asking.exports = vec![self.export];
        asking.surroundings.go_on = Some(self.go_on());
        if let Some(manifest) = Folder::done(&self.place.dir, &self.export) {
            return self.tell_done(manifest, session);
        }
        let Place { dir, merge, force } = &self.place;
        Folder::check(dir, merge.as_deref(), &self.export, *force)?;
        let endings = follow(&asking, false, self.output, Telling::WordsOfFinished, session).await?;
        let Some(ending) = endings.into_iter().next() else {
            return Err(CommandError::Usage("there is no export to follow".to_owned()));
        };
        if ending.outcome == Outcome::Finished {
            return self.fetch(ending, asking, session).await;
        }
        session.console.annotate(&sentence(&ending));
        session.console.actions.hand_on(&ending, std::slice::from_ref(&ending));
        let code = ExitCode::of(ending.outcome).unwrap_or(ExitCode::UNFORESEEN);
        let is_over = matches!(ending.outcome, Outcome::Failed | Outcome::NotFound);
        Ok(Verdict { code, outcome: Some(ending.outcome), is_over, ending: Some(ending) })
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
        let brought = match report {
            Ok(report) => {
                let brought = bring(&self.export, &report, &self.place, &asking, &transfer, session).await?;
                ending.report = Some(report);
                brought
            }
            Err(lost) => Err(lost),
        };
        session.console.line.clear();
        let show_urls = self.output.show_urls;
        let verdict = match brought {
            Ok(manifest) => {
                let document = Document::of_ending(&ending, show_urls);
                tell_brought(manifest, document, &self.place, &transfer, self.output.output, session)?;
                Verdict {
                    code: ExitCode::SUCCESS,
                    outcome: Some(Outcome::Finished),
                    is_over: true,
                    ending: None,
                }
            }
            Err(lost) => {
                let advice = lost.advice.or_else(|| Some(format!("to go on: {}", self.go_on())));
                let lost = Lost { advice, ..lost };
                let document = Document::of_ending(&ending, show_urls);
                let document = document.without_download(lost.outcome, lost.code, &lost.problem);
                tell_lost_as(&lost, document, &self.export, self.output.output, session)?;
                Verdict { code: lost.code, outcome: lost.outcome, is_over: false, ending: None }
            }
        };
        if let Some(outcome) = verdict.outcome {
            ending.outcome = outcome;
            session.console.actions.hand_on(&ending, std::slice::from_ref(&ending));
        }
        Ok(Verdict { ending: Some(ending), ..verdict })
    }

    /// An earlier call had done all but to forget the run.
    fn tell_done(&self, manifest: Manifest, session: &Session) -> Result<Verdict, CommandError> {
        let transfer = Transfer::new(session.clock, session.console.line.clone());
        let document = Document::of_done(&self.export, manifest.row_count);
        tell_brought(manifest, document, &self.place, &transfer, self.output.output, session)?;
        Ok(Verdict { code: ExitCode::SUCCESS, outcome: Some(Outcome::Finished), is_over: true, ending: None })
    }

    /// A signal came when the export had just been started.
    pub(super) fn tell_interruption(
        self,
        signal: Signal,
        session: &Session,
    ) -> Result<Verdict, CommandError> {
        let outcome = Outcome::Interrupted(signal);
        let words = format!("{} came when {} had been started", signal.name(), self.export);
        let problem = Problem::new(&words, "");
        let code = ExitCode::of_signal(signal);
        let advice = Some(format!("to go on: {}", self.go_on()));
        let document = Document::of_failure(&self.export, outcome, &problem);
        let document = document.without_download(Some(outcome), code, &problem);
        let lost = Lost { outcome: Some(outcome), code, problem: problem.clone(), words, advice };
        tell_lost_as(&lost, document, &self.export, self.output.output, session)?;
        Ok(Verdict { code, outcome: Some(outcome), is_over: false, ending: None })
    }

    /// The command that goes on where this one stops.
    fn go_on(&self) -> String {
        let state = |path: &PathBuf| format!(" --state {}", quoted(&path.display().to_string()));
        let state = self.state.as_ref().map(state).unwrap_or_default();
        format!("snyk-export run --resume {} {}{state}", self.export, self.place.options())
    }
}
