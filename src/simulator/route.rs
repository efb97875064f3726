//! The operation of a request.

use std::fmt;

use uuid::Uuid;

use super::answer::Target;
use super::http::Request;

const NO_ROUTE: Route = Route::Refused(404, "The requested resource could not be found");

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// An operation of the API proper: below `/rest`, with a credential and a version.
    Rest(Operation),
    /// A signed download.
    Storage { export_id: Uuid, part: usize },
    /// OAuth's token endpoint.
    Token,
    /// Unknown: a status code and what is wrong.
    Refused(u16, &'static str),
}

/// The three operations of an export, in both scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Start(Scope),
    Status(Scope, Uuid),
    Results(Scope, Uuid),
    /// The list of one's own personal access tokens.
    Tokens,
}

/// The group or organization that an export belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) kind: ScopeKind,
    pub(super) id: Uuid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeKind {
    Group,
    Org,
}

/// As in a path: `groups/…`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ScopeKind::Group => "groups",
            ScopeKind::Org => "orgs",
        };
        write!(f, "{kind}/{}", self.id)
    }
}

impl Route {
    pub(super) fn of(request: &Request) -> Route {
        let segments: Vec<&str> = request.path().trim_matches('/').split('/').collect();
        let (method, route) = match segments[..] {
            ["oauth2", "token"] => ("POST", Route::Token),
            ["storage", export_id, file] => ("GET", storage(export_id, file)),
            ["rest", "self", "personal_access_tokens"] => ("GET", Route::Rest(Operation::Tokens)),
            ["rest", scope, scope_id, "export"] => ("POST", start(scope, scope_id)),
            ["rest", scope, scope_id, "jobs", "export", export_id] => {
                ("GET", about_export(scope, scope_id, export_id, Operation::Status))
            }
            ["rest", scope, scope_id, "export", export_id] => {
                ("GET", about_export(scope, scope_id, export_id, Operation::Results))
            }
            _ => return NO_ROUTE,
        };
        if request.method == method { route } else { Route::Refused(405, "Method not allowed for this path") }
    }

    /// The name of this request in random faults; `Any` for requests without one.
    pub(super) fn target(&self) -> Target {
        match self {
            Route::Rest(Operation::Start(_)) => Target::Start,
            Route::Rest(Operation::Status(..)) => Target::Status,
            Route::Rest(Operation::Results(..)) => Target::Results,
            Route::Storage { .. } => Target::Storage,
            Route::Token => Target::Token,
            Route::Rest(Operation::Tokens) | Route::Refused(..) => Target::Any,
        }
    }
}

fn start(scope: &str, scope_id: &str) -> Route {
    parse_scope(scope, scope_id).map_or_else(|refused| refused, |scope| Route::Rest(Operation::Start(scope)))
}

fn about_export(
    scope: &str,
    scope_id: &str,
    export_id: &str,
    operation: fn(Scope, Uuid) -> Operation,
) -> Route {
    let scope = match parse_scope(scope, scope_id) {
        Ok(scope) => scope,
        Err(refused) => return refused,
    };
    parse_uuid(export_id).map_or(Route::Refused(400, "The export id must be a UUID"), |export_id| {
        Route::Rest(operation(scope, export_id))
    })
}

fn parse_scope(scope: &str, scope_id: &str) -> Result<Scope, Route> {
    let kind = match scope {
        "groups" => ScopeKind::Group,
        "orgs" => ScopeKind::Org,
        _ => return Err(NO_ROUTE),
    };
    let id = parse_uuid(scope_id).ok_or(Route::Refused(400, "The group or org id must be a UUID"))?;
    Ok(Scope { kind, id })
}

fn storage(export_id: &str, file: &str) -> Route {
    let part = file.strip_prefix("data_1_1_").and_then(|rest| rest.strip_suffix(".csv"));
    match (parse_uuid(export_id), part.and_then(|part| part.parse().ok())) {
        (Some(export_id), Some(part)) => Route::Storage { export_id, part },
        _ => NO_ROUTE,
    }
}

/// Only the spelling with hyphens, in either case: `Uuid` itself takes braces and URNs too.
pub(super) fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-4333-8444-555555555555";

    fn route(method: &str, target: &str) -> Route {
        let (method, target) = (method.to_owned(), target.replace("ID", ID));
        Route::of(&Request { method, target, ..Request::default() })
    }

    #[test]
    fn paths_are_those_of_the_api() {
        let id = parse_uuid(ID).unwrap();
        let group = Scope { kind: ScopeKind::Group, id };
        let org = Scope { kind: ScopeKind::Org, id };
        assert_eq!(route("POST", "/rest/orgs/ID/export?version=x"), Route::Rest(Operation::Start(org)));
        assert_eq!(route("GET", "/rest/groups/ID/jobs/export/ID"), Route::Rest(Operation::Status(group, id)));
        assert_eq!(route("GET", "/rest/orgs/ID/export/ID"), Route::Rest(Operation::Results(org, id)));
        assert_eq!(route("GET", "/storage/ID/data_1_1_3.csv?a=b"), Route::Storage { export_id: id, part: 3 });
        assert_eq!(route("POST", "/oauth2/token"), Route::Token);
    }

    #[test]
    fn other_paths_are_refused() {
        let code = |method, target| {
            let Route::Refused(code, _) = route(method, target) else { panic!("{target} is served") };
            code
        };
        assert_eq!(code("GET", "/groups/ID/jobs/export/ID"), 404);
        assert_eq!(code("GET", "/rest/orgs/ID/export/jobs/ID"), 404);
        assert_eq!(code("GET", "/rest/tenants/ID/export/ID"), 404);
        assert_eq!(code("DELETE", "/rest/orgs/ID/export/ID"), 405);
        assert_eq!(code("GET", "/rest/orgs/ID/export/1234"), 400);
        assert_eq!(code("GET", "/rest/orgs/acme/export/ID"), 400);
    }
}
