//! The operations of the API: start, status, results.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Asked, Call, Reply, State, play};
use crate::simulator::documents::{ResultFile, Results, Subject};
use crate::simulator::export::{Export, is_finished};
use crate::simulator::http::Response;
use crate::simulator::problem::{JSON_API, Problem};
use crate::simulator::route::{Operation, Scope};
use crate::simulator::scenario::UnknownExports;
use crate::simulator::start_request::StartRequest;

impl Api {
    /// Carries out an operation for a request that passed all gates.
    pub(super) fn operate(&self, state: &mut State, asked: &Asked<'_>, principal: u64) -> Reply {
        let Asked { call, operation, word } = *asked;
        let known: &[&str] = match operation {
            Operation::Start(_) => &["version", "include_deleted", "include_deactivated"],
            Operation::Status(..) | Operation::Results(..) | Operation::Tokens => &["version"],
        };
        let parameters = call.request.parameters();
        if let Some((name, _)) = parameters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let detail = format!("Unknown query parameter '{name}'");
            return Problem::of(400).with_detail(detail).at_parameter(name).response().into();
        }
        match operation {
            Operation::Start(scope) => {
                self.start(state, call, scope, principal).unwrap_or_else(|refused| refused).into()
            }
            Operation::Status(scope, export_id) => self.status(state, call, scope, export_id, word),
            Operation::Results(scope, export_id) => self.results(state, call, scope, export_id).into(),
            Operation::Tokens => self.tokens(call).into(),
        }
    }

    /// One personal access token, which ends when the scenario says.
    fn tokens(&self, call: &Call<'_>) -> Response {
        let ends = self.timeline.timestamp(call.at.saturating_add(self.scenario.token_ends));
        let token = json!({
            "type": "personal_access_token",
            "id": "2b1c7a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b",
            "attributes": { "name": "simulated", "expires_at": ends.to_string() },
        });
        Response::new(200, JSON_API, json!({ "data": [token] }).to_string()).with_note("tokens")
    }

    fn start(
        &self,
        state: &mut State,
        call: &Call<'_>,
        scope: Scope,
        principal: u64,
    ) -> Result<Response, Response> {
        let content_type = call.request.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if !content_type.starts_with("application/vnd.api+json")
            && !content_type.starts_with("application/json")
        {
            return Err(Problem::of(415).response());
        }
        let asked = StartRequest::parse(&call.request.body, scope.kind).map_err(|wrong| wrong.response())?;
        let standing = state.starts.take(principal, call.at);
        if !standing.allowed {
            let detail = format!("At most {} exports can be started in an hour", standing.limit);
            let refused = Problem::of(429).with_detail(detail).response();
            return Err(refused.with_header("retry-after", standing.reset_seconds.to_string()));
        }
        let export_id = state.random_uuid();
        let export = Export::new(scope, asked, &self.scenario, call.at);
        let document = self.subject(call, &export, export_id, &version_of(call)).started();
        state.exports.insert(export_id, export);
        let retry_after = self.scenario.start_retry_after.as_secs().to_string();
        Ok(Response::new(202, JSON_API, document.to_string())
            .with_header("retry-after", retry_after)
            .with_note(export_id.to_string()))
    }

    fn status(
        &self,
        state: &mut State,
        call: &Call<'_>,
        scope: Scope,
        export_id: Uuid,
        word: Option<&str>,
    ) -> Reply {
        if self.scenario.unknown_exports == UnknownExports::Create {
            let create = || Export::new(scope, StartRequest::default(), &self.scenario, call.at);
            state.exports.entry(export_id).or_insert_with(create);
        }
        let found = state.exports.get_mut(&export_id).filter(|export| export.scope == scope);
        let Some(export) = found else { return absent().into() };
        let poll = export.polls;
        export.polls = poll.saturating_add(1);
        let mut document = |scripted: Option<&str>| self.status_document(call, export, export_id, scripted);
        match self.scenario.scripted(poll) {
            Some(answer) => play(answer, call, |scripted| document(word.or(scripted)).into()),
            None => document(word).into(),
        }
    }

    fn status_document(
        &self,
        call: &Call<'_>,
        export: &mut Export,
        export_id: Uuid,
        scripted: Option<&str>,
    ) -> Response {
        export.shown_finished |= scripted.is_some_and(is_finished);
        let status = scripted.unwrap_or_else(|| export.status(&self.scenario, call.at)).to_owned();
        let inlined = self.scenario.inline_results && is_finished(&status);
        let results = inlined.then(|| self.links(call, export, export_id));
        respond(self.subject(call, export, export_id, &version_of(call)).status(&status, results), status)
    }

    fn results(&self, state: &mut State, call: &Call<'_>, scope: Scope, export_id: Uuid) -> Response {
        let found = state.exports.get_mut(&export_id).filter(|export| export.scope == scope);
        let Some(export) = found else { return absent() };
        let status = export.status(&self.scenario, call.at).to_owned();
        let results = is_finished(&status).then(|| self.links(call, export, export_id));
        respond(self.subject(call, export, export_id, &version_of(call)).results(&status, results), status)
    }

    /// The files of an export, with links that are signed anew each time.
    fn links(&self, call: &Call<'_>, export: &mut Export, export_id: Uuid) -> Results {
        let row_count = export.table.rows();
        if self.scenario.no_results {
            return Results { row_count, files: None };
        }
        let (now, expires) = (self.timeline.timestamp(call.at), export.url_expiration);
        let sizes = export.announced_sizes(&self.scenario, &self.files).to_vec();
        let file = |(part, file_size)| ResultFile {
            url: self.signer.link(&call.base_url, export_id, part, now, expires),
            file_size,
            row_count: export.table.part(part).map_or(0, |rows| rows.end - rows.start),
        };
        Results { row_count, files: Some(sizes.into_iter().enumerate().map(file).collect()) }
    }

    fn subject<'a>(
        &'a self,
        call: &Call<'_>,
        export: &Export,
        export_id: Uuid,
        version: &'a str,
    ) -> Subject<'a> {
        // A scripted FINISHED may come before the normal end.
        let ends = export.ends(&self.scenario).min(call.at);
        Subject {
            scenario: &self.scenario,
            scope: export.scope,
            export_id,
            created: self.timeline.timestamp(export.created),
            ends: self.timeline.timestamp(ends),
            version,
        }
    }
}

fn respond(document: Value, status: String) -> Response {
    Response::new(200, JSON_API, document.to_string()).with_note(status)
}

fn absent() -> Response {
    Problem::of(404).with_detail("Export not found").response()
}

fn version_of(call: &Call<'_>) -> String {
    call.request.parameter("version").unwrap_or_default()
}
