//! `run`: starts an export, waits until it is ready, and brings its files home: the whole of it in one command, which goes
//! on where it was killed when it is called again.

mod job;
mod record;
mod typed;

pub(super) use self::record::RecordError;

use self::job::{Job, Verdict};
use self::record::{Call, Keeper, Record};
use super::download::{Place, Prospect};
use super::start::{Began, Unstarted, begin, now, policy_of_start, requested, tell_no_start, tell_start};
use super::wait::{Finished, executable, replace_us};
use super::{Asking, CommandError, Session};
use crate::cli::{Output, RunArgs};
use crate::disk;
use crate::document::Document;
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
    let verdicts = match &args.resume {
        Some(export) => vec![resume(&args, export, session).await?],
        None => start_or_go_on(&args, session).await?,
    };
    // What was wanted is the last of them; what an earlier day had left comes before it.
    let has_what_was_wanted = verdicts.last().is_some_and(|verdict| verdict.finished.is_some());
    match program.filter(|_| has_what_was_wanted) {
        Some(program) => {
            let finished: Vec<Finished> = verdicts.iter().filter_map(|verdict| verdict.finished).collect();
            Err(replace_us(&program, &args.command, &finished, session).await)
        }
        None => Ok(ExitCode::deciding(verdicts.iter().map(|verdict| verdict.code))),
    }
}

/// Goes on with the export that is named.
async fn resume(args: &RunArgs, export: &ExportArg, session: &mut Session) -> Result<Verdict, CommandError> {
    if args.wanted.request.asks_for_one() {
        let why = "--resume goes on with an export that was started: leave out what describes another one";
        return Err(CommandError::Usage(why.to_owned()));
    }
    let place = Place::resolve(&args.place, &args.wanted.zone.time_zone.date(now(session.clock)))?;
    let scope = args.wanted.scope.scope();
    let found = super::asking::resolve(std::slice::from_ref(export), scope, session).await?;
    let [export] = found.exports[..] else {
        return Err(CommandError::Usage("--resume: standard input names several exports".to_owned()));
    };
    let asking = Asking::connect(found.api, session.settings.policy_of_run()?, true, session).await?;
    let state = args.state.as_deref().map(disk::absolute);
    let mut keeper = state.clone().map(|path| Keeper::open(path, session.clock)).transpose()?;
    if let Some(keeper) = &mut keeper {
        keeper.check_api(&asking.surroundings.api)?;
        keeper.resume(export)?;
    }
    let verdict = Job { export, place, state, output: args.output }.finish(asking, session).await?;
    if let Some(keeper) = keeper.as_mut().filter(|_| verdict.is_over()) {
        session.console.flush(&session.signals).await?;
        keeper.forget()?;
    }
    Ok(verdict)
}

/// Goes on with what an earlier call of this very run has begun, or begins it; what another run has left in the same record
/// is brought to its end first.
async fn start_or_go_on(args: &RunArgs, session: &mut Session) -> Result<Vec<Verdict>, CommandError> {
    // Taken once: a night that passes midnight here is still one night.
    let now = now(session.clock);
    let request = requested(&args.wanted, now, session).await?;
    let date = args.wanted.zone.time_zone.date(now);
    let place = Place::resolve(&args.place, &date)?;
    let asking = Asking::connect(None, session.settings.policy_of_run()?, true, session).await?;
    let api = asking.surroundings.api.clone();
    let call = Call { api: &api, request: &request, args };
    let default = || session.settings.state_directory().join(format!("run-{}.json", call.digest()));
    let path = args.state.clone().unwrap_or_else(default);
    let mut keeper = Keeper::open(disk::absolute(&path), session.clock)?;
    keeper.check_api(&api)?;
    let wanted = Record::new(&call, date, &place);

    let left = keeper.record().cloned();
    let mut run = Run { args, asking, keeper: &mut keeper, session };
    let mut verdicts = Vec::new();
    if let Some(left) = left {
        if left.is_of_the_same_run(&wanted) {
            return Ok(vec![run.go_on(&left).await?]);
        }
        if left.date == wanted.date {
            return Err(RecordError::OtherCall(run.keeper.path().to_owned()).into());
        }
        let verdict = run.conclude(&left).await?;
        let (is_over, is_what_was_wanted) =
            (verdict.is_over(), verdict.finished.is_some() && left.has_what_is_wanted(&wanted));
        verdicts.push(verdict);
        if !is_over || (is_what_was_wanted && !place.force) {
            return Ok(verdicts);
        }
    }
    verdicts.push(run.begin(wanted, place, &request).await?);
    Ok(verdicts)
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
        let asking = self.asking.with_policy(policy_of_start(self.asking.policy.clone()));
        let line = self.session.console.line.clone();
        let transfer = Transfer::new(self.session.clock, line.clone());
        let began = begin(request, &asking, &transfer, self.keeper, self.session).await?;
        let Began { started, signal } = match began {
            Ok(began) => began,
            Err(unstarted) => {
                line.clear();
                return self.tell_no_start(&unstarted, &self.advice(&place), request);
            }
        };
        tell_start(&started, request, self.session);
        let job = self.job(started.export, place);
        match signal {
            Some(signal) => {
                line.clear();
                job.tell_interruption(signal, self.session)
            }
            None => self.finish(job).await,
        }
    }

    /// Goes on with what this very run has begun.
    async fn go_on(&mut self, left: &Record) -> Result<Verdict, CommandError> {
        let place = self.place_of(left);
        let Some(export) = left.export else {
            return self.tell_no_start(&unsure(left), &self.advice(&place), &left.request());
        };
        tracing::info!(
            export.id = %export.export_id,
            started_at = left.sent_at,
            "going on with an export that was started before"
        );
        let job = self.job(export, place);
        self.finish(job).await
    }

    /// Brings to its end what a run of an earlier day has left. What cannot be brought to an end is given up, so that
    /// tonight's export is not missed because of it; but not because of what would be in the way of tonight's too.
    async fn conclude(&mut self, left: &Record) -> Result<Verdict, CommandError> {
        let concluded = match left.export {
            Some(_) => self.go_on(left).await,
            None => self.tell_no_start(&unsure(left), GIVEN_UP, &left.request()),
        };
        let mut verdict = match concluded {
            Ok(verdict) if verdict.prospect != Prospect::Doubtful => return Ok(verdict),
            Ok(verdict) => verdict,
            Err(CommandError::Folder(error)) if error.is_of_what_is_there() => {
                let error = CommandError::Folder(error);
                self.session.console.error(&error, None);
                Verdict::of_failure(error.exit_code(), Prospect::Doubtful)
            }
            Err(error) => return Err(error),
        };
        let command = |export: ExportRef| {
            let (dir, global) = (quoted(left.dir.display()), self.session.global_options());
            format!("its files can be had for three days: snyk-export download {export} --dir {dir}{global}")
        };
        tracing::error!(
            run.date = left.date,
            export.id = left.export.map(|export| tracing::field::display(export.export_id)),
            hint = left.export.map(command),
            "the run of an earlier day is given up"
        );
        self.keeper.forget()?;
        verdict.prospect = Prospect::Over;
        if Some(verdict.code) == ExitCode::of(Outcome::TimedOut) {
            // Nobody is to call it again because of this.
            verdict.code = ExitCode::UNAVAILABLE;
        }
        Ok(verdict)
    }

    async fn finish(&mut self, job: Job) -> Result<Verdict, CommandError> {
        let verdict = job.finish(self.asking.clone(), self.session).await?;
        if verdict.is_over() {
            self.session.console.flush(&self.session.signals).await?;
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

    /// What to do about a start that may have created an export.
    fn advice(&self, place: &Place) -> String {
        let state = quoted(self.keeper.path().display());
        let (place, typed) = (place.options(), typed::kept(&self.session.args));
        format!(
            "if you know the export: snyk-export run --resume EXPORT {place} --state {state}{typed}; to start another \
             one all the same: rm {state}, and run it again"
        )
    }

    fn tell_no_start(
        &self,
        unstarted: &Unstarted,
        advice: &str,
        request: &StartRequest,
    ) -> Result<Verdict, CommandError> {
        let document = Document::of_no_start(unstarted.outcome, &unstarted.problem).with_download(None);
        let document = (self.args.output.output == Output::Json).then_some(document);
        let advice = Some(advice.to_owned());
        let code = tell_no_start(unstarted, advice, request, &self.asking, document, self.session)?;
        let prospect = match &unstarted.unsure {
            Some(_) => Prospect::Doubtful,
            None => Prospect::of(unstarted.outcome),
        };
        Ok(Verdict::of_failure(code, prospect))
    }
}

/// What to do about the start of an earlier day that may have created an export.
const GIVEN_UP: &str =
    "that day is given up: export it anew, with dates such as --introduced-from 2025-01-31, if it is missed";

/// A start of which it was never known what became of it.
fn unsure(left: &Record) -> Unstarted {
    let why = left.problem.as_deref().unwrap_or("the run ended before an answer was recorded");
    Unstarted::unsure(&Problem::new(&format!("it was sent at {}, and then: {why}", left.sent_at), ""), None)
}
