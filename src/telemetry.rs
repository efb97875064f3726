//! Log lines on standard error: text for people, or one JSON object a line.

use std::fmt;
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;
use crate::observe::ProgressLine;

/// How log lines are written.
#[derive(Debug, Clone, Copy)]
pub struct LogStyle {
    /// A JSON object a line.
    pub json: bool,
    /// Colors.
    pub ansi: bool,
    /// The least level that is written.
    pub level: Level,
}

/// Writes log lines from now on, above `line`. Only the first call counts. Lines of other crates are left out:
/// they know nothing of what must not be shown.
pub fn init(style: LogStyle, clock: Clock, line: ProgressLine) {
    tell_of_panics();
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), style.level);
    let layer = tracing_subscriber::fmt::layer().with_writer(AboveLine(line)).log_internal_errors(false);
    // An error means that there is a subscriber already.
    let _ = if style.json {
        let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
        let layer = layer.with_target(false).with_timer(Timestamps(clock)).with_filter(ours);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
    } else {
        let layer = layer.event_format(PlainLines { clock, ansi: style.ansi }).with_filter(ours);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
    };
}

/// Tells of a panic as of anything else: once, on one line.
fn tell_of_panics() {
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

struct AboveLine(ProgressLine);

impl<'a> MakeWriter<'a> for AboveLine {
    type Writer = &'a ProgressLine;

    fn make_writer(&'a self) -> Self::Writer {
        &self.0
    }
}

impl io::Write for &ProgressLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_above(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `2026-11-23T14:18:47.123Z  INFO status changed status=PENDING delay_ms=512`: the sentence, then its values.
struct PlainLines {
    clock: Clock,
    ansi: bool,
}

impl<S, N> FormatEvent<S, N> for PlainLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level();
        let [on, off] = match *level {
            _ if !self.ansi => ["", ""],
            Level::ERROR => ["\x1b[31m", "\x1b[0m"],
            Level::WARN => ["\x1b[33m", "\x1b[0m"],
            _ => ["\x1b[2m", "\x1b[0m"],
        };
        let mut fields = PlainFields::default();
        event.record(&mut fields);
        writeln!(writer, "{} {on}{level:>5}{off} {}{}", self.clock.now(), fields.message, fields.values)
    }
}

#[derive(Default)]
struct PlainFields {
    message: String,
    values: String,
}

impl PlainFields {
    fn push(&mut self, field: &Field, value: &str) {
        use std::fmt::Write as _;
        let plain = !value.is_empty()
            && !value.contains(|char: char| char == '"' || char == '=' || char.is_whitespace());
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            // For machines: the sentence says the same.
            "event" => Ok(()),
            name if plain => write!(self.values, " {name}={value}"),
            name => write!(self.values, " {name}={value:?}"),
        };
    }
}

impl Visit for PlainFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, &format!("{value:?}"));
    }
}
