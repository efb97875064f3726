//! The record of requests and answers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::answer::{Fault, FaultKind};
use super::api::Reply;
use super::http::Request;

/// How many exchanges are kept.
const KEPT: usize = 10_000;
/// The longest target that is kept, in characters.
const TARGET_CHARACTERS: usize = 2_000;
/// Request headers that are kept with their values. None of them holds a secret.
const KEPT_HEADERS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-type",
    "if-range",
    "range",
    "snyk-request-id",
    "user-agent",
];
/// Words that make the value of a query parameter a secret.
const SECRET_WORDS: [&str; 5] = ["signature", "credential", "token", "secret", "key"];
/// Schemes that may be shown. Any other first word of `Authorization` may be the secret itself.
const SCHEMES: [&str; 3] = ["token", "bearer", "basic"];

/// A request and what it was answered. It holds neither credentials nor signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// When the request had come in, counted from the start of the simulator.
    pub at: Duration,
    /// Which connection it came on, counted from 1.
    pub connection: u64,
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query, with `***` in the place of signatures and other secrets.
    pub target: String,
    /// The scheme of `Authorization` in lower case (`token`, `bearer`, `basic`, or `other`), if it was sent.
    pub authorization: Option<String>,
    /// The request headers that matter, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The status code of the answer. `None` if a fault prevented it.
    pub status_code: Option<u16>,
    /// The fault of the answer.
    pub fault: Option<FaultKind>,
    /// The answer in a word: a status or an error code. May be empty.
    pub note: String,
}

impl Exchange {
    pub(super) fn of(request: &Request, reply: &Reply, connection: u64, at: Duration) -> Exchange {
        let fault = reply.fault.as_ref();
        let headers = KEPT_HEADERS
            .iter()
            .filter_map(|name| request.header(name).map(|value| ((*name).to_owned(), value.to_owned())));
        Exchange {
            at,
            connection,
            method: request.method.clone(),
            target: redact(&request.target).chars().take(TARGET_CHARACTERS).collect(),
            authorization: request.header("authorization").map(scheme),
            headers: headers.collect(),
            status_code: fault.is_none_or(Fault::shows_status_code).then_some(reply.response.status_code),
            fault: fault.map(|fault| fault.kind),
            note: reply.response.note.clone(),
        }
    }

    /// The value of a request header that matters, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One line for people, `+1.204s #1 GET /rest/… (token) -> 200 PENDING`, with the fault behind it in brackets.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3}s #{} {} {}", self.at.as_secs_f64(), self.connection, self.method, self.target)?;
        if let Some(scheme) = &self.authorization {
            write!(f, " ({scheme})")?;
        }
        f.write_str(" ->")?;
        if let Some(status_code) = self.status_code {
            write!(f, " {status_code}")?;
            // A note may contain text of a scenario, which may contain anything.
            let note: String = self.note.chars().filter(|each| !each.is_control()).take(80).collect();
            if !note.is_empty() {
                write!(f, " {note}")?;
            }
        }
        if let Some(fault) = self.fault { write!(f, " [{fault}]") } else { Ok(()) }
    }
}

/// The last exchanges, and the function that is called with each.
pub(super) struct Journal {
    log: Box<dyn Fn(&Exchange) + Send + Sync>,
    kept: Mutex<VecDeque<Exchange>>,
}

impl Journal {
    pub(super) fn new(log: Box<dyn Fn(&Exchange) + Send + Sync>) -> Journal {
        Journal { log, kept: Mutex::default() }
    }

    pub(super) fn record(&self, exchange: Exchange) {
        (self.log)(&exchange);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(exchange);
    }

    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

fn scheme(authorization: &str) -> String {
    let first = authorization.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if SCHEMES.contains(&first.as_str()) { first } else { "other".to_owned() }
}

/// The target with `***` for the values of parameters that sound secret.
fn redact(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if sounds_secret(name) => format!("{name}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_kept() {
        assert_eq!(
            redact("/storage/x.csv?X-Goog-Expires=1&X-Goog-Signature=ab&access_token=c"),
            "/storage/x.csv?X-Goog-Expires=1&X-Goog-Signature=***&access_token=***"
        );
        assert_eq!(scheme("Token abc"), "token");
        assert_eq!(scheme("11111111-2222-4333-8444-555555555555"), "other");
    }

    #[test]
    fn an_exchange_is_one_line_for_people() {
        let exchange = Exchange {
            at: Duration::from_millis(1204),
            connection: 2,
            method: "GET".to_owned(),
            target: "/rest/x".to_owned(),
            authorization: Some("token".to_owned()),
            headers: Vec::new(),
            status_code: Some(200),
            fault: Some(FaultKind::Cut),
            note: "PEND\nING".to_owned(),
        };
        assert_eq!(exchange.to_string(), "+1.204s #2 GET /rest/x (token) -> 200 PENDING [cut]");
        let reset = Exchange { status_code: None, fault: Some(FaultKind::Reset), ..exchange };
        assert_eq!(reset.to_string(), "+1.204s #2 GET /rest/x (token) -> [reset]");
    }
}
