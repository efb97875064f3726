//! Whether all is well, since when, and what is not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::LATE;
use crate::duration::brief;
use crate::health::{Paused, Standing};
use crate::moment::Moment;
use crate::server::{Service, limits};
use crate::store::{ActiveAccount, Backlog, Counts, StoreError};
use crate::text::Text;
use crate::watch::observation::Problem;
use crate::words::{REFUSED_ACCOUNT, counted};

/// For how long what was read of the store is shown again: viewers share it.
const FRESH: Duration = Duration::from_secs(1);

/// How often the daemon looks itself, so that it knows since when.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(15);

/// For how long an endpoint may take nothing, and Snyk give no answer, before it is worth a word.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const NO_ANSWER: Duration = Duration::from_secs(60);

/// Numbers of the store.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) counts: Counts,
    pub(super) accounts: Vec<ActiveAccount>,
    pub(super) backlog: Vec<Backlog>,
}

/// The numbers, or why there are none.
type Read = Arc<Result<Numbers, String>>;

/// Something that is not well.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What.
    pub(super) what: String,
    /// Since when, if that is known.
    pub(super) since: Option<Moment>,
    /// What to do.
    pub(super) cure: &'static str,
    /// A page that shows more.
    pub(super) more: Option<String>,
}

/// Whether all is well.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Since when that is so, or is not.
    pub(super) since: Moment,
    /// What is not well.
    pub(super) troubles: Vec<Trouble>,
    /// How many accounts with watches have answered no poll well since the start.
    pub(super) unknown: usize,
    /// The numbers, or why there are none.
    pub(super) numbers: Read,
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// The numbers, and when they were read.
    read: tokio::sync::Mutex<Option<(Moment, Read)>>,
    /// Whether there was no trouble, whether there was nothing unknown, and since when.
    last: Mutex<Option<(bool, bool, Moment)>>,
}

impl Judge {
    /// Looks at everything.
    pub(super) async fn look(&self, service: &Service) -> Verdict {
        let numbers = self.numbers(service).await;
        let now = service.clock.now();
        let troubles = troubles(service, &numbers, now);
        let unknown = unknown(service, &numbers);
        let (is_well, is_known) = (troubles.is_empty(), unknown == 0 || !troubles.is_empty());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *last {
            Some((was_well, was_known, since)) if (was_well, was_known) == (is_well, is_known) => since,
            _ => now,
        };
        *last = Some((is_well, is_known, since));
        Verdict { since, troubles, unknown, numbers }
    }

    async fn numbers(&self, service: &Service) -> Read {
        // Others wait for the one who reads.
        let mut read = self.read.lock().await;
        let now = service.clock.now();
        if let Some((_, numbers)) = read.as_ref().filter(|(at, _)| now.since(*at) < FRESH) {
            return Arc::clone(numbers);
        }
        let store = &service.store;
        let reading = async {
            let (counts, accounts) = (store.count().await?, store.active_accounts().await?);
            Ok::<_, StoreError>(Numbers { counts, accounts, backlog: store.backlog().await? })
        };
        let numbers = match timeout(limits::STORE, reading).await {
            Ok(numbers) => numbers.map_err(|error| error.to_string()),
            Err(_) => Err("the store does not answer".to_owned()),
        };
        let numbers = Arc::new(numbers);
        *read = Some((now, Arc::clone(&numbers)));
        numbers
    }
}

impl Trouble {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), since: None, cure: "", more: None }
    }

    fn since(self, since: Moment) -> Self {
        Self { since: Some(since), ..self }
    }

    fn cured_by(self, cure: &'static str) -> Self {
        Self { cure, ..self }
    }

    fn shown_at(self, path: impl Into<String>) -> Self {
        Self { more: Some(path.into()), ..self }
    }
}

/// How many accounts with watches have answered no poll well since the start.
fn unknown(service: &Service, numbers: &Result<Numbers, String>) -> usize {
    let (standings, known) = (service.health.accounts(), &service.terms.agreed().accounts);
    let has_answered = |account: &str| standings.get(account).is_some_and(|standing| standing.has_answered);
    let active = numbers.as_ref().map_or(&[][..], |numbers| &numbers.accounts);
    active.iter().map(|it| it.account.as_str()).filter(|it| known.contains(*it) && !has_answered(it)).count()
}

/// What is not well, the worst first.
fn troubles(service: &Service, numbers: &Result<Numbers, String>, now: Moment) -> Vec<Trouble> {
    let health = &service.health;
    let mut troubles = Vec::new();
    if health.is_stopping() {
        troubles.push(Trouble::new("The daemon is stopping"));
    }
    if !health.is_alive(now) {
        let trouble = Trouble::new("The runner has made no pass recently");
        troubles.push(trouble.cured_by("restart the daemon if that lasts"));
    }
    let none = Numbers::default();
    let numbers = numbers.as_ref().unwrap_or_else(|error| {
        troubles.push(Trouble::new(format!("No answer from the store: {}", Text::new(error))));
        &none
    });
    let (standings, known) = (health.accounts(), &service.terms.agreed().accounts);
    troubles.extend(known.iter().filter_map(|account| {
        let (standing, refused) = (standings.get(account), health.refused_since(account));
        let trouble = of_account(account, standing, refused, &numbers.accounts, now)?;
        Some(trouble.shown_at(super::query::of_account(account)))
    }));
    let lost = numbers.accounts.iter().filter(|active| !known.contains(&*active.account));
    troubles.extend(lost.map(|ActiveAccount { account, watches, .. }| {
        let watches = if *watches == 1 { "1 watch is".to_owned() } else { format!("{watches} watches are") };
        let what = format!("{watches} not followed: the settings have no account {}", Text::new(account));
        let trouble = Trouble::new(what).cured_by("add the account again, or delete its watches");
        trouble.shown_at(super::query::of_account(account))
    }));
    troubles.extend(of_notifications(numbers, now));
    troubles
}

/// What is not well with an account.
fn of_account(
    account: &str,
    standing: Option<&Standing>,
    refused: Option<Moment>,
    active: &[ActiveAccount],
    now: Moment,
) -> Option<Trouble> {
    let because = |problem: &Problem| match problem.to_string() {
        said if said.is_empty() => String::new(),
        said => format!(": {said}"),
    };
    let paused = standing.and_then(|standing| standing.paused.as_ref());
    if let Some(Paused { since, until, .. }) = paused.filter(|it| it.throttled && refused.is_none()) {
        let what = format!("Snyk asks account {account} for a pause of another {}", brief(until.since(now)));
        return Some(Trouble::new(what).since(*since));
    }
    if let Some(since) = refused.or(paused.map(|paused| paused.since)) {
        let why = paused.map(|paused| because(&paused.problem)).unwrap_or_default();
        let what = format!("Polls of account {account} pause, because its credential is refused{why}");
        return Some(Trouble::new(what).since(since).cured_by(REFUSED_ACCOUNT));
    }
    if let Some((since, problem)) = unanswered(standing, now) {
        let what = format!("Snyk does not answer account {account}{}", because(problem));
        return Some(Trouble::new(what).since(since));
    }
    let due_at = late(active, account, now)?;
    let what = format!("Polls of account {account} are late by up to {}", brief(now.since(due_at)));
    Some(Trouble::new(what).cured_by("it may have more watches than its requests-per-minute allow"))
}

/// What is not well with notifications.
fn of_notifications(Numbers { counts, backlog, .. }: &Numbers, now: Moment) -> Vec<Trouble> {
    let are = |count: u64, verb: [&'static str; 2]| {
        format!("{} {}", counted(count, "notification"), verb[usize::from(count != 1)])
    };
    let stuck = backlog.iter().filter(|backlog| now.since(backlog.oldest) >= PATIENCE);
    let stuck = stuck.map(|Backlog { endpoint, pending, oldest }| {
        let (are, name) = (are(*pending, ["waits", "wait"]), Text::new(endpoint));
        let trouble = Trouble::new(format!("{are} for endpoint {name}")).since(*oldest);
        trouble.shown_at("/notifications?state=pending")
    });
    let lost = (counts.undeliverable > 0).then(|| {
        let what = format!("{} given up, and will not arrive", are(counts.undeliverable, ["was", "were"]));
        let trouble = Trouble::new(what).cured_by(
            "snyk-export deliveries redeliver ID sends one again; the page of notifications shows the ids",
        );
        trouble.shown_at("/notifications?state=undeliverable")
    });
    stuck.chain(lost).collect()
}

/// Since when the first watch of an account is overdue, if it is.
pub(super) fn late(accounts: &[ActiveAccount], account: &str, now: Moment) -> Option<Moment> {
    let found = accounts.iter().find(|it| it.account == account);
    found.map(|it| it.due_at).filter(|due_at| now.since(*due_at) >= LATE)
}

/// Since when no poll of an account was answered, and why, if that is worth a word.
pub(super) fn unanswered(standing: Option<&Standing>, now: Moment) -> Option<(Moment, &Problem)> {
    let (since, problem) = standing?.unanswered.as_ref()?;
    (now.since(*since) >= NO_ANSWER).then_some((*since, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_an_account_is_said() {
        let now = Moment::from_unix_ms(1_732_529_622_000);
        let ago = |seconds| now.before(Duration::from_secs(seconds)).unwrap();
        let problem = || Problem::new("down", "");
        let paused = |throttled| {
            Some(Paused { throttled, since: ago(9), until: now.plus(NO_ANSWER), problem: problem() })
        };
        let standing = |paused, unanswered: Option<u64>| {
            let unanswered = unanswered.map(|seconds| (ago(seconds), problem()));
            Some(Standing { paused, unanswered, ..Standing::default() })
        };
        let late =
            |seconds| vec![ActiveAccount { account: "a".to_owned(), watches: 7, due_at: ago(seconds) }];
        let asks = "Snyk asks account a for a pause of another 1m";
        let refused = "Polls of account a pause, because its credential is refused";
        let silent = "Snyk does not answer account a: down";
        let rows = [
            (None, None, 0, None),
            (standing(None, Some(59)), None, 59, None),
            (standing(None, None), None, 150, Some("Polls of account a are late by up to 2m 30s".to_owned())),
            (standing(None, Some(60)), None, 150, Some(silent.to_owned())),
            (standing(paused(true), None), None, 150, Some(asks.to_owned())),
            (standing(paused(false), Some(60)), None, 150, Some(format!("{refused}: down"))),
            (standing(paused(true), None), Some(ago(99)), 0, Some(format!("{refused}: down"))),
            (None, Some(ago(99)), 150, Some(refused.to_owned())),
        ];
        for (number, (standing, refused, late_by, expected)) in rows.into_iter().enumerate() {
            let trouble = of_account("a", standing.as_ref(), refused, &late(late_by), now);
            assert_eq!(trouble.map(|trouble| trouble.what), expected, "row {number}");
        }
        assert!(of_account("b", None, None, &late(150), now).is_none());
    }

    #[test]
    fn notifications_that_wait_for_long_or_were_given_up_are_said() {
        let now = Moment::from_unix_ms(1_732_529_622_000);
        let backlog = |pending, seconds| Backlog {
            endpoint: "platform".to_owned(),
            pending,
            oldest: now.before(Duration::from_secs(seconds)).unwrap(),
        };
        let said = |backlog, undeliverable| {
            let counts = Counts { undeliverable, ..Counts::default() };
            let numbers = Numbers { counts, accounts: Vec::new(), backlog: vec![backlog] };
            of_notifications(&numbers, now).into_iter().map(|trouble| trouble.what).collect::<Vec<_>>()
        };
        assert_eq!(said(backlog(5, 899), 0), [""; 0]);
        assert_eq!(said(backlog(1, 900), 0), ["1 notification waits for endpoint platform"]);
        assert_eq!(said(backlog(5, 0), 1), ["1 notification was given up, and will not arrive"]);
        assert_eq!(said(backlog(5, 900), 2).len(), 2);
    }
}
