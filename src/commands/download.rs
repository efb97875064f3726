//! `download`: fetches the files of an export that has finished.

use super::asking::resolve_one;
use super::files::{Download, Fetched, Lost, Place};
use super::start::now;
use super::{Asking, CommandError, Session, missing};
use crate::cli::DownloadArgs;
use crate::document::Document;
use crate::download::Safety;
use crate::event::TaskEvent;
use crate::exit::ExitCode;
use crate::export::{ExportRef, Phase};
use crate::observe::Transfer;
use crate::settings::ExportsError;
use crate::watch::observation::Report;
use crate::watch::outcome::Outcome;

pub(super) async fn run(args: &DownloadArgs, session: &Session) -> Result<ExitCode, CommandError> {
    missing::of_exports(args.export.as_slice(), args.scope.scope(), Some(&args.place), session)?;
    let export = args.export.as_ref().ok_or(ExportsError::None)?;
    let safety = if args.sync { Safety::PowerCut } else { Safety::Process };
    let place = Place::resolve(&args.place, safety, &args.zone.time_zone.date(now(session.clock)))?;
    let policy = session.settings.policy()?;
    let (export, api) = resolve_one(export, args.scope.scope(), session).await?;
    let output = args.format.output;
    let mut download = Download { export, place, held: None, output, session };
    if let Some(manifest) = download.left(false).await? {
        return download.tell_there(&manifest).map(|()| ExitCode::SUCCESS);
    }
    download.hold()?;
    let asking = Asking::connect(api, policy, true, session).await?;
    let transfer = Transfer::new(session.clock, session.console.line.clone());
    let report = match status(&export, &asking, &transfer, session).await {
        Ok(report) => report,
        Err(lost) => {
            session.console.actions.hand_on_values(&[("outcome", lost.failure.word.to_owned())]);
            let document = Document::of(&export).after(session.waited(), transfer.polled());
            return download.tell_lost(lost, document);
        }
    };
    let phase = asking.policy.vocabulary.phase(&report.status);
    let mut listed = Some(report.clone());
    let fetched = match phase {
        Some(Phase::Finished) => download.fetch(&mut listed, &asking, &transfer).await?,
        _ => Fetched::Lost(Lost::unready(&export, &report, phase, &asking.surroundings.go_on)),
    };
    let report = listed.unwrap_or(report);
    session.console.line.clear();
    let document = Document::of_report(&export, &report).after(session.waited(), transfer.polled());
    let hand_on = |word| session.console.actions.hand_on_report(word, &export, &report);
    match fetched {
        Fetched::Whole(manifest) => {
            hand_on(Outcome::Finished.as_str());
            download.tell_files(&manifest, document.finished(), Some(transfer.took()))?;
            Ok(ExitCode::SUCCESS)
        }
        Fetched::Lost(mut lost) => {
            hand_on(lost.failure.word);
            // If there is nothing to download, the failure already has a hint.
            if phase == Some(Phase::Finished) {
                let place = download.place.unless(lost.is_of_merge);
                lost = lost.with_go_on(&session.go_on("download").with(place.options()), &export);
            }
            download.tell_lost(lost, document)
        }
    }
}

/// Requests the status until Snyk answers.
async fn status(
    export: &ExportRef,
    asking: &Asking,
    transfer: &Transfer,
    session: &Session,
) -> Result<Report, Lost> {
    let clock = session.clock;
    let (tasks, tell) = (asking.tasks(clock), |event: TaskEvent| transfer.event(&event.at(clock.now())));
    let polling = transfer.ticking(tasks.status(export, &tell));
    match session.signals.unless_interrupted(polling).await {
        Ok(answered) => {
            answered.map_err(|defeat| Lost::of_request(defeat, "status", export, &asking.surroundings))
        }
        Err(signal) => Err(Lost::unlisted(signal, export)),
    }
}
