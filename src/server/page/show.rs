//! The pages: all watches, one watch, notifications.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use url::form_urlencoded;

use super::html::{self, Accounts, Failure, Head, Notes, Notifications, Told, Watches};
use super::query::{Query, SEARCH};
use super::rows::{self, when};
use super::verdict::{Numbers, Verdict};
use super::{Frame, page, written};
use crate::document::Document;
use crate::export::parse_id;
use crate::moment::Moment;
use crate::server::{Service, Shared, limits};
use crate::store::{Counts, DeliveryFilter, DeliveryState, Filter, Listed, StoreError, Wanted};
use crate::text::Text;
use crate::words::thousands;

/// How many rows a table has.
const ROWS: usize = 50;

/// How many watches of a search are looked at before others may use the store.
const LOOKS: usize = 250;

/// How many troubles and accounts are shown.
const TROUBLES: usize = 20;

/// The watches of a page.
struct Found {
    rows: Vec<Listed>,
    /// The paths of the pages beside it.
    newer: String,
    older: String,
    /// Whether the search stopped before its end, because it took too long.
    is_cut: bool,
}

/// `GET /`
pub(in crate::server) async fn overview(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let service = &shared.service;
    let query = Query::parse(query.as_deref().unwrap_or_default());
    // It is never closed.
    let _making = shared.page.making.acquire().await;
    let verdict = shared.page.judge.look(service).await;
    let now = service.clock.now();
    let (head, title) = head(&verdict, now);
    let mut main = written(&head);
    match &*verdict.numbers {
        Ok(numbers) => main.push_str(&written(&accounts(service, numbers, now))),
        Err(_) => return shown(&shared, &title, &query.path(), &main),
    }
    match find(service, &query).await {
        Ok(found) => main.push_str(&written(&watches(service, &query, found, now))),
        Err(error) => main.push_str(&written(&store_failed(&error.to_string()))),
    }
    shown(&shared, &title, &query.path(), &main)
}

fn shown(shared: &Shared, title: &str, path: &str, main: &str) -> Response {
    answer(shared, StatusCode::OK, title, path, main)
}

fn answer(shared: &Shared, status: StatusCode, title: &str, path: &str, main: &str) -> Response {
    let has_login = !shared.service.terms.agreed().tokens.is_empty();
    page(status, Frame { title, path, is_login: false, has_login }, main)
}

fn store_failed(detail: &str) -> Failure<'_> {
    Failure { title: "The store failed", detail }
}

/// The headline, and the title of the page.
fn head(verdict: &Verdict, now: Moment) -> (Head, String) {
    let count = verdict.troubles.len();
    let headline = match count {
        0 if verdict.unknown > 0 => {
            let has = if verdict.unknown == 1 {
                "1 account has".to_owned()
            } else {
                format!("{} accounts have", verdict.unknown)
            };
            format!("Nothing is known to be wrong; {has} not answered yet")
        }
        0 => "All is well".to_owned(),
        1 => "One thing needs attention".to_owned(),
        count => format!("{count} things need attention"),
    };
    let told = verdict.troubles.iter().take(TROUBLES).map(|trouble| Told {
        what: trouble.what.clone(),
        since: trouble.since.map(|since| when(since, now)),
        cure: trouble.cure,
        more: trouble.more.clone().unwrap_or_default(),
    });
    let numbers = verdict.numbers.as_ref().as_ref().map(|numbers| {
        let Counts { active, ended, pending, .. } = numbers.counts;
        let [active, ended, pending] = [active, ended, pending].map(thousands);
        format!("Watches: {active} followed, {ended} ended. Notifications to be sent: {pending}.")
    });
    let head = Head {
        headline: headline.clone(),
        since: when(verdict.since, now),
        numbers: numbers.unwrap_or_default(),
        is_known: verdict.unknown == 0,
        troubles: told.collect(),
        omitted: count.saturating_sub(TROUBLES),
    };
    (head, headline)
}

fn accounts(service: &Service, numbers: &Numbers, now: Moment) -> Accounts {
    let (known, standings) = (&service.terms.agreed().accounts, service.health.accounts());
    let row =
        |name: &Arc<str>| rows::account(name, &service.health, standings.get(name), &numbers.accounts, now);
    let mut rows: Vec<_> = known.iter().map(row).collect();
    // Those that need somebody come first.
    rows.sort_by_key(|row| !["bad", "warn"].contains(&row.class));
    let omitted = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    Accounts { rows, omitted }
}

/// Finds the watches of a page. A search goes on in small steps, so that polls need not wait for it.
async fn find(service: &Service, query: &Query) -> Result<Found, StoreError> {
    let begun = service.clock.now();
    let mut filter = query.filter(begun);
    if filter.wanted != Wanted::default() {
        filter.looks = LOOKS;
    }
    let (mut rows, mut is_cut, mut last) = (Vec::new(), false, None);
    loop {
        let (limit, bytes) = (ROWS + 1 - rows.len(), limits::PAGE_BYTES);
        let step = Filter { limit, bytes, ..filter.clone() };
        let Some(mut listing) = service.store.list(step).await? else {
            // The watch at which the page begins is gone.
            let first = Query { after: None, before: None, ..query.clone() };
            return Box::pin(find(service, &first)).await;
        };
        rows.append(&mut listing.watches);
        last = listing.last.or(last);
        if rows.len() > ROWS || !listing.has_more {
            break;
        }
        is_cut = service.clock.now().since(begun) > SEARCH;
        if is_cut {
            break;
        }
        filter.after = listing.last;
    }
    let has_more = rows.len() > ROWS;
    rows.truncate(ROWS);
    let is_backwards = query.before.is_some();
    if is_backwards {
        rows.reverse();
    }
    let ends = (rows.first().map(|row| row.watch.id), rows.last().map(|row| row.watch.id));
    // A page that was reached from another has that beside it.
    let has_newer = if is_backwards { has_more || is_cut } else { query.after.is_some() };
    let has_older = is_backwards || has_more || is_cut;
    let newer = if is_cut && is_backwards { last } else { ends.0 };
    let older = if is_cut && !is_backwards { last } else { ends.1 };
    Ok(Found {
        newer: newer.filter(|_| has_newer).map(|id| query.before(id)).unwrap_or_default(),
        older: older.filter(|_| has_older).map(|id| query.after(id)).unwrap_or_default(),
        rows,
        is_cut,
    })
}

fn watches<'a>(service: &Service, query: &'a Query, found: Found, now: Moment) -> Watches<'a> {
    let known = &service.terms.agreed().accounts;
    let is_known = query.account.is_empty() || known.contains(&*query.account);
    let names = || known.iter().map(|name| name.to_string()).collect();
    let none = match (found.is_cut, query.is_plain()) {
        (true, _) => "The search goes on for long, and has found nothing so far.",
        (false, true) => "There are none. POST /v1/watches or the settings add some.",
        (false, false) => "None is like this.",
    };
    let standings = service.health.accounts();
    let is_paused = |account: &str| standings.get(account).is_some_and(|standing| standing.paused.is_some());
    let row = |listed: &Listed| rows::watch(listed, is_paused(&listed.watch.account), false, now);
    let is_first = query.after.is_none() && query.before.is_none();
    Watches {
        text: &query.text,
        choices: query.choices(),
        accounts: (is_known && known.len() <= 2 * ROWS).then(names),
        account: &query.account,
        label: &query.label,
        is_filtered: !query.is_plain(),
        none,
        rows: found.rows.iter().map(row).collect(),
        first: if is_first {
            String::new()
        } else {
            Query { after: None, before: None, ..query.clone() }.path()
        },
        newer: found.newer,
        older: found.older,
        go_on: if found.is_cut { "Search on" } else { "Older" },
    }
}

/// `GET /watches/{id}`
pub(in crate::server) async fn watch(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let service = &shared.service;
    let id = id.ok().and_then(|Path(text)| parse_id(&text));
    let looked = match id {
        Some(id) => service.store.look(id).await,
        None => Ok(None),
    };
    let now = service.clock.now();
    match (looked, id) {
        (Ok(Some(listed)), Some(id)) => {
            let standings = service.health.accounts();
            let standing = standings.get(&listed.watch.account);
            let is_paused = standing.is_some_and(|standing| standing.paused.is_some());
            let row = rows::watch(&listed, is_paused, true, now);
            let title = format!("{}: {}", row.word, row.export);
            shown(&shared, &title, &format!("/watches/{id}"), &written(&in_full(&listed, row, now)))
        }
        (Ok(_), _) => {
            let detail = "It may have been deleted, or forgotten since it ended long ago.";
            let failure = Failure { title: "There is no such watch", detail };
            answer(&shared, StatusCode::NOT_FOUND, failure.title, "/", &written(&failure))
        }
        (Err(error), _) => {
            let error = error.to_string();
            let failure = store_failed(&error);
            answer(&shared, StatusCode::SERVICE_UNAVAILABLE, failure.title, "/", &written(&failure))
        }
    }
}

fn in_full(listed: &Listed, row: html::WatchRow, now: Moment) -> html::Watch {
    let Listed { watch, end, deliveries, .. } = listed;
    let ended = end.as_ref().and_then(|(_, _, document)| serde_json::from_str::<Document>(document).ok());
    let document = ended.unwrap_or_else(|| Document::under_way(watch, now));
    let (status, error) = (document.status.as_ref(), document.error.as_ref());
    let said = match document.outcome {
        Some(outcome) => crate::words::said(outcome, watch.export.scope_ref(), status, error),
        None => error.map(ToString::to_string).unwrap_or_default(),
    };
    let text = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    let mut facts = vec![
        ("Export".to_owned(), watch.export.export_id.to_string()),
        (format!("Its {}", watch.export.scope), watch.export.scope_id.to_string()),
        ("Account".to_owned(), watch.account.to_string()),
        ("Status".to_owned(), text(document.status.as_ref().map(ToString::to_string))),
        ("Created, as Snyk says".to_owned(), text(document.created.clone())),
        ("Rows, as Snyk says".to_owned(), text(document.row_count.map(|count| count.to_string()))),
        ("Polls".to_owned(), watch.progress.polls().to_string()),
        ("Followed for".to_owned(), row.lasted.clone()),
        ("Watch".to_owned(), watch.id.to_string()),
    ];
    if let Some(expires) = document.links_expire_at.flatten() {
        facts.push(("Links stop working".to_owned(), when(expires, now).exact));
    }
    facts.extend(watch.labels.iter().map(|(key, value)| (format!("Label {key}"), value.clone())));
    let table = match deliveries.is_empty() {
        true => String::new(),
        false => notes(deliveries, false, now),
    };
    html::Watch {
        row,
        said,
        hint: document.hint.map(|hint| Text::new(&hint).to_string()).unwrap_or_default(),
        begun: when(watch.progress.started_at(), now),
        no_notes: if end.is_some() {
            "Nobody is notified of its end."
        } else {
            "They are sent when it ends."
        },
        table,
        facts,
    }
}

fn notes(deliveries: &[crate::store::ListedDelivery], has_watch: bool, now: Moment) -> String {
    let rows = deliveries.iter().map(|delivery| rows::note(delivery, now)).collect();
    written(&Notes { rows, has_watch })
}

/// `GET /notifications`
pub(in crate::server) async fn notifications(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let (mut state, mut after) = (None, None);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "state" => state = DeliveryState::from_word(&value),
            "after" => after = Some(value.into_owned()),
            _ => {}
        }
    }
    let path = |after: Option<&str>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(state.map(|state| ("state", state.as_str())));
        query.extend_pairs(after.map(|after| ("after", after)));
        format!("/notifications?{}", query.finish())
    };
    let service = &shared.service;
    let of = |after| DeliveryFilter { state, after, limit: ROWS };
    let listed = match service.store.deliveries(of(after.clone())).await {
        // The one at which the page begins is gone.
        Ok(None) => service.store.deliveries(of(None)).await,
        listed => listed,
    };
    let (listed, has_more) = match listed {
        Ok(listed) => listed.unwrap_or_default(),
        Err(error) => {
            let error = error.to_string();
            let failure = store_failed(&error);
            return answer(&shared, StatusCode::SERVICE_UNAVAILABLE, failure.title, "/", &written(&failure));
        }
    };
    let table = match listed.is_empty() {
        true => String::new(),
        false => notes(&listed, true, service.clock.now()),
    };
    let next = listed.last().filter(|_| has_more).map(|last| path(Some(&last.id)));
    let first = after.as_ref().map(|_| path(None));
    let states = DeliveryState::ALL.map(|it| (it.as_str(), state == Some(it))).to_vec();
    let (first, next) = (first.unwrap_or_default(), next.unwrap_or_default());
    let main = written(&Notifications { states, table, first, next });
    shown(&shared, "Notifications", &path(after.as_deref()), &main)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watch::outcome::Outcome;
    use crate::watch::{Progress, Watch};

    #[test]
    fn an_export_that_failed_is_said_as_in_the_log() {
        let now = Moment::from_unix_ms(9000);
        let mut watch = Watch::unnamed(crate::fixtures::export(1), Moment::default());
        let problem = json!({ "http_status": 200, "title": "the export failed", "detail": "no rows" });
        let kept = json!({ "started_at": 0, "timeline": [["ERRORED", 9000]], "problem": problem });
        watch.progress = Progress::from_kept(&kept.to_string()).unwrap();
        let document = Document { outcome: Some(Outcome::Failed), ..Document::under_way(&watch, now) };
        let end = Some(("failed".to_owned(), now, document.to_line()));
        let listed = Listed { watch, due_at: None, end, deliveries: Vec::new() };
        let shown = in_full(&listed, rows::watch(&listed, false, true, now), now);
        assert_eq!(shown.said, "Snyk stopped with ERRORED: no rows");
    }
}
