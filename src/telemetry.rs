//! Log lines on standard error, in one of three renderings.

mod human;
mod logfmt;
mod look;
mod record;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Json, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

pub use self::look::{Look, Mark, Rendering, in_ascii};
use self::record::Record;
use crate::clock::Clock;
use crate::output::Output;

/// How log lines look. A reload may change it.
#[derive(Debug)]
pub struct LogStyle(Mutex<Look>);

impl LogStyle {
    /// Lines that look like this.
    #[must_use]
    pub const fn new(look: Look) -> Self {
        Self(Mutex::new(look))
    }

    /// Changes it from now on.
    pub fn change(&self, look: Look) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }

    /// How they look now.
    #[must_use]
    pub fn look(&self) -> Look {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts to write log lines of `level` and above. Later calls do nothing. Lines of other crates are left out, since they may
/// show secrets.
pub fn init(style: Arc<LogStyle>, level: Level, clock: Clock, output: Output) {
    log_panics();
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let json = Format::default().json().flatten_event(true).with_current_span(false).with_span_list(false);
    let json = json.with_target(false).with_timer(Timestamps(clock));
    let layer = tracing_subscriber::fmt::layer().with_writer(Log(output)).log_internal_errors(false);
    let layer = layer.event_format(Lines { style, json, clock }).with_filter(ours);
    // It fails if there is a subscriber already.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
}

/// Logs panics, on one line each.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let what = panic.payload_as_str().unwrap_or("unknown");
        tracing::error!(
            panic.location = place,
            panic.message = what,
            "a bug of snyk-export: please report it"
        );
    }));
}

struct Timestamps(Clock);

impl FormatTime for Timestamps {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", self.0.now())
    }
}

struct Log(Output);

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl io::Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.log(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats lines as they are to look.
struct Lines {
    style: Arc<LogStyle>,
    json: Format<Json, Timestamps>,
    clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (look, level) = (self.style.look(), *event.metadata().level());
        let at = || self.clock.now().to_string();
        match look.rendering {
            Rendering::Json => return self.json.format_event(context, writer, event),
            Rendering::Human => {
                let line = human::line(&at(), level, &look, &Record::of(event));
                return line.map_or(Ok(()), |line| writer.write_str(&line));
            }
            Rendering::Logfmt => {}
        }
        let colors = match level {
            _ if !look.is_colored => ["", ""],
            Level::ERROR => ["\x1b[31m", "\x1b[0m"],
            Level::WARN => ["\x1b[33m", "\x1b[0m"],
            _ => ["\x1b[2m", "\x1b[0m"],
        };
        writer.write_str(&logfmt::line(&at(), level, colors, &Record::of(event)))
    }
}

#[cfg(test)]
mod tests;
