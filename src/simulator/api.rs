//! The API: from a request to the reply that a scenario has for it.

mod gates;
mod operations;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use uuid::Uuid;

use super::access::Access;
use super::answer::{Answer, Content, Fault, Target};
use super::export::Export;
use super::files::Files;
use super::http::{Request, Response};
use super::problem::{JSON_API, Problem};
use super::quota::Quota;
use super::route::{Operation, Route, parse_uuid};
use super::scenario::Scenario;
use super::storage::{self, Signer};
use super::timeline::Timeline;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A simulated API. All connections share one.
#[derive(Debug)]
pub(super) struct Api {
    scenario: Scenario,
    base_url: String,
    timeline: Timeline,
    signer: Signer,
    files: Files,
    state: Mutex<State>,
}

/// What the simulator does with a request: the answer, when it is sent, and the fault.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) response: Response,
    pub(super) fault: Option<Fault>,
    /// A pause before the first byte.
    pub(super) delay: Duration,
}

/// What changes while the simulator runs.
#[derive(Debug)]
struct State {
    rng: Rng,
    exports: HashMap<Uuid, Export>,
    access: Access,
    starts: Quota,
    requests: Option<Quota>,
    /// How often each random fault has struck.
    strikes: Vec<u32>,
}

/// A request on its way through the layers.
struct Call<'a> {
    request: &'a Request,
    route: Route,
    at: Duration,
    base_url: String,
}

/// A request for an operation of the API proper. `word` is the status to be shown, if not the true one.
struct Asked<'a> {
    call: &'a Call<'a>,
    operation: Operation,
    word: Option<&'a str>,
}

impl Api {
    pub(super) fn new(scenario: Scenario, base_url: String) -> Api {
        let mut rng = Rng::with_seed(scenario.seed);
        let signer = Signer::new(rng.u64(..), scenario.url_expired_status_code);
        let state = State {
            exports: HashMap::new(),
            access: Access::default(),
            starts: Quota::new(scenario.starts_per_hour, HOUR),
            requests: scenario.requests_per_minute.map(|limit| Quota::new(limit, MINUTE)),
            strikes: vec![0; scenario.faults.len()],
            rng,
        };
        let (timeline, files) = (Timeline::begin(), Files::default());
        Api { scenario, base_url, timeline, signer, files, state: Mutex::new(state) }
    }

    /// The simulator's time.
    pub(super) fn elapsed(&self) -> Duration {
        self.timeline.elapsed()
    }

    /// Decides on the reply to a request that came in at `at`.
    pub(super) fn answer(&self, request: &Request, at: Duration) -> Reply {
        let mut state = self.lock();
        let call = Call { request, route: Route::of(request), at, base_url: self.base_url(request) };
        let latency = self.latency(&mut state.rng);
        let mut reply = match self.strike(&mut state, call.route.target(), request.path()) {
            Some(answer) => play(answer, &call, |word| self.serve(&mut state, &call, word)),
            None => self.serve(&mut state, &call, None),
        };
        reply.delay = reply.delay.saturating_add(latency);
        reply
    }

    /// The base of links, from the client's Host header: the address that we listen on may not work for the client, for
    /// example in a container.
    fn base_url(&self, request: &Request) -> String {
        let plain = |host: &&str| {
            !host.is_empty()
                && host.chars().all(|each| each.is_ascii_alphanumeric() || ".-:[]".contains(each))
        };
        let host = request.header("host").filter(plain);
        host.map_or_else(|| self.base_url.clone(), |host| format!("http://{host}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latency(&self, rng: &mut Rng) -> Duration {
        self.scenario.latency.saturating_add(self.scenario.latency_jitter.mul_f64(rng.f64()))
    }

    /// The random fault that strikes a request, if one does.
    fn strike(&self, state: &mut State, target: Target, path: &str) -> Option<&Answer> {
        for (fault, strikes) in self.scenario.faults.iter().zip(&mut state.strikes) {
            let aimed = (fault.on == Target::Any || fault.on == target)
                && fault.path_has.as_ref().is_none_or(|part| path.contains(part));
            let spent = fault.at_most.is_some_and(|most| *strikes >= most);
            if aimed && !spent && state.rng.f64() < fault.probability {
                *strikes += 1;
                return Some(&fault.answer);
            }
        }
        None
    }

    /// The normal reply. `word` replaces the status word, if a random fault asks for that.
    fn serve(&self, state: &mut State, call: &Call<'_>, word: Option<&str>) -> Reply {
        let mut reply: Reply = match call.route {
            Route::Storage { export_id, part } => return self.download(state, call, export_id, part).into(),
            Route::Token => {
                return state.access.issue(call.request, &self.scenario, &mut state.rng, call.at).into();
            }
            Route::Rest(operation) => self.admit(state, &Asked { call, operation, word }),
            Route::Refused(status_code, detail) => {
                Problem::of(status_code).with_detail(detail).response().into()
            }
        };
        // A page of HTML is that of a proxy: Snyk has never seen the request.
        if reply.response.body.trim_ascii_start().starts_with(b"<") {
            return reply;
        }
        let sent = call.request.header("snyk-request-id").and_then(parse_uuid);
        reply.add_header("snyk-request-id", sent.unwrap_or_else(|| state.random_uuid()).to_string());
        reply
    }

    fn download(&self, state: &mut State, call: &Call<'_>, export_id: Uuid, part: usize) -> Response {
        if let Err(refused) = self.signer.check(call.request, self.timeline.timestamp(call.at)) {
            return refused;
        }
        let export = state.exports.get(&export_id);
        let file =
            export.and_then(|export| self.files.part(&export.table, part, self.scenario.storage_encoding));
        file.map_or_else(storage::absent, |file| storage::serve(call.request, &file, &self.scenario))
    }
}

impl State {
    fn random_uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid()
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Reply {
        Reply { response, ..Reply::default() }
    }
}

impl Reply {
    /// Adds a header unless a script has set it.
    fn add_header(&mut self, name: &str, value: impl Into<String>) {
        if !self.response.has_header(name) {
            self.response.set_header(name, value);
        }
    }
}

/// Replaces the normal reply by a scripted answer, or changes it.
fn play(answer: &Answer, call: &Call<'_>, normal: impl FnOnce(Option<&str>) -> Reply) -> Reply {
    let mut reply = match &answer.content {
        Content::Normal => normal(None),
        Content::Status(word) => normal(Some(word)),
        Content::Http { status_code, body } => {
            let scripted = call.scripted(*status_code, body.as_deref());
            if answer.carried_out { in_place_of(normal(None), scripted).into() } else { scripted.into() }
        }
    };
    for (name, value) in &answer.headers {
        reply.response.set_header(name, call.fill_in(value));
    }
    if answer.fault.is_some() {
        reply.fault.clone_from(&answer.fault);
    }
    reply.delay = reply.delay.saturating_add(answer.delay);
    reply
}

/// A scripted answer to a request that was carried out. The log still says what came of it.
fn in_place_of(lost: Reply, scripted: Response) -> Response {
    let note = format!("{}, carried out: {}", scripted.note, lost.response.note);
    scripted.with_note(note)
}

/// An answer with a given body, and the content type that its first character suggests.
fn scripted_response(status_code: u16, body: String) -> Response {
    let content_type = match body.trim_start().chars().next() {
        None => return Response { status_code, note: "empty".to_owned(), ..Response::default() },
        Some('{') => JSON_API,
        Some('<') => "text/html",
        Some(_) => "text/plain; charset=utf-8",
    };
    Response::new(status_code, content_type, body).with_note("scripted")
}

impl Call<'_> {
    /// The answer of a script. Without a body, an error has the body that the real server would send.
    fn scripted(&self, status_code: u16, body: Option<&str>) -> Response {
        match (body, self.route.target()) {
            (None, Target::Storage) if status_code >= 400 => storage::trouble(status_code),
            (None, _) if status_code >= 400 => Problem::of(status_code).response(),
            (body, _) => scripted_response(status_code, self.fill_in(body.unwrap_or_default())),
        }
    }

    /// Replaces the placeholders of a script by values of this request.
    fn fill_in(&self, text: &str) -> String {
        let (scope, export_id) = match &self.route {
            Route::Rest(Operation::Start(scope)) => (scope.to_string(), String::new()),
            Route::Rest(Operation::Status(scope, id) | Operation::Results(scope, id)) => {
                (scope.to_string(), id.to_string())
            }
            Route::Rest(Operation::Tokens) | Route::Storage { .. } | Route::Token | Route::Refused(..) => {
                (String::new(), String::new())
            }
        };
        text.replace("{base-url}", &self.base_url)
            .replace("{scope-path}", &scope)
            .replace("{export-id}", &export_id)
    }
}
