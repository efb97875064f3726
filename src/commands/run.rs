//! `run`: starts an export, waits until it is ready, and brings its files home: the whole of it in one command, which goes
//! on where it was killed when it is called again.

mod job;
mod record;

use std::path::PathBuf;

pub(super) use self::record::RecordError;

use self::job::{Job, Verdict};
use self::record::{Keeper, Record};
use super::download::Place;
use super::start::{
    Began, Journal, Unstarted, begin, policy_of_requests, requested, tell_no_start, tell_start,
};
use super::wait::{executable, replace_us};
use super::{Asking, CommandError, Session};
use crate::cli::RunArgs;
use crate::download::check_target;
use crate::exit::ExitCode;
use crate::export::{ExportArg, ExportRef};
use crate::observe::{Transfer, quoted};
use crate::request::StartRequest;
use crate::watch::observation::Problem;
use crate::watch::outcome::Outcome;

pub(super) async fn run(args: RunArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let program =
        args.command.first().map(|name| executable(name, session.settings.environment())).transpose()?;
    let verdict = match &args.resume {
        Some(export) => resume(&args, export, session).await?,
        None => start_or_go_on(&args, session).await?,
    };
    match (program, verdict.ending) {
        (Some(program), Some(ending)) if verdict.code == ExitCode::SUCCESS => {
            Err(replace_us(&program, &args.command, &[ending]))
        }
        _ => Ok(verdict.code),
    }
}

/// Goes on with the export that is named.
async fn resume(args: &RunArgs, export: &ExportArg, session: &mut Session) -> Result<Verdict, CommandError> {
    if args.request.asks_for_one() {
        let why = "--resume goes on with an export that was started: leave out what describes another one";
        return Err(CommandError::Usage(why.to_owned()));
    }
    let place = Place::resolve(&args.place, &args.zone, session.clock)?;
    let found = super::asking::resolve(std::slice::from_ref(export), args.scope.scope(), session).await?;
    let [export] = found.exports[..] else {
        return Err(CommandError::Usage("--resume: standard input names several exports".to_owned()));
    };
    let mut keeper = match &args.state {
        Some(path) => Some(Keeper::open(path.clone(), session.clock)?),
        None => None,
    };
    keeper.as_mut().map_or(Ok(()), |keeper| keeper.resume(export))?;
    let asking = Asking::connect(found.api, session.settings.policy_of_run()?, true, session).await?;
    let state = args.state.clone();
    let verdict = Job { export, place, state, output: args.output }.finish(asking, session).await?;
    if let Some(keeper) = keeper.as_mut().filter(|_| verdict.is_over) {
        keeper.forget()?;
    }
    Ok(verdict)
}

/// Goes on with what an earlier call of this very run has begun, or begins it.
async fn start_or_go_on(args: &RunArgs, session: &mut Session) -> Result<Verdict, CommandError> {
    let zone = &args.zone.time_zone;
    let request = requested(&args.request, &args.scope, zone, session).await?;
    let place = Place::resolve(&args.place, &args.zone, session.clock)?;
    let date = zone.date(super::start::now(session.clock));
    let asking = Asking::connect(None, session.settings.policy_of_run()?, true, session).await?;
    let call =
        record::call(&asking.surroundings.api, &request, &args.request, &args.place, &zone.to_string());
    let default = || session.settings.state_directory().join(format!("run-{call}.json"));
    let path = args.state.clone().unwrap_or_else(default);
    let mut keeper = Keeper::open(absolute(path), session.clock)?;
    let wanted = Record::new(call, date, &place, &request);

    let mut run = Run { args, asking, keeper: &mut keeper, session };
    let earlier = match run.keeper.record().cloned() {
        None => None,
        Some(left) if left.is_of_the_same_run(&wanted) => return run.go_on(left, &request).await,
        Some(left) => {
            let verdict = run.conclude(left, &request).await?;
            if !verdict.is_over {
                return Ok(verdict);
            }
            Some(verdict.code)
        }
    };
    let mut verdict = run.begin(wanted, place, &request).await?;
    verdict.code = ExitCode::deciding(earlier.into_iter().chain([verdict.code]));
    Ok(verdict)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// A run with all that it needs.
struct Run<'a> {
    args: &'a RunArgs,
    asking: Asking,
    keeper: &'a mut Keeper,
    session: &'a mut Session,
}

impl Run<'_> {
    /// Begins a run.
    async fn begin(
        &mut self,
        wanted: Record,
        place: Place,
        request: &StartRequest,
    ) -> Result<Verdict, CommandError> {
        check_target(&place.dir, place.merge.as_deref(), place.force)?;
        self.keeper.take_on(wanted);
        let policy = policy_of_requests(self.asking.policy.clone());
        let asking = self.asking.with_policy(policy);
        let line = self.session.console.line.clone();
        let transfer = Transfer::new(self.session.clock, line.clone());
        let mut journal = Journal::kept_in(self.keeper);
        let began = begin(request, &asking, &transfer, &mut journal, self.session).await?;
        let Began { started, signal } = match began {
            Ok(began) => began,
            Err(unstarted) => {
                line.clear();
                return self.tell_no_start(&unstarted, place, request);
            }
        };
        tell_start(&started, request, self.session);
        let job = self.job(started.export, place);
        if let Some(signal) = signal {
            line.clear();
            return job.tell_interruption(signal, self.session);
        }
        self.finish(job).await
    }

    /// Goes on with what this very run has begun.
    async fn go_on(&mut self, left: Record, request: &StartRequest) -> Result<Verdict, CommandError> {
        let place = self.place_of(&left);
        match left.export {
            Some(export) => {
                tracing::info!(export.id = %export.export_id, started_at = left.sent_at, "going on with an export that was started before");
                let job = self.job(export, place);
                self.finish(job).await
            }
            None => self.tell_no_start(&unsure(&left), place, request),
        }
    }

    /// Brings to its end what another run, of an earlier day, has left. Where that may take for ever, it is given up: it has
    /// been told of, and tonight's export is not to be missed because of it.
    async fn conclude(&mut self, left: Record, request: &StartRequest) -> Result<Verdict, CommandError> {
        let mut verdict = self.go_on(left.clone(), request).await?;
        let may_take_for_ever = match verdict.outcome {
            Some(
                Outcome::TimedOut
                | Outcome::Stalled
                | Outcome::UnknownStatus
                | Outcome::Rejected
                | Outcome::Conflict,
            ) => true,
            Some(Outcome::Unavailable) => left.export.is_none(),
            _ => false,
        };
        if may_take_for_ever {
            tracing::error!(
                run.date = left.date,
                export.id = left.export.map(|export| tracing::field::display(export.export_id)),
                "the run of an earlier day is given up"
            );
            self.keeper.forget()?;
            verdict.is_over = true;
        }
        Ok(verdict)
    }

    async fn finish(&mut self, job: Job) -> Result<Verdict, CommandError> {
        let asking = self.asking.with_policy(self.asking.policy.clone());
        let verdict = job.finish(asking, self.session).await?;
        if verdict.is_over {
            self.keeper.forget()?;
        }
        Ok(verdict)
    }

    fn job(&self, export: ExportRef, place: Place) -> Job {
        let state = Some(self.keeper.path().to_owned());
        Job { export, place, state, output: self.args.output }
    }

    fn place_of(&self, left: &Record) -> Place {
        Place { dir: left.dir.clone(), merge: left.merge.clone(), force: self.args.place.force }
    }

    fn tell_no_start(
        &self,
        unstarted: &Unstarted,
        place: Place,
        request: &StartRequest,
    ) -> Result<Verdict, CommandError> {
        let state = quoted(&self.keeper.path().display().to_string());
        let advice = format!(
            "if you know the export: snyk-export run --resume EXPORT {} --state {state}; to start another one all the \
             same: rm {state}, and run it again",
            place.options()
        );
        let code = tell_no_start(
            unstarted,
            Some(advice),
            request,
            &self.asking,
            self.args.output.output,
            self.session,
        )?;
        Ok(Verdict { code, outcome: Some(unstarted.outcome), is_over: false, ending: None })
    }
}

/// A start of which it was never known what became of it.
fn unsure(left: &Record) -> Unstarted {
    let title = format!("it was sent at {}, and the run ended before an answer was recorded", left.sent_at);
    Unstarted { outcome: Outcome::Unavailable, problem: Problem::new(&title, ""), may_exist: true }
}
