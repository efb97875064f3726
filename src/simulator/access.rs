//! Credentials: API tokens, and access tokens of OAuth clients.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use super::http::{Request, Response};
use super::problem::Problem;
use super::scenario::Scenario;

/// How long an expired token is remembered, where any other credential would be accepted.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// The access tokens that were issued, each with the moment at which it expires.
#[derive(Debug, Default)]
pub(super) struct Access {
    issued: HashMap<String, Duration>,
}

impl Access {
    /// Checks an `Authorization` header, and returns a number that stands for its credential.
    pub(super) fn principal(
        &self,
        authorization: Option<&str>,
        scenario: &Scenario,
        at: Duration,
    ) -> Result<u64, Problem> {
        let Some(authorization) = authorization else {
            return Err(Problem::of(401).with_detail("Authentication credentials missing"));
        };
        let Some((scheme, credential)) = authorization.trim().split_once(' ') else {
            return Err(Problem::of(400).with_detail("Malformed authorization header"));
        };
        let credential = credential.trim();
        let known_scheme = scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer");
        if !known_scheme || !self.knows(credential, scenario, at) {
            return Err(Problem::of(401));
        }
        let mut hasher = DefaultHasher::new();
        credential.hash(&mut hasher);
        Ok(hasher.finish())
    }

    /// Answers a request for an access token: OAuth's client credentials, in a form.
    pub(super) fn issue(
        &mut self,
        request: &Request,
        scenario: &Scenario,
        rng: &mut Rng,
        at: Duration,
    ) -> Response {
        let form: HashMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
            return oauth_error(400, "unsupported_grant_type", "only client_credentials is supported");
        }
        let given = |name: &str, expected: Option<&String>| {
            form.get(name)
                .is_some_and(|value| !value.is_empty() && expected.is_none_or(|expected| expected == value))
        };
        if !given("client_id", scenario.client_id.as_ref())
            || !given("client_secret", scenario.client_secret.as_ref())
        {
            return oauth_error(401, "invalid_client", "client authentication failed");
        }
        self.issued.retain(|_, expires| expires.saturating_add(KEPT_AFTER_EXPIRY) > at);
        // It looks like a JWT, because clients take the scheme from that.
        let token = format!("eyJhbGciOiJub25lIn0.eyJzaW0iOjF9.{:032x}", rng.u128(..));
        self.issued.insert(token.clone(), at.saturating_add(scenario.token_lifetime));
        let expires_in = scenario.token_lifetime.as_millis().div_ceil(1000);
        let body = json!({
            "access_token": token, "expires_in": expires_in, "token_type": "bearer",
            "scope": "org.read org.report.read group.report.read",
        });
        Response::new(200, "application/json", body.to_string())
            .with_header("cache-control", "no-store")
            .with_note("token issued")
    }

    fn knows(&self, credential: &str, scenario: &Scenario, at: Duration) -> bool {
        if let Some(expires) = self.issued.get(credential) {
            return at < *expires;
        }
        match (&scenario.token, &scenario.client_id) {
            (Some(token), _) => token == credential,
            (None, Some(_)) => false,
            (None, None) => !credential.is_empty(),
        }
    }
}

fn oauth_error(status_code: u16, error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description });
    Response::new(status_code, "application/json", body.to_string()).with_note(error)
}
