//! `run`: starts an export, waits until it is ready, and downloads its files. If it was killed, the same command
//! continues.

mod earlier;
mod job;
mod keeper;
mod others;
mod record;

pub(super) use self::record::RecordError;

use std::sync::Arc;

use self::job::{Job, Verdict, go_on};
use self::keeper::Keeper;
use self::record::{Call, Record};
use super::asking::resolve_one;
use super::files::{Download, Place, Prospect};
use super::start::{begin, now, requested, tell_no_start, tell_start};
use super::wait::Successor;
use super::{Asking, CommandError, Session, missing};
use crate::cli::RunArgs;
use crate::disk;
use crate::document::Document;
use crate::download::{Held, Safety};
use crate::exit::ExitCode;
use crate::export::{ExportArg, ExportRef};
use crate::request::StartRequest;
use crate::tasks::start::{Begun, Sent, Unstarted};
use crate::text::{Text, path_as_data};
use crate::watch::observation::Problem;
use crate::words::quoted;

/// The record is removed for good once the files are there, so the files must survive a power cut.
const SAFETY: Safety = Safety::PowerCut;

pub(super) async fn run(args: RunArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let successor = Successor::find(&args.command, session.settings.environment())?;
    let verdicts = match &args.resume {
        Some(export) => vec![resume(&args, export, session).await?],
        None => start_or_go_on(&args, session).await?,
    };
    // The last one is of this call's own export, and decides; those of earlier days come before it.
    let Some(wanted) = verdicts.last() else { unreachable!("each call comes to a verdict") };
    match successor {
        Some(successor) if wanted.finished.is_some() => {
            Err(successor.replace_us(verdicts.iter().filter_map(|verdict| verdict.finished), session).await)
        }
        _ => Ok(wanted.code),
    }
}

/// Continues with the export that is named.
async fn resume(args: &RunArgs, export: &ExportArg, session: &Session) -> Result<Verdict, CommandError> {
    if args.wanted.request.asks_for_one() {
        let why = "--resume continues with an export that was started: leave out what describes another one";
        return Err(CommandError::Usage(why.to_owned()));
    }
    let scope = args.wanted.scope.scope();
    missing::of_exports(std::slice::from_ref(export), scope, Some(&args.place), session)?;
    let date = args.wanted.zone.time_zone.date(now(session.clock));
    let place = Place::resolve(&args.place, SAFETY, &date)?;
    let (export, api) = resolve_one(export, scope, session).await?;
    let asking = Asking::connect(api, session.settings.policy_of_run()?, true, session).await?;
    let state = args.state.as_deref().map(disk::absolute);
    let mut keeper = match state.clone() {
        Some(path) => Some(Keeper::open(path, session.clock).await?),
        None => None,
    };
    if let Some(keeper) = &mut keeper {
        keeper.resume(export, &asking.surroundings.api)?;
    }
    let download = Download { export, place, held: None, output: args.output.output, session };
    let verdict = Job { download, state, output: args.output }.finish(asking).await?;
    if let Some(keeper) = keeper.as_mut().filter(|_| verdict.is_over()) {
        session.console.flush(&session.signals).await?;
        keeper.forget_last()?;
    }
    Ok(verdict)
}

/// Continues the run that an earlier call began, or begins it. Runs of earlier days in the same state file are
/// completed first.
async fn start_or_go_on(args: &RunArgs, session: &Session) -> Result<Vec<Verdict>, CommandError> {
    missing::of_start(&args.wanted, Some(&args.place), session)?;
    // Taken once, so that a call has one date even if midnight passes.
    let now = now(session.clock);
    let request = requested(&args.wanted, now, session).await?;
    let date = args.wanted.zone.time_zone.date(now);
    let place = Place::resolve(&args.place, SAFETY, &date)?;
    let asking = Asking::connect(None, session.settings.policy_of_run()?, true, session).await?;
    let api = asking.surroundings.api.clone();
    let call = Call { api: &api, request: &request, args };
    let default = || session.settings.state_directory().join(others::name(&call.digest()));
    let path = args.state.clone().unwrap_or_else(default);
    let mut keeper = Keeper::open(disk::absolute(&path), session.clock).await?;
    let wanted = Record::new(&call, date, &place);

    let left = keeper.records().to_vec();
    let mut run = Run { args, asking, keeper: &mut keeper, session };
    if let Some(own) = left.iter().find(|left| left.is_of_the_same_run(&wanted)) {
        return Ok(vec![run.go_on(own, run.asking.clone()).await?]);
    }
    if let Some(other) = left.iter().find(|left| left.date == wanted.date) {
        run.keeper.check_api(other, &api)?;
        return Err(RecordError::OtherCall(run.keeper.path().to_owned()).into());
    }
    if let Some(other) =
        left.iter().find(|left| left.takes_the_place_of(&wanted, now)).filter(|_| !place.force)
    {
        let (path, date) = (run.keeper.path().to_owned(), Text::new(&other.date));
        let command = go_on(&run.place_of(other), Some(&path), session);
        let command = other.export.map(|export| command.command(export, None)).unwrap_or_default();
        return Err(RecordError::SamePlace { path, date, dir: wanted.dir, command }.into());
    }
    let (mut verdicts, mut done) = (Vec::new(), None);
    for left in &left {
        let verdict = run.conclude(left).await?;
        if verdict.prospect == Prospect::Stopped {
            return Ok(vec![verdict]);
        }
        if verdict.finished.is_some() && left.has_what_is_wanted(&wanted) && !place.force {
            done = Some(verdict);
        } else {
            verdicts.push(verdict);
        }
    }
    let own = match done {
        Some(verdict) => verdict,
        None => run.begin(wanted, place, &request).await?,
    };
    verdicts.push(own);
    Ok(verdicts)
}

/// A run, and what it needs.
struct Run<'a> {
    args: &'a RunArgs,
    asking: Asking,
    keeper: &'a mut Keeper,
    session: &'a Session,
}

impl<'a> Run<'a> {
    /// Begins a run.
    async fn begin(
        &mut self,
        wanted: Record,
        place: Place,
        request: &StartRequest,
    ) -> Result<Verdict, CommandError> {
        // Before anything is sent: nothing is started for a place that another run uses.
        let held = Arc::new(place.target().hold()?);
        self.tell_of_others(&wanted);
        self.keeper.take_on(wanted);
        let (keeper, console) = (&mut *self.keeper, &self.session.console);
        let keep = |sent: Sent<'_>| {
            let Err(error) = keeper.keep(sent) else { return Ok(()) };
            let hint = match sent {
                Sent::Sending | Sent::Refused => return Err(CommandError::from(error)),
                // The export exists, whether or not that can be recorded.
                Sent::Started(started) => Some(format!("the export is {}", started.export)),
                // The record already says that a start was sent.
                Sent::Unsure(_) => None,
            };
            console.error(&error, hint.as_deref(), ExitCode::UNFORESEEN);
            Ok(())
        };
        let (started, signal) = match begin(request, &self.asking, keep, self.session).await? {
            Begun::Started { started, signal } => (started, signal),
            Begun::NotStarted(unstarted) => {
                return self.tell_no_start(&unstarted, &self.advice(&place), request);
            }
        };
        tell_start(&started, request, None, self.session);
        let job = self.job(started.export, place, Some(held));
        match signal {
            Some(signal) => job.tell_interruption(signal),
            None => {
                let verdict = job.finish(self.asking.clone()).await?;
                match verdict.is_over() {
                    true => self.keeper.forget_last()?,
                    false => self.keeper.catch_up(),
                }
                Ok(verdict)
            }
        }
    }

    /// Continues a run.
    async fn go_on(&mut self, left: &Record, asking: Asking) -> Result<Verdict, CommandError> {
        let place = self.place_of(left);
        let Some(export) = left.export else {
            return self.tell_no_start(&unsure(left), &self.advice(&place), &left.request());
        };
        tracing::info!(
            export.id = %export.export_id,
            started_at = left.sent_at,
            "going on with an export that was started before"
        );
        let verdict = self.job(export, place, None).finish(asking).await?;
        if verdict.is_over() {
            self.session.console.flush(&self.session.signals).await?;
            self.keeper.forget(left)?;
        }
        Ok(verdict)
    }

    fn job(&self, export: ExportRef, place: Place, held: Option<Arc<Held>>) -> Job<'a> {
        let (state, output) = (Some(self.keeper.path().to_owned()), self.args.output);
        let download = Download { export, place, held, output: output.output, session: self.session };
        Job { download, state, output }
    }

    fn place_of(&self, left: &Record) -> Place {
        Place::new(left.dir.clone(), left.merge.clone(), self.args.place.force, SAFETY)
    }

    /// The hint after a start that may have created an export.
    fn advice(&self, place: &Place) -> String {
        let command = go_on(place, Some(self.keeper.path()), self.session).command("EXPORT", None);
        let state = quoted(path_as_data(self.keeper.path()));
        format!(
            "if you know the export: {command}; to start another one anyway: rm {state}, and run it again"
        )
    }

    fn tell_no_start(
        &self,
        unstarted: &Unstarted,
        advice: &str,
        request: &StartRequest,
    ) -> Result<Verdict, CommandError> {
        let document =
            Document::of_no_start(unstarted.outcome, unstarted.problem.clone()).with_download(None);
        let answer = (self.args.output.output, document);
        let code = tell_no_start(unstarted, advice, request, &self.asking, answer, self.session)?;
        let prospect = match &unstarted.unsure {
            Some(_) => Prospect::Doubtful,
            None => Prospect::of(unstarted.outcome),
        };
        Ok(Verdict::of_failure(code, prospect))
    }
}

/// A start whose result was never recorded.
fn unsure(left: &Record) -> Unstarted {
    let why = left.problem.as_deref().unwrap_or("the run ended before an answer was recorded");
    Unstarted::unsure(&Problem::new(&format!("it was sent at {}, and then: {why}", left.sent_at), ""), None)
}
