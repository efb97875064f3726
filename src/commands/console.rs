//! Writes data to standard output, messages to standard error, and annotations for CI systems.

mod closing;
mod last;
mod look;
mod typo;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::sync::Arc;

use clap::error::ErrorKind;

pub(super) use self::last::LastWords;
use super::CommandError;
use crate::cli::Output as Format;
use crate::clock::Clock;
use crate::disk;
use crate::document::Document;
use crate::event::{TaskEvent, TaskFailure};
use crate::exit::ExitCode;
use crate::moment::Moment;
use crate::observe::annotations::GitHubActions;
use crate::observe::log_event;
use crate::output::{Output, ProgressLine, Unwritten};
use crate::secret::Link;
use crate::settings::{Color, Environment, LogFormat, Settings};
use crate::signals::Signals;
use crate::telemetry::{self, LogStyle, Look, Rendering};
use crate::watch::observation::Report;
use crate::words::Closing;

/// What the command and its flags say about output.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// Only errors are written.
    pub(super) quiet: bool,
    /// No progress line is drawn.
    pub(super) no_progress: bool,
    /// The lines are those of a daemon.
    pub(super) is_daemon: bool,
}

/// Where a command writes.
pub(super) struct Console {
    style: Arc<LogStyle>,
    manner: Manner,
    /// Whether standard output is a terminal.
    shows_data: bool,
    output: Output,
    pub(super) line: ProgressLine,
    pub(super) actions: GitHubActions,
    /// What people have read at the end.
    pub(super) last: LastWords,
}

impl Console {
    /// A console according to `settings`. It starts logging at `level`.
    pub(super) fn start(
        settings: &Settings,
        level: tracing::Level,
        manner: Manner,
        clock: Clock,
        output: Output,
    ) -> Self {
        let environment = settings.environment();
        let look = look::of(settings.log(), manner.is_daemon, environment);
        let has_line = !(manner.quiet || manner.no_progress || manner.is_daemon)
            && look.rendering == Rendering::Human
            && look::is_terminal(environment);
        let line = match has_line {
            true => ProgressLine::on(output.clone(), look.is_unicode),
            false => ProgressLine::default(),
        };
        let style = Arc::new(LogStyle::new(look));
        telemetry::init(Arc::clone(&style), level, clock, output.clone());
        Self { line, ..Self::over(style, manner, environment, output) }
    }

    fn over(style: Arc<LogStyle>, manner: Manner, environment: &Environment, output: Output) -> Self {
        let actions = GitHubActions::detect(|name| environment.get(name));
        let shows_data = std::io::stdout().is_terminal();
        Self {
            style,
            manner,
            shows_data,
            output,
            line: ProgressLine::default(),
            actions,
            last: LastWords::default(),
        }
    }

    /// Follows these settings from now on.
    pub(super) fn take_on(&self, settings: &Settings) {
        self.style.change(look::of(settings.log(), self.manner.is_daemon, settings.environment()));
    }

    /// A console for use before the settings are loaded. It only knows the format of logs, and whether to use colors.
    pub(super) fn early(args: &[OsString], environment: &Environment, output: Output) -> Self {
        // What follows `--` belongs to another program.
        let args: Vec<&OsString> = args.iter().take_while(|arg| *arg != "--").collect();
        let flag = |flag: &str| {
            let mut pairs = args.iter().zip(args.iter().skip(1));
            let apart =
                pairs.find_map(|(name, value)| (*name == flag).then(|| value.to_string_lossy().into_owned()));
            let together =
                |arg: &&OsString| Some(arg.to_str()?.strip_prefix(flag)?.strip_prefix('=')?.to_owned());
            apart.or_else(|| args.iter().find_map(together))
        };
        let format = flag("--log-format").or(environment.get("SNYK_EXPORT_LOG_FORMAT").map(str::to_owned));
        let format = format.and_then(|format| clap::ValueEnum::from_str(&format, true).ok());
        let color = flag("--color").or(environment.get("SNYK_EXPORT_COLOR").map(str::to_owned));
        let color = color.and_then(|color| clap::ValueEnum::from_str(&color, true).ok());
        let chosen = (format.unwrap_or(LogFormat::Auto), color.unwrap_or(Color::Auto));
        let style = Arc::new(LogStyle::new(look::of(chosen, false, environment)));
        Self::over(style, Manner::default(), environment, output)
    }

    fn look(&self) -> Look {
        self.style.look()
    }

    /// How text on standard output looks.
    pub(super) fn look_of_data(&self, environment: &Environment) -> Look {
        let look = self.look();
        Look {
            is_colored: look.is_colored && self.shows_data,
            is_unicode: environment.has_unicode(),
            width: look::width(std::io::stdout()),
            ..look
        }
    }

    /// Whether text on standard error is colored.
    pub(super) fn is_colored(&self) -> bool {
        self.look().is_colored
    }

    /// Whether logs are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.look().rendering == Rendering::Json
    }

    /// Whether people see both streams on one screen, and the last lines say what standard output would.
    pub(super) fn says_it_in_words(&self) -> bool {
        self.shows_data && !self.manner.quiet && self.look().rendering == Rendering::Human
    }

    /// Whether the line on standard output stands on the same screen, and says enough of a success.
    pub(super) fn says_it_as_data(&self) -> bool {
        self.shows_data && std::io::stderr().is_terminal() && self.look().rendering == Rendering::Logfmt
    }

    /// Starts logging in a process that is about to fail.
    pub(super) fn start_logging(&self, clock: Clock) {
        telemetry::init(Arc::clone(&self.style), tracing::Level::INFO, clock, self.output.clone());
    }

    /// Writes clap's output: help to standard output, errors to standard error.
    pub(super) fn refuse(&self, error: &clap::Error, args: &[OsString], clock: Clock) -> ExitCode {
        if !error.use_stderr() {
            let help = error.render();
            let is_colored = self.is_colored() && self.shows_data;
            let help = if is_colored { help.ansi().to_string() } else { help.to_string() };
            self.output.data(help.as_bytes());
            return ExitCode::SUCCESS;
        }
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !self.is_json() {
            self.output.say(format!("{}", error.render()).as_bytes());
            return ExitCode::USAGE;
        }
        let text = typo::without_secrets(error, args);
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        if self.is_json() {
            self.start_logging(clock);
        }
        self.failed(message, None, ExitCode::USAGE);
        ExitCode::USAGE
    }

    /// Reports an error with all its causes. It counts for `code`.
    pub(super) fn error(&self, error: &dyn std::error::Error, hint: Option<&str>, code: ExitCode) {
        self.failed(&chain(error), hint, code);
    }

    /// Reports a failure of ours and a hint: in words, or in the log if logs are JSON; also as an annotation for the CI
    /// system.
    fn failed(&self, reason: &str, hint: Option<&str>, code: ExitCode) {
        let look = self.look();
        if look.rendering == Rendering::Json {
            tracing::error!(reason, hint, "the command failed");
        } else {
            let [red, bold, off] = match look.is_colored {
                true => ["\x1b[1;31m", "\x1b[1m", "\x1b[0m"],
                false => ["", "", ""],
            };
            let hint =
                hint.map(|hint| format!("{bold}hint:{off} {}\n", look.symbols(hint))).unwrap_or_default();
            let reason = if reason.contains('\n') { look.symbols(reason) } else { look.wrapped(reason, 7) };
            self.output.say(format!("{red}error:{off} {reason}\n{hint}").as_bytes());
        }
        // Without the indent of a terminal's lines.
        let head = reason.split("\n\n").next().unwrap_or(reason);
        let head = head.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
        let next = hint.map(str::to_owned);
        let closing = Closing { head, next, exit: Some((code.code(), "")), ..Closing::default() };
        self.last.add(&closing);
        self.annotate(&closing);
    }

    /// Reports a success: in words, or by `log` if logs are JSON. With `--quiet` nothing is written in words.
    pub(super) fn success(&self, words: &str, log: impl FnOnce()) {
        match (self.is_json(), self.manner.quiet) {
            (true, _) => log(),
            // What has lines of its own keeps them.
            (false, false) => {
                let look = self.look();
                let words = if words.contains('\n') { look.symbols(words) } else { look.wrapped(words, 0) };
                self.output.say(format!("{words}\n").as_bytes());
            }
            (false, true) => {}
        }
    }

    /// Writes the last lines about an export or a step; nothing if logs are JSON. With `--quiet` only failures are written.
    pub(super) fn close(&self, closing: &Closing) {
        self.last.add(closing);
        let look = self.look();
        if look.rendering != Rendering::Json && !(self.manner.quiet && closing.is_well) {
            self.output.say(closing::render(closing, &look).as_bytes());
        }
    }

    /// Writes that a step is done: in words, or by `log` if logs are JSON.
    pub(super) fn done(&self, head: String, next: Option<String>, log: impl FnOnce()) {
        if self.is_json() {
            log();
        }
        self.close(&Closing { is_well: true, head, next, ..Closing::default() });
    }

    /// Reports a start or a download that failed, and returns the exit code.
    pub(super) fn failed_task(
        &self,
        failure: TaskFailure,
        what: fn(Box<TaskFailure>) -> TaskEvent,
        now: Moment,
    ) -> ExitCode {
        let (exit_code, closing) = (failure.exit_code, Closing::of_failure(&failure));
        if self.is_json() {
            log_event(&what(Box::new(failure)).at(now));
        }
        self.close(&closing);
        self.annotate(&closing);
        self.actions.summarize(&closing);
        exit_code
    }

    /// Writes a failure as an annotation for the CI system.
    pub(super) fn annotate(&self, closing: &Closing) {
        if let Some(annotation) = self.actions.annotation(closing) {
            self.output.say(annotation.as_bytes());
        }
    }

    /// A function that tells the CI system to mask a secret from then on.
    pub(super) fn mask(&self) -> impl Fn(&str) + Clone + Send + Sync + 'static + use<> {
        let (actions, output) = (self.actions.clone(), self.output.clone());
        move |secret| {
            if let Some(line) = actions.mask(secret) {
                output.say(line.as_bytes());
            }
        }
    }

    /// Tells the CI system to mask the links that are about to be printed: whole, and their queries alone.
    pub(super) fn mask_links(&self, report: Option<&Report>) {
        let links = report.and_then(|report| report.results.as_deref()).unwrap_or_default();
        let mask = self.mask();
        for link in links.iter().filter_map(|part| part.link.as_ref()).map(Link::show) {
            link.split_once('?').into_iter().for_each(|(_, query)| mask(query));
            mask(&link);
        }
    }

    /// Writes a result to standard output, as JSON or as text. An empty text is not written. The error may be about an
    /// earlier write.
    pub(super) fn result(&self, output: Format, document: &Document, text: &str) -> Result<(), CommandError> {
        match output {
            Format::Json => self.data(format!("{}\n", document.to_line()).as_bytes()),
            Format::Text if text.is_empty() => Ok(()),
            Format::Text => self.data(format!("{text}\n").as_bytes()),
        }
    }

    /// Writes data to standard output. The error may be about an earlier write.
    pub(super) fn data(&self, bytes: &[u8]) -> Result<(), CommandError> {
        self.output.data(bytes);
        self.output.failure().map_or(Ok(()), |error| Err(CommandError::Output(error)))
    }

    /// A function that writes a line to standard error.
    pub(super) fn note(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let output = self.output.clone();
        move |line| output.log(format!("{line}\n").as_bytes())
    }

    /// Waits until all output is written. It does not wait long after a signal, nor if nobody reads standard error.
    pub(super) async fn flush(&self, signals: &Signals) -> Result<(), CommandError> {
        match self.output.flush(signals.ended()).await {
            Ok(()) => Ok(()),
            Err(Unwritten::Failed(error)) => Err(CommandError::Output(error)),
            Err(Unwritten::Unread) => Err(CommandError::Interrupted(signals.ended().await)),
        }
    }
}

/// An error with all its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = || std::iter::successors(error.source(), |cause| cause.source());
    let message = causes().fold(error.to_string(), |message, cause| format!("{message}: {cause}"));
    let is_too_large = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::FileTooLarge)
    };
    match disk::size_limit().filter(|_| causes().any(is_too_large)) {
        Some(limit) => format!("{message}; {limit}"),
        None => message,
    }
}
