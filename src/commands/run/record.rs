//! The record of a run: what it requests, when, and the result.

use std::io;
use std::path::PathBuf;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::RunArgs;
use crate::commands::files::Place;
use crate::disk;
use crate::export::{ExportRef, ScopeRef};
use crate::manifest::hexadecimal;
use crate::request::StartRequest;
use crate::text::Text;

/// The version of the document.
pub(super) const SCHEMA: u8 = 1;

/// How long Snyk keeps an export.
pub(super) const KEPT_BY_SNYK: SignedDuration = SignedDuration::from_hours(3 * 24);

/// How far in the future a moment may be, since clocks differ.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// A record that cannot be written or used. Each message names the file and the cure.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands) enum RecordError {
    /// It cannot be written; without a record nothing is started.
    #[error(
        "{} cannot be written, where the start would be recorded; name another file with --state",
        Text::of_file(path)
    )]
    Unwritable { path: PathBuf, source: io::Error },
    /// It cannot be read, and may name an export.
    #[error(
        "{}: {why}; it may name an export that was started: look at it, then remove it or name another file with --state",
        Text::of_file(path)
    )]
    Unreadable { path: PathBuf, why: String },
    /// Another run uses it.
    #[error("another run uses {} at this moment: wait for its end, or name another file with --state", Text::of_file(.0))]
    Busy(PathBuf),
    /// It names another export than the one to continue with.
    #[error(
        "{} names another export, {export}: to continue with that one, leave out --resume; otherwise leave out --state",
        Text::of_file(path)
    )]
    Other { path: PathBuf, export: Box<ExportRef> },
    /// It names an export at another API.
    #[error(
        "{} names a run at {theirs}, and this one uses {ours}: complete that one first, or name another file with --state",
        Text::of_file(path)
    )]
    OtherApi { path: PathBuf, theirs: Text, ours: String },
    /// It is about another run of the same day.
    #[error(
        "{} names another run of today: call that one again to complete it, or name another file with --state",
        Text::of_file(.0)
    )]
    OtherCall(PathBuf),
    /// It is about a run of an earlier day, whose files go to the same place.
    #[error(
        "{} names a run of {date}, whose files go to {} too, where this one's have no room then: put {{date}} into --dir and \
         --merge, or complete that run first: {command}",
        Text::of_file(path),
        Text::of_path(dir)
    )]
    SamePlace { path: PathBuf, date: Text, dir: PathBuf, command: String },
    /// The result of a start cannot be written.
    #[error("{} could not be written, where the start is recorded", Text::of_file(path))]
    Lost { path: PathBuf, source: io::Error },
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) schema: u8,
    /// A digest of the call as it was typed: the same every day.
    call: String,
    /// The day on which it began.
    pub(super) date: String,
    /// The API.
    pub(super) api: String,
    pub(super) scope: ScopeRef,
    /// The document that started it.
    body: Value,
    #[serde(default)]
    include_deleted: bool,
    #[serde(default)]
    include_deactivated: bool,
    pub(super) dir: PathBuf,
    pub(super) merge: Option<PathBuf>,
    /// When the start was sent: RFC 3339 in UTC.
    pub(super) sent_at: String,
    /// The export; `None` until it is known.
    pub(super) export: Option<ExportRef>,
    /// Why the export is not known, if a run could still write that.
    pub(super) problem: Option<String>,
}

impl Record {
    /// The record of a run that is about to begin.
    pub(super) fn new(call: &Call<'_>, date: String, place: &Place) -> Self {
        let StartRequest { scope, body, include_deleted, include_deactivated } = call.request.clone();
        Self {
            schema: SCHEMA,
            call: call.digest(),
            date,
            api: call.api.to_owned(),
            scope,
            body,
            include_deleted,
            include_deactivated,
            dir: place.dir.clone(),
            merge: place.merge.clone(),
            sent_at: String::new(),
            export: None,
            problem: None,
        }
    }

    /// The name of a member with a value that we never write: somebody else wrote it, and it would be shown or used as
    /// a path.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let is_path = |path: &PathBuf| {
            path.is_absolute() && path.to_str().is_some_and(|text| !text.contains(char::is_control))
        };
        let is_line = |text: &str| !text.contains(char::is_control);
        let is_moment = |text: &str| text.is_empty() || text.parse::<Timestamp>().is_ok();
        let checks = [
            ("call", is_line(&self.call)),
            ("date", self.date.parse::<Date>().is_ok()),
            ("api", is_line(&self.api)),
            ("dir", is_path(&self.dir)),
            ("merge", self.merge.as_ref().is_none_or(is_path)),
            ("sent_at", is_moment(&self.sent_at)),
            ("problem", self.problem.as_deref().is_none_or(is_line)),
        ];
        checks.into_iter().find(|(_, is_right)| !is_right).map(|(member, _)| member)
    }

    /// Whether two runs are the same: the same call on the same day.
    pub(super) fn is_of_the_same_run(&self, other: &Self) -> bool {
        (&self.call, &self.date) == (&other.call, &other.date)
    }

    /// Whether this run's files are what another run wants, in the same place.
    pub(super) fn has_what_is_wanted(&self, wanted: &Self) -> bool {
        self.asks_for_the_same(wanted) && (&self.dir, &self.merge) == (&wanted.dir, &wanted.merge)
    }

    /// Whether this run's files would be in the place of another run's, and are not what that one wants.
    pub(super) fn takes_the_place_of(&self, wanted: &Self, now: Timestamp) -> bool {
        let is_same_place = self.dir == wanted.dir || (self.merge.is_some() && self.merge == wanted.merge);
        let has_files_to_come = self.export.is_some() && self.api == wanted.api && !self.is_expired(now);
        is_same_place && has_files_to_come && !self.has_what_is_wanted(wanted)
    }

    /// Whether two runs request the same export, in whatever place.
    pub(super) fn asks_for_the_same(&self, other: &Self) -> bool {
        self.api == other.api && self.request() == other.request()
    }

    /// The start request.
    pub(super) fn request(&self) -> StartRequest {
        let Self { scope, ref body, include_deleted, include_deactivated, .. } = *self;
        StartRequest { scope, body: body.clone(), include_deleted, include_deactivated }
    }

    /// Whether Snyk no longer keeps the export. A record without a valid time counts as expired.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        let day = || Offset::UTC.to_timestamp(self.date.parse::<Date>().ok()?.at(0, 0, 0, 0)).ok();
        let began = self.sent_at.parse::<Timestamp>().ok().or_else(day);
        !began.is_some_and(|began| (-SKEW..KEPT_BY_SNYK).contains(&now.duration_since(began)))
    }
}

/// A call as it was typed: relative dates stay relative.
pub(super) struct Call<'a> {
    pub(super) api: &'a str,
    pub(super) request: &'a StartRequest,
    pub(super) args: &'a RunArgs,
}

impl Call<'_> {
    /// A short digest of the call.
    pub(super) fn digest(&self) -> String {
        let Self { api, request, args: RunArgs { wanted, place, .. } } = self;
        let asked = &wanted.request;
        let mut dates = asked.dates().map(|date| date.as_ref().map(ToString::to_string)).to_vec();
        if dates.ends_with(&[None, None]) {
            // Without --event-from and --event-to the digest is that of earlier versions.
            dates.truncate(4);
        }
        let filters: Vec<String> = asked.filters.iter().map(ToString::to_string).collect();
        let body = asked.body.is_some().then_some(&request.body);
        let flags = [request.include_deleted, request.include_deactivated];
        let url_expiration = asked.url_expiration_seconds.map(|seconds| seconds.0);
        // Different spellings are equal: `d/` is `d`.
        let absolute = |path: &PathBuf| disk::absolute(path).components().collect::<PathBuf>();
        let places = (place.dir.as_ref().map(absolute), place.merge.as_ref().map(absolute));
        let zone = wanted.zone.time_zone.to_string();
        let what = json!([asked.dataset, asked.formats, asked.columns, dates, filters, url_expiration, body]);
        let whole = json!([api, request.scope, what, flags, places, zone]);
        hexadecimal(&digest(&SHA256, whole.to_string().as_bytes()).as_ref()[..8])
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::export::Scope;

    fn record() -> Record {
        Record {
            schema: SCHEMA,
            call: "0123456789abcdef".to_owned(),
            date: "2026-11-27".to_owned(),
            api: "https://api.snyk.io".to_owned(),
            scope: ScopeRef { scope: Scope::Group, id: Uuid::nil() },
            body: json!({ "data": { "attributes": { "dataset": "issues" } } }),
            include_deleted: false,
            include_deactivated: false,
            dir: "/srv/2026-11-27".into(),
            merge: Some("/srv/2026-11-27.csv".into()),
            sent_at: "2026-11-27T02:15:00.123Z".to_owned(),
            export: None,
            problem: None,
        }
    }

    #[test]
    fn requests_and_places_are_compared() {
        let same = Record { date: "2026-11-28".to_owned(), call: String::new(), ..record() };
        assert!(record().has_what_is_wanted(&same));
        let other_scope = ScopeRef { scope: Scope::Org, id: Uuid::nil() };
        let others = [
            Record { scope: other_scope, ..record() },
            Record { body: json!({ "data": { "attributes": { "dataset": "usage" } } }), ..record() },
            Record { include_deleted: true, ..record() },
            Record { include_deactivated: true, ..record() },
            Record { api: "https://api.eu.snyk.io".to_owned(), ..record() },
            Record { dir: "/srv".into(), ..record() },
            Record { merge: None, ..record() },
            Record { merge: Some("/srv/all.csv".into()), ..record() },
        ];
        for (number, other) in others.iter().enumerate() {
            assert!(!record().has_what_is_wanted(other) && !other.has_what_is_wanted(&record()), "{number}");
            // It is the same export, in whatever place.
            assert_eq!(record().asks_for_the_same(other), number >= 5, "{number}");
        }
    }

    #[test]
    fn values_that_are_never_written_are_found() {
        assert_eq!(record().flaw(), None);
        let line = || "a\n::error::b".to_owned();
        let rows = [
            ("call", Record { call: line(), ..record() }),
            ("date", Record { date: line(), ..record() }),
            ("api", Record { api: line(), ..record() }),
            ("dir", Record { dir: "relative".into(), ..record() }),
            ("dir", Record { dir: "/srv/\u{1b}[2J".into(), ..record() }),
            ("merge", Record { merge: Some("../all.csv".into()), ..record() }),
            ("sent_at", Record { sent_at: line(), ..record() }),
            ("problem", Record { problem: Some(line()), ..record() }),
        ];
        for (member, record) in rows {
            assert_eq!(record.flaw(), Some(member));
        }
    }

    #[test]
    fn a_record_expires_after_three_days() {
        for (sent_at, date, now, expected) in [
            ("2026-11-27T02:15:00Z", "2001-01-01", "2026-11-30T02:14:59Z", false),
            ("2026-11-27T02:15:00Z", "2001-01-01", "2026-11-30T02:15:00Z", true),
            ("2026-11-27T02:15:00Z", "2001-01-01", "2026-11-26T22:15:00Z", false),
            // A clock that was years ahead when it was written.
            ("2030-11-27T02:15:00Z", "2001-01-01", "2026-11-30T02:15:00Z", true),
            ("", "2026-11-27", "2026-11-29T23:59:59Z", false),
            ("odd", "2026-11-27", "2026-11-30T00:00:00Z", true),
            ("odd", "odd", "2026-11-27T00:00:00Z", true),
        ] {
            let record = Record { sent_at: sent_at.to_owned(), date: date.to_owned(), ..record() };
            assert_eq!(record.is_expired(now.parse().unwrap()), expected, "{sent_at} {date} {now}");
        }
    }
}
