//! `wait`: blocks until exports have ended, and says how.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::console::Console;
use super::{Asking, CommandError, Session};
use crate::cli::{Output, OutputArgs, WaitArgs};
use crate::document::Document;
use crate::event::{Ending, Event};
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::observe::{Observer, keep_ticking};
use crate::runner::Runner;
use crate::settings::Environment;
use crate::snyk::Client;
use crate::store::MemoryStore;
use crate::text::Text;
use crate::watch::observation::{FailureKind, Report};
use crate::watch::outcome::Outcome;

pub(super) async fn run(args: WaitArgs, session: &mut Session) -> Result<ExitCode, CommandError> {
    let program =
        args.command.first().map(|name| executable(name, session.settings.environment())).transpose()?;
    let asking = Asking::prepare(&args.exports, args.output, session).await?;
    let endings = follow(&asking, args.any, args.output, session).await?;
    let code = decide(&endings, args.any);
    if let Some(deciding) = endings.iter().find(|ending| ExitCode::of(ending.outcome) == Some(code)) {
        session.console.actions.hand_on(deciding, &endings);
    }
    match program {
        Some(program) if code == ExitCode::SUCCESS => Err(replace_us(&program, &args.command, &endings)),
        _ => Ok(code),
    }
}

/// With `any`, one that has finished is enough.
fn decide(endings: &[Ending], any: bool) -> ExitCode {
    if any && endings.iter().any(|ending| ending.outcome == Outcome::Finished) {
        return ExitCode::SUCCESS;
    }
    ExitCode::deciding(endings.iter().filter_map(|ending| ExitCode::of(ending.outcome)))
}

/// Follows the exports to their ends, or until a signal comes, and tells of each end when it comes. The endings are
/// in the order in which the exports were named.
pub(super) async fn follow(
    asking: &Asking,
    any: bool,
    output: OutputArgs,
    session: &mut Session,
) -> Result<Vec<Ending>, CommandError> {
    let Session { settings, clock, console, signals } = session;
    let mut observer =
        Observer::new(*clock, asking.surroundings.clone(), console.line.clone(), console.is_json());
    let mut store = MemoryStore::default();
    for export in &asking.exports {
        if let Some(watch) = store.add(*export, clock.now()) {
            observer.set_deadline(watch.progress.deadline(&asking.policy));
            observer.event(&Event::Added { watch });
        }
    }
    let observer = RefCell::new(observer);
    let mut teller = Teller { console, observer: &observer, output, endings: Vec::new(), failure: None };
    let mut runner = Runner {
        store: &mut store,
        poller: &asking.client,
        policy: &asking.policy,
        clock: *clock,
        concurrency: settings.concurrency(),
        rng: fastrand::Rng::new(),
    };
    let following = runner.run_until_idle(|event| teller.event(&event, any));
    let signal = tokio::select! {
        biased;
        signal = signals.next() => Some(signal),
        () = following => None,
        _ = keep_ticking(|| observer.borrow_mut().tick()) => None,
    };
    let outcome = signal.map_or(Outcome::Abandoned, Outcome::Interrupted);
    for watch in store.unfinished() {
        teller.end(Ending { watch: watch.clone(), outcome, report: None, at: clock.now() });
    }
    let links = teller.tell_with_links(&asking.client, asking.policy.request_timeout);
    signals.unless_interrupted(links).await.map_err(CommandError::Interrupted)?;
    console.line.clear();
    if let Some(error) = teller.failure {
        return Err(error);
    }
    let mut endings = teller.endings;
    endings.sort_by_key(|ending| asking.exports.iter().position(|export| *export == ending.watch.export));
    Ok(endings)
}

/// How often the links of an export that has finished are asked for, and the pause after the first failure.
const LINKS_TRIES: u32 = 3;
const LINKS_PAUSE: Duration = Duration::from_secs(1);

/// Tells of each end once: on standard output, in words, and to the CI system.
struct Teller<'a> {
    console: &'a Console,
    observer: &'a RefCell<Observer>,
    output: OutputArgs,
    endings: Vec<Ending>,
    failure: Option<CommandError>,
}

impl Teller<'_> {
    /// Takes an event; breaks off when nothing more is wanted.
    fn event(&mut self, event: &Event<'_>, any: bool) -> ControlFlow<()> {
        let Event::Finished(ending) = event else {
            self.observer.borrow_mut().event(event);
            return ControlFlow::Continue(());
        };
        self.end((*ending).clone());
        let enough = any && ending.outcome == Outcome::Finished;
        if enough || self.failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Takes an end, and tells of it unless links are still to be asked for.
    fn end(&mut self, ending: Ending) {
        self.observer.borrow_mut().event(&Event::Finished(&ending));
        if !self.wants_links(&ending) {
            self.tell(&ending);
        }
        self.endings.push(ending);
    }

    fn wants_links(&self, ending: &Ending) -> bool {
        self.output.show_urls && lacks_results(ending)
    }

    fn tell(&mut self, ending: &Ending) {
        let line = match self.output.output {
            Output::Json => Document::of_ending(ending, self.output.show_urls).to_line(),
            Output::Text => text_line(ending, self.output.show_urls),
        };
        self.failure = self.console.data_line(&line).err().or(self.failure.take());
        let (sentence, advice) = self.observer.borrow().closing(ending);
        let is_well = matches!(ending.outcome, Outcome::Finished | Outcome::Abandoned);
        match (self.console.is_json(), is_well) {
            (true, _) => {}
            (false, true) => self.console.success(&sentence),
            (false, false) => self.console.failure(&sentence, advice.as_deref()),
        }
        if !is_well {
            self.console.annotate(&sentence);
        }
    }

    /// Tells of the ends whose documents listed no results, with what the results endpoint lists. That it cannot
    /// be asked changes nothing about how the export ended.
    async fn tell_with_links(&mut self, client: &Client, limit: Duration) {
        for index in 0..self.endings.len() {
            if !self.wants_links(&self.endings[index]) {
                continue;
            }
            let mut ending = self.endings[index].clone();
            if let Some(report) = ask_for_results(client, &ending.watch.export, limit).await {
                ending.report = Some(report);
            }
            self.tell(&ending);
            self.endings[index] = ending;
        }
    }
}

/// Whether an export has finished without a word on its files.
pub(super) fn lacks_results(ending: &Ending) -> bool {
    ending.outcome == Outcome::Finished
        && ending.report.as_ref().is_some_and(|report| report.results.is_none())
}

/// What the results endpoint lists of an export that has finished.
pub(super) async fn ask_for_results(client: &Client, export: &ExportRef, limit: Duration) -> Option<Report> {
    for attempt in 1..=LINKS_TRIES {
        let (passing, problem) = match tokio::time::timeout(limit, client.results(export)).await {
            Ok(Ok(report)) => return Some(report),
            Ok(Err(failure)) => {
                let passing = matches!(failure.kind, FailureKind::Transient | FailureKind::Throttled);
                (passing, failure.problem.to_string())
            }
            Err(_) => (true, "request timed out".to_owned()),
        };
        tracing::warn!(export.id = %export.export_id, problem, "the results could not be listed");
        if !passing || attempt == LINKS_TRIES {
            break;
        }
        tokio::time::sleep(LINKS_PAUSE * attempt).await;
    }
    None
}

/// `EXPORT_ID outcome`, and what there is to fetch; with links, one a line below.
fn text_line(ending: &Ending, show_urls: bool) -> String {
    let mut line = format!("{} {}", ending.watch.export.export_id, ending.outcome);
    if ending.outcome != Outcome::Finished {
        return line;
    }
    let results = ending.report.as_ref().and_then(|report| report.results.as_deref()).unwrap_or_default();
    let count = |count: u64, noun: &str| format!(" {count} {noun}{}", if count == 1 { "" } else { "s" });
    if let Some(rows) = ending.row_count() {
        line += &count(rows, "row");
    }
    if !results.is_empty() {
        line += &count(results.len() as u64, "file");
    }
    let urls = results.iter().filter_map(|part| part.url.as_ref()).filter(|_| show_urls);
    // A link is one line, whatever a server put into it.
    urls.fold(line, |line, url| line + "\n" + &url.expose().replace(char::is_control, ""))
}

/// The file that a command names: found now, and not only when the wait is over.
fn executable(name: &OsStr, environment: &Environment) -> Result<PathBuf, CommandError> {
    let missing = || CommandError::NoCommand(Text::new(&name.to_string_lossy()));
    let path = Path::new(name);
    if path.components().count() > 1 {
        return is_executable(path).then(|| path.to_owned()).ok_or_else(missing);
    }
    let directories =
        std::env::split_paths(environment.get("PATH").unwrap_or("/usr/bin:/bin")).collect::<Vec<_>>();
    directories
        .iter()
        .map(|directory| directory.join(name))
        .find(|path| is_executable(path))
        .ok_or_else(missing)
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs the command in our place; returns only if that fails.
fn replace_us(program: &Path, command: &[OsString], endings: &[Ending]) -> CommandError {
    use std::os::unix::process::CommandExt as _;
    let finished: Vec<&Ending> =
        endings.iter().filter(|ending| ending.outcome == Outcome::Finished).collect();
    let list =
        |of: fn(&Ending) -> String| finished.iter().map(|ending| of(ending)).collect::<Vec<_>>().join(",");
    let error = std::process::Command::new(program)
        .arg0(command.first().map_or(program.as_os_str(), OsString::as_os_str))
        .args(command.iter().skip(1))
        .env("SNYK_EXPORT_RESULT_OUTCOME", Outcome::Finished.as_str())
        .env("SNYK_EXPORT_RESULT_SCOPE", list(|ending| ending.watch.export.scope.to_string()))
        .env("SNYK_EXPORT_RESULT_SCOPE_ID", list(|ending| ending.watch.export.scope_id.to_string()))
        .env("SNYK_EXPORT_RESULT_EXPORT_ID", list(|ending| ending.watch.export.export_id.to_string()))
        .env("SNYK_EXPORT_RESULT_ROW_COUNT", list(row_count))
        .exec();
    CommandError::Exec(Text::new(&program.to_string_lossy()), error)
}

fn row_count(ending: &Ending) -> String {
    ending.row_count().map(|count| count.to_string()).unwrap_or_default()
}
