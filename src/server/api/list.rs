//! Lists of watches, in pages.

use url::form_urlencoded;
use uuid::Uuid;

use super::view::{State, View};
use crate::export::parse_id;
use crate::moment::Moment;
use crate::server::limits;
use crate::server::problem::{Problem, Problems, Source};
use crate::store::Listing;
use crate::text::Text;

/// Writes a page of these watches as JSON, as many as fit. It writes one at a time: all of them at once would need many times
/// the memory.
pub(super) fn written(listing: &Listing, query: &Query, now: Moment) -> Vec<u8> {
    let Listing { watches: listed, has_more, .. } = listing;
    let mut page = b"{\"data\":[".to_vec();
    let mut taken = 0;
    for listed in listed {
        if page.len() >= limits::PAGE_BYTES {
            break;
        }
        if taken > 0 {
            page.push(b',');
        }
        serde_json::to_writer(&mut page, &View::new(listed, now))
            .unwrap_or_else(|error| unreachable!("a watch can be written as JSON: {error}"));
        taken += 1;
    }
    let last = listed[..taken].last().filter(|_| *has_more || taken < listed.len());
    let next = last.map(|last| query.next(last.watch.id));
    page.extend_from_slice(b"],\"next\":");
    serde_json::to_writer(&mut page, &next)
        .unwrap_or_else(|error| unreachable!("a path can be written as JSON: {error}"));
    page.push(b'}');
    page
}

/// Which watches to list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Only watches that have ended, or only active ones.
    pub(super) state: Option<State>,
    /// The largest number of watches on the page.
    pub(super) limit: usize,
    /// Only watches that were added after this one.
    pub(super) after: Option<Uuid>,
}

impl Query {
    /// Parses the query of a request. Missing parameters have their defaults.
    pub(super) fn parse(query: &str) -> Result<Self, Problems> {
        let (mut state, mut limit, mut after) = (None, None, None);
        let mut problems = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let taken = match &*name {
                "state" => take(&mut state, read_state(&value), "`active` or `ended`"),
                "limit" => take(&mut limit, read_limit(&value), "a number from 1 to 1000"),
                "after" => take(&mut after, parse_id(&value), "the id of a watch"),
                _ => Err("the parameters are `state`, `limit` and `after`".to_owned()),
            };
            problems.extend(taken.err().map(|detail| refused(&name, detail)));
        }
        Problems::of(problems)?;
        Ok(Self { state, limit: limit.unwrap_or(limits::DEFAULT_PAGE), after })
    }

    /// Whether to list watches that have ended, or active ones; `None` lists both.
    pub(super) fn ended(&self) -> Option<bool> {
        self.state.map(|state| state == State::Ended)
    }

    /// The path of the page after the watch `last`.
    pub(super) fn next(&self, last: Uuid) -> String {
        let state = self.state.map(|state| format!("state={}&", state.as_str())).unwrap_or_default();
        format!("/v1/watches?{state}limit={}&after={last}", self.limit)
    }
}

/// Sets a parameter, which must not be set yet.
pub(super) fn take<T>(slot: &mut Option<T>, value: Option<T>, form: &str) -> Result<(), String> {
    match (value, &slot) {
        (_, Some(_)) => Err("it is given twice".to_owned()),
        (None, None) => Err(format!("expected {form}")),
        (value, None) => {
            *slot = value;
            Ok(())
        }
    }
}

pub(super) fn refused(name: &str, detail: String) -> Problem {
    let name = Text::new(name);
    Problem::bad_request(format!("parameter `{name}`: {detail}")).at(Source::Parameter(name.to_string()))
}

fn read_state(value: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.as_str() == value)
}

pub(super) fn read_limit(value: &str) -> Option<usize> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|limit| is_plain && (1..=limits::PAGE).contains(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";

    #[test]
    fn parses_parameters() {
        let after = parse_id(ID);
        let rows = [
            ("".to_owned(), None, 100, None),
            ("state=active".to_owned(), Some(false), 100, None),
            ("limit=1&state=ended".to_owned(), Some(true), 1, None),
            (format!("after={ID}&limit=1000"), None, 1000, after),
        ];
        for (text, ended, limit, after) in rows {
            let query = Query::parse(&text).unwrap();
            assert_eq!((query.ended(), query.limit, query.after), (ended, limit, after), "{text}");
        }
    }

    #[test]
    fn names_the_invalid_parameter() {
        let simple = ID.replace('-', "");
        let rows = [
            ("state=", "state"),
            ("state=Active", "state"),
            ("state=active&state=active", "state"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=%2B5", "limit"),
            ("limit=99999999999999999999999", "limit"),
            ("limit=", "limit"),
            ("after=x", "after"),
            (&format!("after={simple}"), "after"),
            ("stat=active", "stat"),
            ("%ff", "\u{fffd}"),
        ];
        for (text, parameter) in rows {
            let problems = serde_json::to_value(Query::parse(text).unwrap_err()).unwrap();
            assert_eq!(problems["errors"][0]["source"]["parameter"], parameter, "{text}");
            assert_eq!(problems["errors"][0]["status"], "400", "{text}");
        }
    }

    #[test]
    fn the_next_page_has_the_same_parameters() {
        let last = parse_id(ID).unwrap();
        for text in ["state=ended&limit=7", "limit=1000", ""] {
            let query = Query::parse(text).unwrap();
            let next = query.next(last);
            let next = Query::parse(next.strip_prefix("/v1/watches?").unwrap()).unwrap();
            assert_eq!(next, Query { after: Some(last), ..query });
        }
    }
}
