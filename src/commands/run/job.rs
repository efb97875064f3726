//! An export that has been started, brought to its end: waited for, and its files brought home.

use std::path::{Path, PathBuf};

use crate::cli::OutputArgs;
use crate::commands::files::{
    Fetched, Lost, Place, Prospect, fetch, left, tell_brought, tell_lost, tell_there,
};
use crate::commands::wait::{Finished, Telling, follow};
use crate::commands::{Asking, CommandError, Session};
use crate::document::Document;
use crate::event::Ending;
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::manifest::Manifest;
use crate::observe::{GoOn, Transfer, sentence};
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
    /// What there is to hope for.
    pub(super) prospect: Prospect,
    /// The export, where its files are there.
    pub(super) finished: Option<Finished>,
}

impl Verdict {
    const fn of_success(finished: Finished) -> Self {
        Self { code: ExitCode::SUCCESS, prospect: Prospect::Over, finished: Some(finished) }
    }

    pub(super) const fn of_failure(code: ExitCode, prospect: Prospect) -> Self {
        Self { code, prospect, finished: None }
    }

    /// Whether nothing is left to go on with.
    pub(super) fn is_over(&self) -> bool {
        self.prospect == Prospect::Over
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
        asking.surroundings.go_on = self.go_on(&self.place, session);
        if let Some(manifest) = left(&self.export, &self.place, true, session).await? {
            return self.tell_there(&manifest, session);
        }
        self.place.target().check()?;
        let endings = follow(&asking, false, self.output, Telling::WordsOfFinished, session).await?;
        let Some(ending) = endings.into_iter().next() else {
            unreachable!("each export that is followed comes to an end");
        };
        if ending.outcome == Outcome::Finished {
            return self.fetch(ending, asking, session).await;
        }
        session.console.annotate(&sentence(&ending));
        session.console.actions.hand_on(&ending, std::slice::from_ref(&ending));
        let code = ExitCode::of_end(ending.outcome);
        Ok(Verdict::of_failure(code, Prospect::of(ending.outcome)))
    }

    async fn fetch(
        &self,
        mut ending: Ending,
        asking: Asking,
        session: &mut Session,
    ) -> Result<Verdict, CommandError> {
        let transfer = Transfer::new(session.clock, session.console.line.clone());
        let report = &mut ending.report;
        let fetched = fetch(&self.export, report, &self.place, &asking, &transfer, session).await?;
        session.console.line.clear();
        let (verdict, ending) = self.tell(fetched, ending, &transfer, session)?;
        session.console.actions.hand_on(&ending, std::slice::from_ref(&ending));
        Ok(verdict)
    }

    /// Says how the files were brought home, or why not; gives the ending as that makes it.
    fn tell(
        &self,
        fetched: Fetched,
        ending: Ending,
        transfer: &Transfer,
        session: &Session,
    ) -> Result<(Verdict, Ending), CommandError> {
        if self.output.show_urls {
            session.console.mask_links(ending.report.as_ref());
        }
        let document = Document::of_ending(&ending, self.output.show_urls);
        let output = self.output.output;
        match fetched {
            Fetched::Whole(manifest) => {
                tell_brought(&manifest, document, &self.place, transfer, output, session)?;
                let finished = Finished { export: self.export, row_count: ending.row_count() };
                Ok((Verdict::of_success(finished), ending))
            }
            Fetched::Lost(lost) => {
                let place = self.place.unless(lost.is_of_merge);
                let lost = lost.with_go_on(&self.go_on(&place, session), &self.export);
                let code = tell_lost(&lost, document, &self.export, output, session)?;
                let outcome = lost.outcome.unwrap_or(ending.outcome);
                Ok((Verdict::of_failure(code, lost.prospect), Ending { outcome, ..ending }))
            }
        }
    }

    /// An earlier call had done all but to forget the run.
    fn tell_there(&self, manifest: &Manifest, session: &Session) -> Result<Verdict, CommandError> {
        tell_there(manifest, &self.export, &self.place, self.output.output, session)?;
        Ok(Verdict::of_success(Finished { export: self.export, row_count: manifest.row_count }))
    }

    /// A signal came when the export had just been started.
    pub(super) fn tell_interruption(
        self,
        signal: Signal,
        session: &Session,
    ) -> Result<Verdict, CommandError> {
        let words = format!("{} came when {} had been started", signal.name(), self.export);
        let go_on = self.go_on(&self.place, session);
        let lost = Lost::of_signal(signal, &self.export, words).with_go_on(&go_on, &self.export);
        let code = tell_lost(
            &lost,
            Document::of(&self.export).after(session.waited(), 0),
            &self.export,
            self.output.output,
            session,
        )?;
        Ok(Verdict::of_failure(code, lost.prospect))
    }

    /// The command that goes on where this one stops.
    fn go_on(&self, place: &Place, session: &Session) -> GoOn {
        go_on(place, self.state.as_deref(), session)
    }
}

/// The command that goes on with an export of a run.
pub(super) fn go_on(place: &Place, state: Option<&Path>, session: &Session) -> GoOn {
    let state = state.map(|path| ("state".to_owned(), Some(path.display().to_string())));
    let go_on = session.typed.go_on("run").naming_export_by("resume");
    go_on.with(place.options().into_iter().chain(state))
}
