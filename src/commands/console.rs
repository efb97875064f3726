//! Standard output for data, standard error for people; and what a CI system wants to hear besides.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use clap::error::{ContextKind, ContextValue};

use super::CommandError;
use crate::clock::Clock;
use crate::exit::ExitCode;
use crate::observe::ProgressLine;
use crate::observe::annotations::GitHubActions;
use crate::settings::{Color, Environment};
use crate::telemetry::{self, LogStyle};
use crate::text::Text;

/// Whether standard error is a terminal on which a line can be redrawn.
pub(super) fn is_terminal(environment: &Environment) -> bool {
    std::io::stderr().is_terminal() && environment.get("TERM") != Some("dumb")
}

/// Whether text on standard error is colored.
pub(super) fn is_colored(color: Color, environment: &Environment) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_terminal(environment) && environment.get("NO_COLOR").is_none(),
    }
}

/// What clap says of a mistake, without what must not be shown: a token or a signed link may have been pasted.
fn without_secrets(error: &clap::Error) -> String {
    let given = [ContextKind::InvalidValue, ContextKind::InvalidSubcommand, ContextKind::InvalidArg];
    given.into_iter().fold(error.to_string(), |text, kind| match error.get(kind) {
        Some(ContextValue::String(value)) => text.replace(value.as_str(), Text::of_input(value).as_str()),
        _ => text,
    })
}

/// Where a command speaks.
pub(super) struct Console {
    json: bool,
    ansi: bool,
    quiet: bool,
    pub(super) line: ProgressLine,
    pub(super) actions: GitHubActions,
}

impl Console {
    pub(super) const fn new(
        json: bool,
        ansi: bool,
        quiet: bool,
        line: ProgressLine,
        actions: GitHubActions,
    ) -> Self {
        Self { json, ansi, quiet, line, actions }
    }

    /// A console for the time before the settings are known: what matters by then is whether a machine reads, and
    /// whether colors are wanted.
    pub(super) fn early(args: &[OsString], environment: &Environment) -> Self {
        // What follows `--` is another program's.
        let args: Vec<&OsString> = args.iter().take_while(|arg| *arg != "--").collect();
        let flag = |flag: &str| {
            let mut pairs = args.iter().zip(args.iter().skip(1));
            let apart =
                pairs.find_map(|(name, value)| (*name == flag).then(|| value.to_string_lossy().into_owned()));
            let together =
                |arg: &&OsString| Some(arg.to_str()?.strip_prefix(flag)?.strip_prefix('=')?.to_owned());
            apart.or_else(|| args.iter().find_map(together))
        };
        let (format, color) = (flag("--log-format"), flag("--color"));
        let json = format.as_deref().or(environment.get("SNYK_EXPORT_LOG_FORMAT")) == Some("json");
        let color =
            color.as_deref().or(environment.get("SNYK_EXPORT_COLOR")).and_then(|color| color.parse().ok());
        let ansi = is_colored(color.unwrap_or(Color::Auto), environment);
        Self::new(json, ansi, false, ProgressLine::new(false), GitHubActions::detect(environment))
    }

    /// Whether text on standard error is colored.
    pub(super) const fn is_colored(&self) -> bool {
        self.ansi
    }

    /// Whether standard error carries JSON.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Starts logging for a process that is about to end with an error.
    pub(super) fn start_logging(&self, clock: Clock) {
        let style = LogStyle { json: self.json, ansi: false, level: tracing::Level::INFO };
        telemetry::init(style, clock, self.line.clone());
    }

    /// Writes what clap says: help is data, an error is an error.
    pub(super) fn refuse(&self, error: &clap::Error, clock: Clock) -> ExitCode {
        if !error.use_stderr() {
            // Nobody reading any more is no error.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let text = without_secrets(error);
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        if self.json {
            self.start_logging(clock);
        }
        self.failed(message, None, || tracing::error!(reason = message, "the command failed"));
        ExitCode::USAGE
    }

    /// Tells of an error, with all its causes, once.
    pub(super) fn error(&self, error: &dyn std::error::Error, hint: Option<&str>) {
        let reason = chain(error);
        self.failed(&reason, hint, || tracing::error!(reason, hint, "the command failed"));
    }

    /// A failure in text, with what to do.
    pub(super) fn failure(&self, message: &str, hint: Option<&str>) {
        let [red, bold, off] = if self.ansi { ["\x1b[1;31m", "\x1b[1m", "\x1b[0m"] } else { ["", "", ""] };
        let hint = hint.map(|hint| format!("{bold}hint:{off} {hint}\n")).unwrap_or_default();
        self.line.write_above(format!("{red}error:{off} {message}\n{hint}").as_bytes());
    }

    /// A success: in words for people, unless only errors are wanted, or by `log` where machines read.
    pub(super) fn success(&self, words: &str, log: impl FnOnce()) {
        match (self.json, self.quiet) {
            (true, _) => log(),
            (false, false) => self.line.write_above(format!("{words}\n").as_bytes()),
            (false, true) => {}
        }
    }

    /// A failure, with what to do: in words for people, or by `log` where machines read; and for the CI system.
    pub(super) fn failed(&self, words: &str, hint: Option<&str>, log: impl FnOnce()) {
        if self.json {
            log();
        } else {
            self.failure(words, hint);
        }
        self.annotate(words.split("\n\n").next().unwrap_or(words));
    }

    /// A failure for the CI system.
    pub(super) fn annotate(&self, message: &str) {
        if let Some(annotation) = self.actions.annotation(message) {
            self.line.write_above(annotation.as_bytes());
        }
    }

    /// A line of data on standard output.
    pub(super) fn data_line(&self, line: &str) -> Result<(), CommandError> {
        self.line.aside(|| data(format!("{line}\n").as_bytes())).map(|_| ())
    }
}

/// An error with all its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"))
}

/// Data on standard output, which is all that some commands do. A reader that has gone away has read enough.
pub(super) fn data(bytes: &[u8]) -> Result<ExitCode, CommandError> {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}
