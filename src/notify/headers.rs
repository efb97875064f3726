//! Headers of the user's own for a webhook, such as `Authorization: Bearer …`. Their values are secrets.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::secret::{Placeholder, Secret};

/// What we set ourselves, or what belongs to the connection.
const OURS: [&str; 17] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// The prefix of the headers of the Standard Webhooks specification.
const SIGNATURE: &str = "webhook-";

/// Headers with their values.
#[derive(Clone, Default)]
pub struct OwnHeaders {
    headers: HeaderMap,
    /// Held as long as the headers are, so that no text shows them.
    _held: Vec<Secret>,
}

/// A line that is not a header. The text itself is not shown: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {why}")]
pub struct OwnHeadersError {
    line: usize,
    why: String,
}

impl OwnHeaders {
    /// The headers in `text`: `Name: value`, one on each line. Blank lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// If a line is not a header, or one that cannot be chosen.
    pub fn new(text: &str) -> Result<Self, OwnHeadersError> {
        let mut own = Self::default();
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        for (line, header) in (1..).zip(lines).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        {
            own.add(header).map_err(|why| {
                // What is before the colon may be a secret too, unless it is a name of ours, which may be shown.
                let of_ours =
                    header.split_once(':').filter(|(name, _)| OURS.contains(&&*name.to_ascii_lowercase()));
                let _ = Secret::new(of_ours.map_or(header, |(_, value)| value.trim()));
                OwnHeadersError { line, why }
            })?;
        }
        if own.headers.is_empty() {
            return Err(OwnHeadersError { line: 1, why: "is missing: `Name: value`".to_owned() });
        }
        Ok(own)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let form = || "is not of the form `Name: value`".to_owned();
        let (name, value) = line.split_once(':').ok_or_else(form)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| form())?;
        let value = value.trim();
        if value.is_empty() {
            return Err(format!("has no value for `{name}`"));
        }
        if OURS.contains(&name.as_str()) || name.as_str().starts_with(SIGNATURE) {
            return Err(format!("sets `{name}`, which snyk-export sets itself"));
        }
        // `Bearer TOKEN`: what comes after the word is the secret, and may be shown without it.
        let secret = value.rsplit(' ').next().unwrap_or(value);
        if let Some(placeholder) = Placeholder::of(secret).or_else(|| Placeholder::of(value)) {
            return Err(format!("has no usable value for `{name}`: {placeholder}"));
        }
        let mut sent = HeaderValue::from_str(value)
            .map_err(|_| format!("has a value for `{name}` that no header can have"))?;
        sent.set_sensitive(true);
        if self.headers.contains_key(&name) {
            return Err(format!("sets `{name}` again"));
        }
        self.headers.insert(name, sent);
        self._held.extend([Secret::new(value), Secret::new(secret)]);
        Ok(())
    }

    /// Whether there is a header of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }
}

/// Shows names only.
impl fmt::Debug for OwnHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.headers.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;

    #[test]
    fn reads_headers_line_by_line() {
        let text =
            "\u{feff}# who asks\r\nAuthorization: Bearer hunter2hunter2\r\n\r\n X-Api-Key:hunter3hunter3 \n";
        let own = OwnHeaders::new(text).unwrap();
        let headers = own.headers();
        assert_eq!(
            (&headers["authorization"], &headers["x-api-key"]),
            (&HeaderValue::from_static("Bearer hunter2hunter2"), &HeaderValue::from_static("hunter3hunter3"),)
        );
        assert_eq!(format!("{own:?}"), "[\"authorization\", \"x-api-key\"]");
        for said in ["sent Bearer hunter2hunter2", "sent hunter2hunter2", "sent hunter3hunter3"] {
            assert!(!Text::new(said).as_str().contains("hunter"), "{said}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_sent_without_showing_it() {
        let rows = [
            ("", "line 1 is missing"),
            ("# none", "line 1 is missing"),
            ("hunter2", "line 1 is not of the form `Name: value`"),
            ("X-A: a\nhunter2 hunter2: b", "line 2 is not of the form"),
            ("X-A:", "line 1 has no value for `x-a`"),
            ("Content-Type: hunter2", "line 1 sets `content-type`, which snyk-export sets itself"),
            ("Webhook-Id: hunter2", "line 1 sets `webhook-id`, which"),
            ("host: hunter2", "line 1 sets `host`, which"),
            ("Transfer-Encoding: hunter2", "line 1 sets `transfer-encoding`, which"),
            ("Proxy-Authorization: Basic hunter2hunter2", "line 1 sets `proxy-authorization`, which"),
            ("Webhook-Signature: hunter2", "line 1 sets `webhook-signature`, which"),
            ("hunter2hunter2hunter2:", "line 1 has no value for `***`"),
            ("X-A: hunter2\nx-a: hunter3", "line 2 sets `x-a` again"),
            (
                "Authorization: Bearer ${HUNTER2}",
                "line 1 has no usable value for `authorization`: it looks like a var",
            ),
            ("X-A: hunter2\u{7f}", "line 1 has a value for `x-a` that no header can have"),
        ];
        for (text, why) in rows {
            let error = Text::new(&OwnHeaders::new(text).unwrap_err().to_string()).to_string();
            assert!(error.starts_with(why) && !error.to_lowercase().contains("hunter"), "{error}");
        }
    }
}
