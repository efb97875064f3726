//! What each command does, from parsed arguments to an exit code.

mod asking;
mod console;
mod deliveries;
mod demo;
mod doctor;
mod download;
mod error;
mod files;
mod healthcheck;
mod missing;
mod ping;
mod remote;
mod run;
mod scripts;
mod simulate;
mod start;
mod status;
mod typed;
mod wait;
mod watch;
mod watches;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};

use self::asking::Asking;
use self::console::{Console, Manner, chain};
use self::error::CommandError;
use self::ping::Pinging;
use self::typed::Typed;
use crate::cli::{Cli, Command};
use crate::clock::Clock;
use crate::exit::ExitCode;
use crate::observe::dotenv::Dotenv;
use crate::output::Output;
use crate::process::systemd_listens_at;
use crate::settings::places::given;
use crate::settings::{CommandLine, Environment, Settings, SettingsError};
use crate::signals::Signals;
use crate::text::Text;
use crate::words::{Closing, GoOn};

/// What every command needs.
struct Session {
    /// The typed arguments, and the API once it is known.
    typed: Mutex<Typed>,
    settings: Arc<Settings>,
    /// The flags, to read the settings again.
    command_line: CommandLine,
    /// The settings file that was named, whether or not the command reads it.
    settings_file: Option<PathBuf>,
    /// All variables: the settings of some commands know only a few.
    environment: Environment,
    /// Whether the command only follows exports.
    only_follows: bool,
    clock: Clock,
    console: Console,
    signals: Signals,
    /// The dead man's switch.
    pinging: Option<Arc<Pinging>>,
}

impl Session {
    /// How long the command has run.
    fn waited(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The command that continues with the subcommand `target`.
    fn go_on(&self, target: &'static str) -> GoOn {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner).go_on(target)
    }
}

/// Whether the arguments start the daemon. This is only a quick look: they are parsed later.
#[must_use]
pub fn is_daemon(args: &[OsString]) -> bool {
    args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == "watch")
}

/// Runs the program and returns its exit code. By then all output is written, as far as somebody reads it.
pub async fn run(
    args: Vec<OsString>,
    environment: Environment,
    signals: Signals,
    output: Output,
) -> ExitCode {
    let clock = Clock::start();
    let early = Console::early(&args, &environment, output.clone());
    let code = match parse(&args, early.is_colored()) {
        Ok(parsed) => load_and_run(parsed, environment, clock, &signals, output).await,
        Err(error) => Ok((early.refuse(&error, &args, clock), None)),
    };
    let refuse = |error: CommandError| {
        early.start_logging(clock);
        let code = error.exit_code();
        early.error(&error, None, code);
        code
    };
    let (code, pinging) = code.unwrap_or_else(|error| (refuse(error), None));
    let code = match early.flush(&signals).await {
        Ok(()) => code,
        // There is no time left to report it.
        Err(CommandError::Interrupted(signal)) => ExitCode::of_signal(signal),
        Err(error) => {
            let failed = refuse(error);
            // Its data is already lost.
            let _ = early.flush(&signals).await;
            ExitCode::deciding([code, failed])
        }
    };
    if let Some(pinging) = pinging {
        pinging.end(code).await;
        // A warning, if it failed.
        let _ = early.flush(&signals).await;
    }
    code
}

/// Fails only if the settings cannot be loaded. A command's own failure is already reported.
async fn load_and_run(
    (cli, given, typed): (Cli, BTreeSet<String>, Typed),
    environment: Environment,
    clock: Clock,
    signals: &Signals,
    output: Output,
) -> Result<(ExitCode, Option<Arc<Pinging>>), CommandError> {
    if matches!(cli.command, Command::Watch(_)) {
        signals.reload_on_hangup();
        environment.get("NOTIFY_SOCKET").into_iter().for_each(systemd_listens_at);
    }
    let settings_file = cli.settings_file(&environment);
    let all_variables = environment.clone();
    let environment = if cli.command.asks_snyk() { environment } else { environment.of_speech() };
    let command_line = cli.command_line(given);
    let again = command_line.clone();
    let (settings, mut mistakes) = aside(signals, || Settings::salvage(command_line, environment)).await?;
    let is_doctor = matches!(cli.command, Command::Doctor(_));
    if !(is_doctor || mistakes.is_empty()) {
        return Err(mistakes.swap_remove(0).into());
    }
    let level = match (cli.global.quiet, cli.global.verbose) {
        (_, true) => tracing::Level::DEBUG,
        // What a doctor finds says what a warning would.
        (quiet, false) if quiet || is_doctor => tracing::Level::ERROR,
        (_, false) => tracing::Level::INFO,
    };
    let (no_progress, is_daemon) = (cli.global.no_progress, matches!(cli.command, Command::Watch(_)));
    let manner = Manner { quiet: cli.global.quiet, no_progress, is_daemon };
    let mut console = Console::start(&settings, level, manner, clock, output);
    if let Some(path) = &cli.global.dotenv {
        let unusable = |error| CommandError::Usage(format!("--dotenv {}: {error}", Text::of_path(path)));
        console.actions = console.actions.with_dotenv(Dotenv::new(path).map_err(unusable)?);
    }
    for (name, near) in settings.unknown_variables() {
        let hint = near.map(|near| format!("did you mean {near}?"));
        tracing::warn!(setting = name, hint, "there is no such variable, it is ignored");
    }
    let (settings, signals) = (Arc::new(settings), signals.clone());
    let (typed, only_follows) = (Mutex::new(typed), cli.command.only_follows());
    let (pinging, refused) = match Pinging::of(&cli.command, &settings, console.last.clone(), &signals).await
    {
        Ok(pinging) => (pinging, None),
        Err(error) => (None, Some(error)),
    };
    let session = Session {
        typed,
        settings,
        command_line: again,
        settings_file,
        environment: all_variables,
        only_follows,
        clock,
        console,
        signals,
        pinging: pinging.clone(),
    };
    let ran = match refused {
        None => dispatch(cli.command, mistakes, &session).await,
        Some(error) => Err(error),
    };
    Ok((ran.unwrap_or_else(|error| failed(&error, &session)), pinging))
}

/// Reports why a command failed, and returns its exit code.
fn failed(error: &CommandError, session: &Session) -> ExitCode {
    let code = error.exit_code();
    session.console.error(error, None, code);
    if matches!(error, CommandError::Folder(_)) {
        // A workflow reads why there are no files.
        session.console.actions.hand_on_values(&[("outcome", "not-downloaded".to_owned())]);
        session.console.actions.summarize(&Closing { head: chain(error), ..Closing::default() });
    }
    code
}

/// Runs a command. Only `doctor` runs although there are `mistakes` in the settings.
async fn dispatch(
    command: Command,
    mistakes: Vec<SettingsError>,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    // A daemon does so itself, once it has its store: a second one on the same settings must not.
    let is_daemon = matches!(&command, Command::Watch(_));
    session.pinging.iter().filter(|_| !is_daemon).for_each(|pinging| pinging.start());
    match command {
        Command::Wait(args) => wait::run(*args, session).await,
        Command::Status(args) => status::run(args, session).await,
        Command::Start(args) => start::run(&args, session).await,
        Command::Download(args) => download::run(&args, session).await,
        Command::Run(args) => run::run(*args, session).await,
        Command::Watch(args) => watch::run(&args, session).await,
        Command::Doctor(args) => doctor::run(&args, mistakes, session).await,
        Command::Healthcheck(args) => healthcheck::run(&args, session).await,
        Command::Watches(args) => watches::run(*args, session).await,
        Command::Deliveries(args) => deliveries::run(args, session).await,
        Command::Simulate(args) => simulate::run(&args, session).await,
        Command::Demo => demo::run(session).await,
        Command::Completions { shell } => scripts::completions(shell, session),
        Command::Man { dir } => scripts::manual(dir.as_deref(), session),
    }
}

/// Reads files in a way that a signal can interrupt: a file may be a pipe that nobody writes to.
async fn aside<T: Send + 'static>(
    signals: &Signals,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CommandError> {
    signals.unless_interrupted(blocking(read)).await.map_err(CommandError::Interrupted)
}

/// Runs blocking work on another thread. Dropping the future does not stop the work.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// The names of the variables are added only if help is shown: that takes longer than parsing.
fn parse(args: &[OsString], colored: bool) -> Result<(Cli, BTreeSet<String>, Typed), clap::Error> {
    let color = if colored { ColorChoice::Auto } else { ColorChoice::Never };
    let mut command = Cli::command().color(color);
    let matches = command.try_get_matches_from_mut(args);
    let parsed = matches.and_then(|matches| {
        let (typed, given) = (Typed::of(&command, &matches), given(&matches));
        Cli::refuse_unused(&matches, &given)?;
        Ok((Cli::from_arg_matches(&matches)?, given, typed))
    });
    parsed.map_err(|error| {
        let asks_for_help = matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        let described = || Cli::describe().color(color).try_get_matches_from(args).err();
        asks_for_help.then(described).flatten().unwrap_or(error)
    })
}
