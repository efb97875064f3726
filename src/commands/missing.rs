//! What a command line lacks: all of it is said at once.

use super::{CommandError, Session};
use crate::cli::{PlaceArgs, WantedArgs};
use crate::export::{ExportArg, ScopeRef};
use crate::request::RequestError;
use crate::settings::exports::scope_of_start;
use crate::settings::{ExportsError, SettingsError};

/// There is no directory.
pub(super) const NO_DIRECTORY: &str =
    "no directory: say where the files go with --dir, such as --dir 'issues/{date}'";

/// Fails if a start lacks two things or more. If it lacks one, what needs that one says more about it.
pub(super) fn of_start(
    wanted: &WantedArgs,
    place: Option<&PlaceArgs>,
    session: &Session,
) -> Result<(), CommandError> {
    let request = &wanted.request;
    let is_described = request.body.is_some();
    let has_dates = request.dates().iter().any(|date| date.is_some()) || !request.filters.is_empty();
    several([
        no_scope(wanted.scope.scope(), session),
        (!is_described && request.dataset.is_none()).then(|| RequestError::NoDataset.to_string()),
        (!is_described && !has_dates).then(|| no_dates(request.dataset.as_deref())).flatten(),
        no_directory(place),
        no_credential(session),
    ])
}

/// The same for a command about `exports`.
pub(super) fn of_exports(
    exports: &[ExportArg],
    scope: Option<ScopeRef>,
    place: Option<&PlaceArgs>,
    session: &Session,
) -> Result<(), CommandError> {
    let needs_scope = !exports.is_empty() && exports.iter().all(|export| matches!(export, ExportArg::Id(_)));
    several([
        exports.is_empty().then(|| ExportsError::None.to_string()),
        needs_scope.then(|| no_scope(scope, session)).flatten(),
        no_directory(place),
        no_credential(session),
    ])
}

fn no_scope(flag: Option<ScopeRef>, session: &Session) -> Option<String> {
    let scope = scope_of_start(flag, session.settings.environment());
    scope.err().filter(|error| matches!(error, ExportsError::NoScopeToStart)).map(|error| error.to_string())
}

/// Without a dataset, issues are the most likely one.
fn no_dates(dataset: Option<&str>) -> Option<String> {
    RequestError::no_dates(dataset.unwrap_or("issues")).map(|error| error.to_string())
}

fn no_directory(place: Option<&PlaceArgs>) -> Option<String> {
    place.filter(|place| place.dir.is_none()).map(|_| NO_DIRECTORY.to_owned())
}

fn no_credential(session: &Session) -> Option<String> {
    let source = session.settings.credential_source();
    source.err().filter(|error| matches!(error, SettingsError::NoCredential)).map(|error| error.to_string())
}

/// A line for each thing that is missing.
fn several<const N: usize>(parts: [Option<String>; N]) -> Result<(), CommandError> {
    let missing: Vec<String> = parts.into_iter().flatten().collect();
    match missing.len() {
        0 | 1 => Ok(()),
        _ => Err(CommandError::Usage(missing.join("\n       "))),
    }
}
