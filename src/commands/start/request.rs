//! Makes the start request from the arguments.

use jiff::Timestamp;

use crate::cli::{RequestArgs, WantedArgs};
use crate::clock::Clock;
use crate::commands::asking::read_text;
use crate::commands::{CommandError, Session};
use crate::request::{Date, Options, RequestError, StartRequest, Unknown, Zone};
use crate::settings::exports::scope_of_start;
use crate::text::Text;

/// The start request for the arguments, checked. Relative dates count from `now`.
pub(in crate::commands) async fn requested(
    wanted: &WantedArgs,
    now: Timestamp,
    session: &Session,
) -> Result<StartRequest, CommandError> {
    let WantedArgs { scope, request: args, zone } = wanted;
    let scope = scope_of_start(scope.scope(), session.settings.environment())?;
    let body = match &args.body {
        Some(path) => read_body(path, session).await?,
        None => options(args, &zone.time_zone, now)?
            .to_body()
            .map_err(|error| CommandError::Usage(error.to_string()))?,
    };
    let RequestArgs { include_deleted, include_deactivated, .. } = *args;
    let request = StartRequest { scope, body, include_deleted, include_deactivated };
    request.check()?.iter().for_each(warn);
    Ok(request)
}

/// Warns about a word that this version does not know and sends anyway.
fn warn(unknown: &Unknown) {
    match unknown {
        Unknown::Word(member, word) => tracing::warn!(
            request.member = member,
            request.word = word.as_str(),
            hint = unknown.near().map(|near| format!("did you mean {near}?")),
            "sending a word of the start that this version does not know"
        ),
        Unknown::Removed(member) => tracing::warn!(
            request.member = member,
            hint = "Snyk removed it in August 2025: leave it out if the start is rejected",
            "sending a member of the start that Snyk has removed"
        ),
    }
}

/// The current time as a timestamp.
pub(in crate::commands) fn now(clock: Clock) -> Timestamp {
    let ms = i64::try_from(clock.now().wall_ms()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

fn options(args: &RequestArgs, zone: &Zone, now: Timestamp) -> Result<Options, CommandError> {
    let date = |flag: &str, date: &Option<Date>| {
        let resolve = |date: &Date| {
            date.resolve(now, zone).map_err(|error| CommandError::Usage(format!("--{flag} {date}: {error}")))
        };
        date.as_ref().map(resolve).transpose()
    };
    Ok(Options {
        dataset: args.dataset.clone().unwrap_or_default(),
        formats: args.formats.clone(),
        columns: args.columns.clone(),
        introduced: [
            date("introduced-from", &args.introduced_from)?,
            date("introduced-to", &args.introduced_to)?,
        ],
        updated: [date("updated-from", &args.updated_from)?, date("updated-to", &args.updated_to)?],
        event: [date("event-from", &args.event_from)?, date("event-to", &args.event_to)?],
        filters: args.filters.clone(),
        url_expiration_seconds: args.url_expiration_seconds.map(|seconds| seconds.0),
    })
}

/// The document from a file or from standard input.
async fn read_body(path: &std::path::Path, session: &Session) -> Result<serde_json::Value, CommandError> {
    let is_input = path.as_os_str() == "-";
    let origin =
        if is_input { "standard input".to_owned() } else { format!("--body {}", Text::of_path(path)) };
    let reading = async {
        match is_input {
            true => read_text(tokio::io::stdin()).await,
            false => read_text(tokio::fs::File::open(path).await?).await,
        }
    };
    let read = session.signals.unless_interrupted(reading).await.map_err(CommandError::Interrupted)?;
    let text = read.map_err(|error| CommandError::Usage(format!("{origin}: it cannot be read: {error}")))?;
    let text = text.map_err(|why| CommandError::Usage(format!("{origin}: {why}")))?;
    let no_json = |error: serde_json::Error| RequestError::NoJson(origin, Text::new(&error.to_string()));
    Ok(serde_json::from_str(&text).map_err(no_json)?)
}
