//! Standard output for data, standard error for people; and what a CI system wants to hear besides.

use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};

use super::CommandError;
use crate::clock::Clock;
use crate::exit::ExitCode;
use crate::observe::ProgressLine;
use crate::observe::annotations::GitHubActions;
use crate::settings::Environment;
use crate::telemetry::{self, LogStyle};

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

    /// A console for the time before the settings are known: all that matters by then is whether a machine reads.
    pub(super) fn early(args: &[OsString], environment: &Environment) -> Self {
        let flag = args
            .iter()
            .zip(args.iter().skip(1))
            .any(|(name, value)| name == "--log-format" && value == "json");
        let json = flag
            || args.iter().any(|arg| arg == "--log-format=json")
            || environment.get("SNYK_EXPORT_LOG_FORMAT") == Some("json");
        Self::new(json, false, false, ProgressLine::new(false), GitHubActions::detect(environment))
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
        let text = error.to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        if self.json {
            self.start_logging(clock);
            tracing::error!("{message}");
        } else {
            let _ = error.print();
        }
        self.annotate(message.split("\n\n").next().unwrap_or(message));
        ExitCode::USAGE
    }

    /// Tells of an error, with all its causes, once.
    pub(super) fn error(&self, error: &dyn std::error::Error, hint: Option<&str>) {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        if self.json {
            tracing::error!(hint, "{message}");
        } else {
            self.failure(&message, hint);
        }
        self.annotate(&message);
    }

    /// A failure in text, with what to do.
    pub(super) fn failure(&self, message: &str, hint: Option<&str>) {
        let [red, bold, off] = if self.ansi { ["\x1b[1;31m", "\x1b[1m", "\x1b[0m"] } else { ["", "", ""] };
        let hint = hint.map(|hint| format!("{bold}hint:{off} {hint}\n")).unwrap_or_default();
        self.line.write_above(format!("{red}error:{off} {message}\n{hint}").as_bytes());
    }

    /// A success in text, unless only errors are wanted.
    pub(super) fn success(&self, message: &str) {
        if !self.quiet {
            self.line.write_above(format!("{message}\n").as_bytes());
        }
    }

    /// A failure for the CI system.
    pub(super) fn annotate(&self, message: &str) {
        if let Some(annotation) = self.actions.annotation(message) {
            self.line.write_above(annotation.as_bytes());
        }
    }

    /// A line of data on standard output.
    pub(super) fn data_line(&self, line: &str) -> Result<(), CommandError> {
        self.data(format!("{line}\n").as_bytes())
    }

    /// Data on standard output. A reader that has gone away has read enough.
    pub(super) fn data(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let written = self.line.aside(|| {
            let mut output = std::io::stdout().lock();
            output.write_all(bytes).and_then(|()| output.flush())
        });
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
            _ => Ok(()),
        }
    }
}
