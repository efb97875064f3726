//! What a token looks like, and which region it names.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::region::Api;
use crate::moment::Moment;
use crate::secret::Placeholder;
use crate::text::Text;

/// Why a text cannot be a token. The message says what the text looks like, and never shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// A placeholder that was not replaced by a token.
    #[error(transparent)]
    Placeholder(Placeholder),
    /// A path.
    #[error("it looks like the path of a file: use --token-file, SNYK_TOKEN_FILE or `token-file` for that")]
    Path,
    /// A JSON document.
    #[error("it looks like a JSON document: give the token alone")]
    Json,
    /// White space in the middle.
    #[error("it has white space inside (a line break, perhaps)")]
    WhiteSpace,
    /// Characters that a header cannot carry as a token.
    #[error("it has characters that a token cannot have")]
    Characters,
}

/// Checks that `text` can be a token: a UUID, a `snyk_…` token, a JWT, or another text of characters that a header can carry
/// as a token (RFC 9110, `token68`). A text that starts with a slash is taken for a path: Snyk's tokens never do.
///
/// # Errors
///
/// If it cannot be one.
pub(super) fn check(text: &str) -> Result<(), NotAToken> {
    if let Some(placeholder) = Placeholder::of(text) {
        return Err(NotAToken::Placeholder(placeholder));
    }
    if ["/", "./", "../", "~/", "file:"].iter().any(|start| text.starts_with(start)) {
        return Err(NotAToken::Path);
    }
    if text.starts_with('{') {
        return Err(NotAToken::Json);
    }
    if text.contains(char::is_whitespace) {
        return Err(NotAToken::WhiteSpace);
    }
    let unpadded = text.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let is_token = !unpadded.is_empty() && unpadded.bytes().all(fits);
    is_token.then_some(()).ok_or(NotAToken::Characters)
}

/// Whether a token is a JWT: three parts in base64url, the first of which is a JSON object.
pub(super) fn is_jwt(token: &str) -> bool {
    token.starts_with("eyJ") && token.split('.').count() == 3
}

/// What kind of token this is, by its form.
pub(super) fn kind(token: &str) -> &'static str {
    let starts = [("snyk_uat.", "a personal access token"), ("snyk_sat.", "a service account's token")];
    let known = starts.iter().find(|(start, _)| token.starts_with(start)).map(|(_, kind)| *kind);
    let by_form = || match (is_jwt(token), token.parse::<uuid::Uuid>()) {
        (true, _) => "an OAuth access token",
        (false, Ok(_)) => "an API key",
        (false, Err(_)) => "a token",
    };
    known.unwrap_or_else(by_form)
}

/// When a JWT ends, as its claim `exp` says.
pub(super) fn ends_at(token: &str) -> Option<Moment> {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<u64>,
    }
    let payload = token.split('.').nth(1).filter(|_| is_jwt(token))?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let Claims { exp } = serde_json::from_slice(&json).ok()?;
    exp.map(|seconds| Moment::from_unix(Duration::from_secs(seconds)))
}

/// The API that a token names, if that is one of Snyk's own: no other host may receive a token because of this.
///
/// A `snyk_…` token has the API's host in its next-to-last part, as the claim `h`. A JWT names the API in `aud`. Signatures
/// are not checked: a forged token gets a 401 from another host of Snyk's.
pub(super) fn region(token: &str) -> Option<Api> {
    #[derive(Deserialize)]
    struct Claims {
        h: Option<Value>,
        aud: Option<Value>,
    }
    let is_snyks = token.starts_with("snyk_");
    if !is_snyks && !is_jwt(token) {
        return None;
    }
    let payload = token.rsplit('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let Claims { h, aud } = serde_json::from_slice(&json).ok()?;
    let named = if is_snyks { h } else { aud }?;
    let names = named.as_array().map_or(std::slice::from_ref(&named), Vec::as_slice);
    let region = names.iter().filter_map(Value::as_str).find_map(Api::of_snyk);
    if region.is_none() {
        let named = Text::new(&named.to_string());
        tracing::debug!(credential.names = %named, "the credential does not name a region of Snyk's");
    }
    region
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token of Snyk's with these claims.
    fn snyks(claims: &str) -> String {
        format!("snyk_uat.1a2b3c4d.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims))
    }

    fn jwt(claims: &str) -> String {
        format!("eyJhbGciOiJSUzI1NiJ9.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_shows_its_kind_and_a_jwt_its_end() {
        let rows = [
            ("snyk_uat.1a2b3c4d.eyJoIjoiYSJ9.x", "a personal access token"),
            ("snyk_sat.1a2b3c4d.eyJoIjoiYSJ9.x", "a service account's token"),
            ("5f1c2a8e-0000-4000-8000-000000000000", "an API key"),
            (&jwt("{}"), "an OAuth access token"),
            ("any", "a token"),
        ];
        for (token, expected) in rows {
            assert_eq!(kind(token), expected, "{token}");
        }
        assert_eq!(ends_at(&jwt(r#"{"exp":1732529622}"#)), Some(Moment::from_unix_ms(1_732_529_622_000)));
        for other in [jwt("{}"), jwt(r#"{"exp":"soon"}"#), "a.b.c".to_owned(), snyks(r#"{"exp":1}"#)] {
            assert_eq!(ends_at(&other), None, "{other}");
        }
    }

    #[test]
    fn accepts_what_can_be_a_token() {
        let tokens = [
            "x",
            "5f1c2a8e-0000-4000-8000-000000000000",
            "snyk_sat.1a2b3c4d.eyJoIjoiYSJ9.x-y_z",
            "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
            "aGVs/bG8+d29y~bGQ==",
        ];
        for token in tokens {
            assert_eq!(check(token), Ok(()), "{token}");
        }
    }

    #[test]
    fn says_what_else_it_looks_like() {
        use NotAToken::{Characters, Json, Path, WhiteSpace};
        let placeholder = NotAToken::Placeholder;
        let rows = [
            ("$(SNYK_TOKEN)", placeholder(Placeholder::Variable)),
            ("'5f1c2a8e-0000-4000-8000-000000000000'", placeholder(Placeholder::Quoted)),
            ("null", placeholder(Placeholder::Nothing)),
            ("/run/secrets/snyk", Path),
            ("./token", Path),
            ("~/.snyk-token", Path),
            ("file:///run/x", Path),
            ("{\"api\":\"hunter2\"}", Json),
            ("hunter2 hunter3", WhiteSpace),
            ("token: hunter2", WhiteSpace),
            ("hunter2\nhunter3", WhiteSpace),
            ("h\u{fc}nter2", Characters),
            ("hun=ter2", Characters),
            ("hunter2\"", Characters),
            ("user:hunter2", Characters),
            ("==", Characters),
        ];
        for (text, expected) in rows {
            let error = check(text).expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("nter2"), "{error}");
        }
    }

    #[test]
    fn a_token_names_only_regions_of_snyk() {
        let rows = [
            (snyks(r#"{"h":"api.eu.snyk.io"}"#), Some("https://api.eu.snyk.io")),
            (snyks(r#"{"h":"api.snykgov.io","j":1}"#), Some("https://api.snykgov.io")),
            (snyks(r#"{"h":"API.AU.SNYK.IO"}"#), Some("https://api.au.snyk.io")),
            (jwt(r#"{"aud":"https://api.us.snyk.io"}"#), Some("https://api.us.snyk.io")),
            (jwt(r#"{"aud":["account","https://api.eu.snyk.io/"]}"#), Some("https://api.eu.snyk.io")),
            (snyks(r#"{"h":"api.eu.snyk.io.evil.example"}"#), None),
            (snyks(r#"{"h":"evil.example"}"#), None),
            (snyks(r#"{"h":"api.eu.snyk.io@evil.example"}"#), None),
            (snyks(r#"{"h":"api.eu.snyk.io:8443"}"#), None),
            (snyks(r#"{"h":7}"#), None),
            (snyks(r#"{"aud":"https://api.eu.snyk.io"}"#), None),
            (snyks("no JSON"), None),
            (jwt(r#"{"aud":"https://evil.example"}"#), None),
            (jwt(r#"{"h":"api.eu.snyk.io"}"#), None),
            ("snyk_uat".to_owned(), None),
            ("snyk_uat.1a2b3c4d.\u{fc}.x".to_owned(), None),
            ("5f1c2a8e-0000-4000-8000-000000000000".to_owned(), None),
        ];
        for (token, expected) in rows {
            assert_eq!(region(&token).map(|api| api.to_string()).as_deref(), expected, "{token}");
        }
    }
}
