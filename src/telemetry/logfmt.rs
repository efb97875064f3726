//! `logfmt`: structured lines that a person reads too. A constant sentence, few fields, durations as people write them.

use tracing::Level;

use super::record::Record;
use crate::duration::compact;

/// Short names of fields. A field that is not listed keeps its name.
const NAMES: &[(&str, &str)] = &[
    ("client.address", "client"),
    ("credential.source", "credential"),
    ("delivery.attempts", "attempts"),
    ("delivery.endpoint", "endpoint"),
    ("delivery.id", "delivery"),
    ("delivery.kind", "kind"),
    ("download.bytes", "bytes"),
    ("download.bytes_received", "received"),
    ("download.dir", "dir"),
    ("download.files", "files"),
    ("download.files_whole", "files_whole"),
    ("download.merged", "merged"),
    ("endpoints.kinds", "kinds"),
    ("error.code", "code"),
    ("error.detail", "detail"),
    ("error.title", "error"),
    ("exit_code", "exit"),
    ("export.id", "id"),
    ("exports.in_progress", "exports"),
    ("file.bytes", "bytes"),
    ("file.name", "file"),
    ("http.request.method", "method"),
    ("http.response.status_code", "http"),
    ("http.route", "route"),
    ("snyk.api_source", "api_from"),
    ("late_ms", "late"),
    ("left_ms", "left"),
    ("next_poll_ms", "next_check"),
    ("paused_ms", "paused"),
    ("outage_ms", "outage"),
    ("polls", "checks"),
    ("polls.failed", "checks"),
    ("row_count", "rows"),
    ("rows", "counted"),
    ("server.address", "address"),
    ("server.metrics_address", "metrics"),
    ("snyk.request_id", "request"),
    ("waited_ms", "waited"),
    ("watch.id", "watch"),
    ("watches.active", "watches"),
    ("watches.failed", "watches"),
];

/// `2026-11-28T04:02:24Z INFO status changed status=PENDING`, with the level in `colors`.
pub(super) fn line(at: &str, level: Level, [on, off]: [&str; 2], record: &Record) -> String {
    let seconds = at.get(..19).map_or_else(|| at.to_owned(), |seconds| format!("{seconds}Z"));
    format!("{seconds} {on}{level}{off} {}{}\n", record.message, fields(level, record, &[]))
}

/// ` status=PENDING waited=1m4s`: the fields that a person needs, but those that are `shown` already.
pub(super) fn fields(level: Level, record: &Record, shown: &[&str]) -> String {
    let mut fields = String::new();
    for name in record.names().filter(|name| !shown.contains(name)) {
        let Some((name, value)) = field(name, level, record) else { continue };
        let plain = !value.is_empty()
            && !value.contains(|char: char| char == '"' || char == '=' || char.is_whitespace());
        fields += &if plain { format!(" {name}={value}") } else { format!(" {name}={value:?}") };
    }
    fields
}

/// A field's short name and its value; `None` if it says nothing that a person needs here.
fn field(name: &'static str, level: Level, record: &Record) -> Option<(String, String)> {
    let text = record.text(name)?;
    let is_refused = || record.text("http.response.status_code").is_some_and(|code| code.as_str() >= "400");
    match name {
        "export.scope" if record.text("export.scope_id").is_some() => None,
        "export.scope_id" => Some((record.text("export.scope")?, text)),
        "snyk.api" => Some((
            "api".to_owned(),
            text.strip_prefix("https://").unwrap_or(&text).trim_end_matches('/').to_owned(),
        )),
        // The code says it, and the closing lines have all of it.
        "error.title" | "error.detail" if record.is_retry() && is_refused() => None,
        "poll.number" | "status.before" if level != Level::DEBUG => None,
        "delay_ms" if record.is_retry() => Some(("retry_in".to_owned(), compact(record.duration(name)?))),
        "delay_ms" if level != Level::DEBUG => None,
        "delay_ms" => Some(("next_check".to_owned(), compact(record.duration(name)?))),
        _ => {
            let value = match record.duration(name).filter(|_| name.ends_with("_ms")) {
                Some(duration) => compact(duration),
                None => text,
            };
            let short = NAMES.iter().find(|(long, _)| *long == name).map_or(name, |(_, short)| short);
            Some((short.to_owned(), value))
        }
    }
}
