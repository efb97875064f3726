//! What a request passes on its way to an operation: credential, rate limit, version, in this order.

use jiff::tz::Offset;

use super::{Api, Asked, Reply, State};
use crate::simulator::http::Response;
use crate::simulator::quota::Standing;
use crate::simulator::version::{self, Unserved};

impl Api {
    /// Lets a request in that has a credential.
    pub(super) fn admit(&self, state: &mut State, asked: &Asked<'_>) -> Reply {
        let authorization = asked.call.request.header("authorization");
        match state.access.principal(authorization, &self.scenario, asked.call.at) {
            Ok(principal) => self.limit(state, asked, principal),
            Err(refused) => refused.response().into(),
        }
    }

    fn limit(&self, state: &mut State, asked: &Asked<'_>, principal: u64) -> Reply {
        let Some(quota) = &mut state.requests else { return self.choose_version(state, asked, principal) };
        let standing = quota.take(principal, asked.call.at);
        let mut reply = if standing.allowed {
            self.choose_version(state, asked, principal)
        } else {
            // As Envoy does it: no body, and no Retry-After either.
            Response { status_code: 429, ..Response::default() }
                .with_header("x-envoy-ratelimited", "true")
                .with_note("rate limit")
                .into()
        };
        add_rate_limit(&mut reply, standing);
        reply
    }

    fn choose_version(&self, state: &mut State, asked: &Asked<'_>, principal: u64) -> Reply {
        let wanted = asked.call.request.parameter("version");
        let today = Offset::UTC.to_datetime(self.timeline.timestamp(asked.call.at)).date();
        let served = match version::resolve(wanted.as_deref(), today, self.scenario.experimental_version) {
            Ok(served) => served,
            Err(unserved) => return unserved_response(unserved).into(),
        };
        let mut reply = self.operate(state, asked, principal);
        let stage = if self.scenario.deprecation.is_some() { "deprecated" } else { served.stage };
        reply.add_header("snyk-version-requested", wanted.unwrap_or_default());
        reply.add_header("snyk-version-served", served.version);
        reply.add_header("snyk-version-lifecycle-stage", stage);
        for (name, value) in [("deprecation", &self.scenario.deprecation), ("sunset", &self.scenario.sunset)]
        {
            if let Some(value) = value {
                reply.add_header(name, value.as_str());
            }
        }
        reply
    }
}

/// Tells what is left of the limit, in Envoy's words: the limit itself is not a plain number.
fn add_rate_limit(reply: &mut Reply, standing: Standing) {
    let Standing { limit, remaining, reset_seconds, .. } = standing;
    let name = "crd|generic_key^api-gateway.api-rest|per_minute";
    reply.add_header("x-ratelimit-limit", format!("{limit}, {limit};w=60;name=\"{name}\""));
    reply.add_header("x-ratelimit-remaining", remaining.to_string());
    reply.add_header("x-ratelimit-reset", reset_seconds.to_string());
}

/// What the version layer says, in plain text and without version headers.
fn unserved_response(unserved: Unserved) -> Response {
    let (status_code, text) = match unserved {
        Unserved::Missing => (400, "missing required query parameter 'version'\n"),
        Unserved::Malformed => (400, "invalid version\n"),
        Unserved::NoMatch => (404, "no matching version\n"),
    };
    Response::new(status_code, "text/plain; charset=utf-8", text).with_note(text.trim_end())
}
