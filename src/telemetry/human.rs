//! `human`: short lines that a person at a terminal reads at a glance.

use tracing::Level;

use super::logfmt;
use super::look::{Look, Mark};
use super::record::Record;
use crate::duration::brief;
use crate::words::{short, thousands};

/// Fields for machines, and those that a line has elsewhere.
const HIDDEN: [&str; 7] =
    ["account", "delivery.id", "delivery.kind", "export.id", "hint", "snyk.request_id", "watch.id"];

/// Fields whose values need no name.
const PLAIN: [&str; 8] = [
    "client.address",
    "delivery.endpoint",
    "file.name",
    "http.request.method",
    "http.route",
    "path",
    "reason",
    "run.date",
];

/// Fields that say together what went wrong.
const PROBLEM: [&str; 4] = ["error.code", "error.detail", "error.title", "http.response.status_code"];

/// A line as people read it: `  04:05:31  STARTED`.
/// Nothing of what other lines or the progress line say as well.
pub(super) fn line(at: &str, level: Level, look: &Look, record: &Record) -> Option<String> {
    let lines = match record.event.as_str() {
        "download.started" => return None,
        _ if record.message == "asking Snyk" => return None,
        "watch.added" if record.text("watch.id").is_none() => header(look, record),
        "daemon.started" => startup(look, record),
        _ => {
            let time = look.dim(&time_of_day(at, look));
            let indent = if look.is_indented { "  " } else { "" };
            let name = name(record);
            let column = indent.len() + 10 + name.len();
            let sentence = look.wrapped(&sentence(level, look, record), column);
            format!("{indent}{time}  {}{sentence}{}", look.bold(&name), hint(record, look))
        }
    };
    Some(look.symbols(&lines) + "\n")
}

/// `04:05:31`, in the zone of the reader.
fn time_of_day(at: &str, look: &Look) -> String {
    let Ok(moment) = at.parse::<jiff::Timestamp>() else { return at.to_owned() };
    let time = look.zone.to_datetime(moment).time();
    format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

fn header(look: &Look, record: &Record) -> String {
    let text = |name| record.text(name).unwrap_or_default();
    let export = look.bold(&format!("Export {}", short(&text("export.id"))));
    let api = text("snyk.api");
    let host = api.split_once("://").map_or(api.as_str(), |(_, rest)| rest).trim_end_matches('/');
    format!("{export} · {} {} · {host}", text("export.scope"), short(&text("export.scope_id")))
}

fn startup(look: &Look, record: &Record) -> String {
    let text = |name| record.text(name).unwrap_or_default();
    let program = look.bold(&format!("snyk-export {}", text("version")));
    let (names, kinds) = (text("endpoints"), text("endpoints.kinds"));
    let named: Vec<String> =
        names.split(", ").zip(kinds.split(", ")).map(|(name, kind)| format!("{name} ({kind})")).collect();
    let endpoints =
        if names.is_empty() { String::new() } else { format!("notify: {} · ", named.join(", ")) };
    let watches = match text("watches.active").as_str() {
        "1" => "1 export".to_owned(),
        count => format!("{count} exports"),
    };
    format!("{program}  http://{}  store {}\n{endpoints}{watches}", text("server.address"), text("store"))
}

/// Which of several exports a line is about: `payments 7f2c1a9e  `.
fn name(record: &Record) -> String {
    let account = record.text("account").filter(|account| account != "default");
    let id = record.text("export.id").map(|id| short(&id).to_owned());
    let parts: Vec<String> = account.into_iter().chain(id).collect();
    if parts.is_empty() { String::new() } else { parts.join(" ") + "  " }
}

/// What to do about it, in a row of its own.
fn hint(record: &Record, look: &Look) -> String {
    let hint = record.text("hint");
    let row = hint.map(|hint| format!("\n  {}{}", look.dim("next    "), look.wrapped(&hint, 10)));
    row.unwrap_or_default()
}

fn sentence(level: Level, look: &Look, record: &Record) -> String {
    let text = |name| record.text(name).unwrap_or_default();
    match record.event.as_str() {
        "watch.status_changed" => match record.text("status.before") {
            Some(before) if record.text("account").is_some() => format!("{before} → {}", text("status")),
            _ => text("status"),
        },
        "watch.polled" => format!("{}{}", text("status"), next_check(record)),
        "watch.added" => "following".to_owned(),
        "watch.resumed" => format!("following again{}", status(record)),
        "watch.finished" => ending(look, record),
        "delivery.sent" => format!("told {}", text("delivery.endpoint")),
        "daemon.stopping" => format!("stopping: {}", text("reason")),
        _ if record.is_retry() => {
            let again = record.duration("delay_ms").map(brief).unwrap_or_default();
            let mark = look.mark(Mark::Warning);
            format!("{mark} {}{}, retrying in {again}", about(record), problem(record))
        }
        _ if record.message == "the API answers again" => {
            let outage = record.duration("outage_ms").map(brief).unwrap_or_default();
            format!("answers again after {outage}")
        }
        _ if record.message == "still waiting" => {
            let waited = record.duration("waited_ms").map(brief).unwrap_or_default();
            let left = record.duration("left_ms").map(|left| format!(" · gives up in {}", brief(left)));
            format!("waited {waited}{}{}{}", status(record), next_check(record), left.unwrap_or_default())
        }
        _ => {
            let mark = match level {
                Level::ERROR => look.mark(Mark::Failed) + " ",
                Level::WARN => look.mark(Mark::Warning) + " ",
                _ => String::new(),
            };
            format!("{mark}{}{}", record.message, details(level, record))
        }
    }
}

/// `: 401 Unauthorized · /a path · other=field`.
fn details(level: Level, record: &Record) -> String {
    let is_failure = ["error.title", "error.detail"].iter().any(|name| record.text(name).is_some());
    let mut text = if is_failure { format!(": {}", problem(record)) } else { String::new() };
    for name in record.names() {
        if PLAIN.contains(&name) || (PROBLEM.contains(&name) && !is_failure) {
            text += &record.text(name).map(|value| format!(" · {value}")).unwrap_or_default();
        }
    }
    text + &logfmt::fields(level, record, &[&HIDDEN[..], &PLAIN, &PROBLEM].concat())
}

/// What a failure is about, if that is not the export.
fn about(record: &Record) -> String {
    match record.event.as_str() {
        "download.retrying" => record.text("file.name").map(|name| format!("{name}: ")).unwrap_or_default(),
        "delivery.retrying" => {
            format!("notifying {}: ", record.text("delivery.endpoint").unwrap_or_default())
        }
        _ => String::new(),
    }
}

/// `503 Service Unavailable`, or what failed without an answer.
fn problem(record: &Record) -> String {
    let title = record.text("error.title");
    match (record.text("http.response.status_code"), title) {
        (Some(code), _) if record.event == "download.retrying" => format!("storage answered {code}"),
        (Some(code), title) => {
            format!("{code}{}", title.map(|title| format!(" {title}")).unwrap_or_default())
        }
        (None, title) => {
            let detail = record.text("error.detail");
            title.into_iter().chain(detail).collect::<Vec<_>>().join(": ")
        }
    }
}

fn status(record: &Record) -> String {
    record.text("status").map(|status| format!(" · {status}")).unwrap_or_default()
}

fn next_check(record: &Record) -> String {
    let delay = record.duration("delay_ms").or_else(|| record.duration("next_poll_ms"));
    delay.map(|delay| format!(" · next check {}", brief(delay))).unwrap_or_default()
}

/// `✔ ready, 1,061 rows`.
fn ending(look: &Look, record: &Record) -> String {
    let outcome = record.text("outcome").unwrap_or_default();
    if outcome == "finished" {
        let rows = record.text("row_count").and_then(|rows| rows.parse().ok());
        let rows = rows.map(|rows| format!(", {} rows", thousands(rows))).unwrap_or_default();
        return format!("{} ready{rows}", look.mark(Mark::Well));
    }
    // With the status `ERRORED`, the export's own words are the reason.
    let why = match outcome.as_str() {
        "failed" => record.text("error.detail").unwrap_or_default(),
        _ => problem(record),
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("{} {outcome}{}{why}", look.mark(Mark::Failed), status(record))
}
