//! What a person asks the page for: a search, filters, a page.

use std::time::Duration;

use url::form_urlencoded::{self, Serializer};
use uuid::Uuid;

use super::LATE;
use crate::export::parse_id;
use crate::moment::Moment;
use crate::store::{Filter, Wanted};

/// How long a text of a search may be, in characters. Nothing that is searched is longer.
const LONGEST: usize = 500;

/// Which watches are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Shown {
    /// All.
    #[default]
    All,
    /// Those that have not ended.
    Active,
    /// Those of them whose last poll failed.
    Failing,
    /// Those of them that are overdue.
    Late,
    /// Those that have ended.
    Ended,
    /// Those of them that finished.
    Finished,
    /// Those of them that did not.
    Unfinished,
}

/// Each with its word in the query and its name for people.
const SHOWN: [(Shown, &str, &str); 7] = [
    (Shown::All, "", "all"),
    (Shown::Active, "active", "followed"),
    (Shown::Failing, "failing", "followed, last poll failed"),
    (Shown::Late, "late", "followed, poll overdue"),
    (Shown::Ended, "ended", "ended"),
    (Shown::Finished, "finished", "ended, finished"),
    (Shown::Unfinished, "unfinished", "ended, not finished"),
];

/// A query of the page. What it does not know it ignores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// A text that is searched.
    pub(super) text: String,
    /// Which watches are shown.
    pub(super) shown: Shown,
    /// The account.
    pub(super) account: String,
    /// A label: a key, or a key and a value with `=` between them.
    pub(super) label: String,
    /// The watch after which the page begins.
    pub(super) after: Option<Uuid>,
    /// The watch before which it ends.
    pub(super) before: Option<Uuid>,
}

impl Query {
    /// Reads the query of a request.
    pub(super) fn parse(query: &str) -> Self {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let text = || value.trim().chars().take(LONGEST).collect();
            match &*name {
                "q" => read.text = text(),
                "state" => {
                    let found = SHOWN.iter().find(|(_, word, _)| *word == value);
                    read.shown = found.map_or(Shown::All, |(shown, ..)| *shown);
                }
                "account" => read.account = text(),
                // A label can have blanks at its edges.
                "label" => read.label = value.chars().take(LONGEST).collect(),
                "after" => read.after = parse_id(&value),
                "before" => read.before = parse_id(&value),
                _ => {}
            }
        }
        read
    }

    /// The choices of the state: word, name, and whether it is chosen.
    pub(super) fn choices(&self) -> Vec<(&'static str, &'static str, bool)> {
        SHOWN.iter().map(|(shown, word, name)| (*word, *name, *shown == self.shown)).collect()
    }

    /// Whether nothing is left out but by pages.
    pub(super) fn is_plain(&self) -> bool {
        Self { after: None, before: None, ..self.clone() } == Self::default()
    }

    /// The filter for the store, without limits.
    pub(super) fn filter(&self, now: Moment) -> Filter {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let (ended, finished) = match self.shown {
            Shown::All => (None, None),
            Shown::Active | Shown::Failing | Shown::Late => (Some(false), None),
            Shown::Ended => (Some(true), None),
            Shown::Finished => (Some(true), Some(true)),
            Shown::Unfinished => (Some(true), Some(false)),
        };
        let label = some(&self.label).map(|label| match label.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (label, None),
        });
        let wanted = Wanted {
            account: some(&self.account),
            label,
            text: some(&self.text),
            finished,
            fails: self.shown == Shown::Failing,
            due_before: (self.shown == Shown::Late).then(|| now.before(LATE).unwrap_or_default()),
        };
        // Backwards the list begins at the watch before which it ends.
        let newest_first = self.before.is_none();
        Filter { ended, wanted, newest_first, after: self.before.or(self.after), ..Filter::default() }
    }

    /// The path of this query.
    pub(super) fn path(&self) -> String {
        let mut query = Serializer::new(String::new());
        let word = SHOWN.iter().find(|(shown, ..)| *shown == self.shown).map_or("", |(_, word, _)| word);
        let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let (after, before) = (id(self.after), id(self.before));
        for (name, value) in [
            ("q", self.text.as_str()),
            ("state", word),
            ("account", &self.account),
            ("label", &self.label),
            ("after", &after),
            ("before", &before),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
    }

    /// The path of the page after this watch.
    pub(super) fn after(&self, watch: Uuid) -> String {
        Self { after: Some(watch), before: None, ..self.clone() }.path()
    }

    /// The path of the page before this watch.
    pub(super) fn before(&self, watch: Uuid) -> String {
        Self { after: None, before: Some(watch), ..self.clone() }.path()
    }
}

/// The path of all watches with this label.
pub(super) fn of_label(key: &str, value: &str) -> String {
    // A key with `=` would be read as another key and its value; the search finds it.
    let query = match key.contains('=') {
        true => Query { text: key.to_owned(), ..Query::default() },
        false => Query { label: format!("{key}={value}"), ..Query::default() },
    };
    query.path()
}

/// The path of all watches of this account.
pub(super) fn of_account(account: &str) -> String {
    Query { account: account.to_owned(), ..Query::default() }.path()
}

/// How long a search may take before the page shows what it has found.
pub(super) const SEARCH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_written_again() {
        let id = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
        for text in [
            "/".to_owned(),
            format!("/?q=a+%26+b&state=late&account=acme&label=team%3D%3Cb%3E&after={id}"),
            format!("/?state=unfinished&before={id}"),
        ] {
            let query = Query::parse(text.trim_start_matches("/?"));
            assert_eq!(query.path(), text);
            assert_eq!(query.is_plain(), text == "/");
        }
        let odd = Query::parse("q=&state=none&after=x&none=1&account=%ff");
        assert_eq!(odd, Query { account: "\u{fffd}".to_owned(), ..Query::default() });
        assert_eq!(Query::parse(&format!("q={}", "x".repeat(9999))).text.len(), LONGEST);
    }

    #[test]
    fn labels_have_a_key_and_perhaps_a_value() {
        let label = |text: &str| Query::parse(text).filter(Moment::default()).wanted.label;
        assert_eq!(label("label=team"), Some(("team".to_owned(), None)));
        assert_eq!(label("label=team%3Da%3Db"), Some(("team".to_owned(), Some("a=b".to_owned()))));
        assert_eq!(label("label=team%3D"), Some(("team".to_owned(), Some(String::new()))));
        assert_eq!(of_label("a", "b=c"), "/?label=a%3Db%3Dc");
        let blanks = of_label(" a", "b ");
        assert_eq!(label(blanks.trim_start_matches("/?")), Some((" a".to_owned(), Some("b ".to_owned()))));
        assert_eq!(of_label("a=b", "c"), "/?q=a%3Db");
    }
}
