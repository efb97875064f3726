//! `watches`: lists, shows, adds and cancels the watches of a running daemon.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::asking::resolve;
use super::remote::{Answer, Remote};
use super::{CommandError, Session};
use crate::cli::{AddArgs, Output, WatchesAction, WatchesArgs};
use crate::duration::rounded;
use crate::exit::ExitCode;
use crate::export::Scope;
use crate::text::Text;
use crate::words::counted;

/// The widths of the columns, which fit 80 columns together.
const WIDTHS: [usize; 5] = [36, 8, 14, 6, 8];

pub(super) async fn run(args: WatchesArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let remote = Remote::find(&args.daemon, session).await?;
    let json = args.daemon.output == Output::Json;
    match args.action.unwrap_or(WatchesAction::List { state: None }) {
        WatchesAction::List { state } => {
            let state = state.map(|state| format!("&state={}", state.as_str())).unwrap_or_default();
            let title = row(["WATCH", "EXPORT", "STATUS", "WAITED", "ACCOUNT"], WIDTHS);
            let found =
                remote.list("/v1/watches", &state, (!json).then_some(title), |item| said(item, json, line));
            if !found.await? {
                session.console.success("there are no watches", || {});
            }
        }
        WatchesAction::Show { id } => {
            let Answer { body, .. } = remote.ask(Method::GET, &format!("/v1/watches/{id}"), None).await?;
            session.console.data(said(&body, json, details).as_bytes())?;
        }
        WatchesAction::Add(args) => add(&remote, args, json, session).await?,
        WatchesAction::Cancel { id } => {
            remote.ask(Method::DELETE, &format!("/v1/watches/{id}"), None).await?;
            let cancelled = json!({ "id": id, "cancelled": true });
            session.console.data(said(&cancelled, json, |_| format!("cancelled {id}\n")).as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(remote: &Remote<'_>, args: AddArgs, json: bool, session: &Session) -> Result<(), CommandError> {
    let exports = resolve(&args.exports.exports, args.exports.scope.scope(), session).await?.exports;
    for export in exports {
        let scope = match export.scope {
            Scope::Group => "group_id",
            Scope::Org => "org_id",
        };
        let mut body = json!({ scope: export.scope_id, "export_id": export.export_id });
        if let Some(account) = &args.account {
            body["account"] = json!(account);
        }
        if !args.labels.is_empty() {
            body["labels"] = args.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        }
        let Answer { status, body } = remote.ask(Method::POST, "/v1/watches", Some(&body)).await?;
        let words = |watch: &Value| match status {
            201 => format!("added {}\n", of(watch, &["id"])),
            _ => format!("{} follows it already ({})\n", of(watch, &["id"]), of(watch, &["state"])),
        };
        session.console.data(said(&body, json, words).as_bytes())?;
    }
    Ok(())
}

/// A document as JSON on one line, or in words.
pub(super) fn said(document: &Value, json: bool, words: impl FnOnce(&Value) -> String) -> String {
    if json { format!("{document}\n") } else { words(document) }
}

/// A member as text; `-` if there is none.
pub(super) fn of(document: &Value, path: &[&str]) -> Text {
    let value = path.iter().fold(document, |value, member| &value[*member]);
    match value {
        Value::Null => Text::new("-"),
        Value::String(text) => Text::new(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Text::new(&value.to_string())
        }
    }
}

/// How it ended, or the last status.
fn state(watch: &Value) -> Text {
    let path = if watch["outcome"].is_string() { ["outcome"] } else { ["status"] };
    of(watch, &path)
}

fn line(watch: &Value) -> String {
    let export: String = of(watch, &["export", "export_id"]).as_str().chars().take(8).collect();
    let waited = briefly(watch["waited_seconds"].as_f64().unwrap_or_default());
    let [id, state, account] = [of(watch, &["id"]), state(watch), of(watch, &["account"])];
    row([id.as_str(), &export, state.as_str(), &waited, account.as_str()], WIDTHS)
}

/// A row of a table. A cell that is too long is cut.
pub(super) fn row<const N: usize>(cells: [&str; N], widths: [usize; N]) -> String {
    let fitted = |(cell, width): (&str, usize)| match cell.chars().count() > width {
        true => cell.chars().take(width - 1).chain(['…']).collect(),
        false => format!("{cell:width$}"),
    };
    let cells: Vec<String> = cells.into_iter().zip(widths).map(fitted).collect();
    format!("{}\n", cells.join("  ").trim_end())
}

/// A duration in its largest unit: `45s`, `12m`, `5h`, `3d`.
fn briefly(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// All about a watch.
fn details(watch: &Value) -> String {
    let waited = Duration::try_from_secs_f64(watch["waited_seconds"].as_f64().unwrap_or_default());
    let labels = watch["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let count =
        |document: &Value, member: &str, noun| counted(document[member].as_u64().unwrap_or_default(), noun);
    let polls = count(watch, "polls", "poll");
    let waited = format!("{}, {polls}", rounded(waited.unwrap_or_default()));
    let scope = format!("{} {}", of(watch, &["export", "scope"]), of(watch, &["export", "scope_id"]));
    let rows = [
        ("watch", of(watch, &["id"]).to_string()),
        ("export", of(watch, &["export", "export_id"]).to_string()),
        ("scope", scope),
        ("account", of(watch, &["account"]).to_string()),
        ("labels", Text::new(&labels.join(", ")).to_string()),
        ("state", of(watch, &["state"]).to_string()),
        ("outcome", of(watch, &["outcome"]).to_string()),
        ("status", of(watch, &["status"]).to_string()),
        ("waited", waited),
        ("started", of(watch, &["started_at"]).to_string()),
        ("next poll", of(watch, &["next_poll_at"]).to_string()),
        ("ended", of(watch, &["ended_at"]).to_string()),
        ("links until", of(watch, &["links_expire_at"]).to_string()),
        ("rows", of(watch, &["row_count"]).to_string()),
        ("error", of(watch, &["error", "title"]).to_string()),
        ("hint", of(watch, &["hint"]).to_string()),
    ];
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !matches!(value.as_str(), "" | "-")) {
        let _ = writeln!(text, "{name:<12}{value}");
    }
    for delivery in watch["deliveries"].as_array().into_iter().flatten() {
        let [endpoint, state, id] = ["endpoint", "state", "id"].map(|member| of(delivery, &[member]));
        let attempts = count(delivery, "attempts", "attempt");
        let _ = writeln!(text, "{:<12}{endpoint}: {state} after {attempts}, {id}", "delivery");
        if let Some(problem) = delivery["problem"].as_str() {
            let _ = writeln!(text, "{:<12}{}", "", Text::new(problem));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fits_80_columns() {
        let watch = json!({
            "id": "0193728c-6f0d-7a11-8a6b-9c0d1e2f3a4b", "account": "a-long-account-name", "outcome": null,
            "status": "SOMETHING-THAT-IS-LONG", "waited_seconds": 86_400.0 * 400.0,
            "export": { "export_id": "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b" },
        });
        let expected = "0193728c-6f0d-7a11-8a6b-9c0d1e2f3a4b  7f2c1a9e  SOMETHING-THA…  400d    a-long-…\n";
        assert_eq!(line(&watch), expected);
        assert_eq!(expected.trim_end().chars().count(), 80);
        for (seconds, text) in [(0.9, "0s"), (59.9, "59s"), (61.0, "1m"), (7_199.0, "1h"), (90_000.0, "1d")] {
            assert_eq!(briefly(seconds), text);
        }
    }
}
