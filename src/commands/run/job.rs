//! Waits for an export that was started, and downloads its files.

use std::path::{Path, PathBuf};

use crate::cli::OutputArgs;
use crate::commands::files::{Download, Fetched, Lost, Place, Prospect};
use crate::commands::wait::{Finished, Telling, closing, follow};
use crate::commands::{Asking, CommandError, Session};
use crate::document::Document;
use crate::event::Ending;
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::observe::Transfer;
use crate::text::path_as_data;
use crate::watch::outcome::{Outcome, Signal};
use crate::words::GoOn;

/// The rest of a run.
pub(super) struct Job<'a> {
    pub(super) download: Download<'a>,
    /// Where the run is recorded.
    pub(super) state: Option<PathBuf>,
    pub(super) output: OutputArgs,
}

/// How a run ended.
pub(super) struct Verdict {
    pub(super) code: ExitCode,
    /// Whether a later call can do more.
    pub(super) prospect: Prospect,
    /// The export, if its files are there.
    pub(super) finished: Option<Finished>,
}

impl Verdict {
    const fn of_success(export: ExportRef, row_count: Option<u64>) -> Self {
        let finished = Some(Finished { export, row_count });
        Self { code: ExitCode::SUCCESS, prospect: Prospect::Over, finished }
    }

    pub(super) const fn of_failure(code: ExitCode, prospect: Prospect) -> Self {
        Self { code, prospect, finished: None }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        self.prospect == Prospect::Over
    }
}

impl Job<'_> {
    /// Waits for the export, downloads its files, and writes the result.
    pub(super) async fn finish(mut self, mut asking: Asking) -> Result<Verdict, CommandError> {
        let Download { export, place, .. } = &self.download;
        asking.exports = vec![*export];
        asking.surroundings.go_on = self.go_on(place);
        let left = match self.download.left(true).await {
            // A signal just after the start: the export must be named.
            Err(CommandError::Interrupted(signal)) => return self.tell_interruption(signal),
            left => left?,
        };
        if let Some(manifest) = left {
            self.download.tell_there(&manifest)?;
            return Ok(Verdict::of_success(*export, manifest.row_count));
        }
        self.download.hold()?;
        let session = self.download.session;
        let endings = follow(&asking, false, self.output, Telling::WordsOfFinished, session).await?;
        let Some(ending) = endings.into_iter().next() else {
            unreachable!("each export that is followed comes to an end");
        };
        if ending.outcome == Outcome::Finished {
            return self.fetch(ending, asking).await;
        }
        session.console.annotate(&closing(&ending, &asking));
        session.console.actions.hand_on(&ending, std::slice::from_ref(&ending), &asking.surroundings);
        let code = ExitCode::of_end(ending.outcome);
        Ok(Verdict::of_failure(code, Prospect::of(ending.outcome)))
    }

    async fn fetch(&self, mut ending: Ending, asking: Asking) -> Result<Verdict, CommandError> {
        let Download { export, place, session, .. } = &self.download;
        let transfer = Transfer::new(session.clock, session.console.line.clone());
        let fetched = self.download.fetch(&mut ending.report, &asking, &transfer).await?;
        session.console.line.clear();
        if self.output.show_urls {
            session.console.mask_links(ending.report.as_ref());
        }
        let document = Document::of_ending(&ending, self.output.show_urls);
        let (verdict, outcome) = match fetched {
            Fetched::Whole(manifest) => {
                self.download.tell_files(&manifest, document, Some(transfer.took()))?;
                (Verdict::of_success(*export, ending.row_count()), ending.outcome)
            }
            Fetched::Lost(lost) => {
                let go_on = self.go_on(&place.unless(lost.is_of_merge));
                let lost = lost.with_go_on(&go_on, export);
                let (outcome, prospect) = (lost.outcome.unwrap_or(ending.outcome), lost.prospect);
                let code = self.download.tell_lost(lost, document)?;
                (Verdict::of_failure(code, prospect), outcome)
            }
        };
        let ending = Ending { outcome, ..ending };
        session.console.actions.hand_on(&ending, std::slice::from_ref(&ending), &asking.surroundings);
        Ok(verdict)
    }

    /// A signal arrived just after the start.
    pub(super) fn tell_interruption(&self, signal: Signal) -> Result<Verdict, CommandError> {
        let Download { export, place, session, .. } = &self.download;
        let words = format!("{} came after {export} was started", signal.name());
        let lost = Lost::of_signal(signal, export, words).with_go_on(&self.go_on(place), export);
        let code = self.download.tell_lost(lost, Document::of(export).after(session.waited(), 0))?;
        Ok(Verdict::of_failure(code, Prospect::Stopped))
    }

    /// The command that continues where this one stops.
    fn go_on(&self, place: &Place) -> GoOn {
        go_on(place, self.state.as_deref(), self.download.session)
    }
}

/// The command that continues with an export of a run.
pub(super) fn go_on(place: &Place, state: Option<&Path>, session: &Session) -> GoOn {
    let state = state.map(|path| ("state".to_owned(), Some(path_as_data(path))));
    let go_on = session.go_on("run").naming_export_by("resume");
    go_on.with(place.options().into_iter().chain(state))
}
