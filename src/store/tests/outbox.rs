//! Rules of the outbox.

use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

async fn claim(bed: &impl Lasting, now: Moment) -> (Vec<ClaimedDelivery>, Option<Moment>) {
    let Turn { claimed, next_due, .. } =
        bed.store().claim("platform".to_owned(), 9, now, false).await.unwrap();
    (claimed, next_due)
}

async fn record(bed: &impl Lasting, claim: Claim, next: NextDelivery) {
    record_with(bed, claim, next, EndpointPace::default()).await;
}

async fn record_with(bed: &impl Lasting, claim: Claim, next: NextDelivery, pace: EndpointPace) {
    bed.store().record(vec![DeliveryRecord { claim, at: NOW.plus(SECOND), next, pace }]).await.unwrap();
}

fn ids(claimed: &[ClaimedDelivery]) -> Vec<&str> {
    claimed.iter().map(|claimed| &*claimed.delivery.id).collect()
}

fn again(after: Duration) -> NextDelivery {
    let (pace, problem) = (Some(Duration::from_nanos(1_500_000_001)), Text::new("HTTP 503"));
    NextDelivery::Due { at: NOW.plus(after), pace, problem }
}

pub(super) async fn a_delivery_is_due_again_until_it_is_sent(mut bed: impl Lasting) {
    let watch = bed.add("a", 1).await;
    bed.end("a", &[1], |_| vec!["x".to_owned()]).await;
    let first = claim(&bed, NOW).await.0.remove(0);
    assert_eq!((&first.delivery, first.watch), (&delivery("x", "platform"), Some(watch.id)));
    assert_eq!((first.attempts, first.pace), (0, None));
    record(&bed, first.claim, again(SECOND * 5)).await;
    let (none, next) = claim(&bed, NOW.plus(SECOND * 4)).await;
    assert_eq!((none.len(), next), (0, Some(NOW.plus(SECOND * 5))));
    let listed = bed.store().look(watch.id).await.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((listed.state, listed.attempts, listed.due_at), (DeliveryState::Pending, 1, next));
    assert_eq!((listed.problem.unwrap().as_str(), &*listed.endpoint), ("HTTP 503", "platform"));

    bed.reopen().await;
    let second = claim(&bed, NOW.plus(SECOND * 5)).await.0.remove(0);
    assert_eq!((second.attempts, second.pace), (1, Some(Duration::from_nanos(1_500_000_001))));
    record(&bed, second.claim, NextDelivery::Sent).await;
    assert_eq!(claim(&bed, NOW.plus(SECOND * 99)).await.1, None);
    let listed = bed.store().look(watch.id).await.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((listed.state, listed.attempts), (DeliveryState::Sent, 2));
    assert_eq!((listed.problem, listed.due_at), (None, None));
    assert_eq!(bed.counts().await, Counts { ended: 1, ..Counts::default() });
}

pub(super) async fn an_undeliverable_delivery_stays_visible(bed: impl Lasting) {
    let watch = bed.add("a", 1).await;
    bed.end("a", &[1], |_| vec!["x".to_owned()]).await;
    bed.pass(owes([delivery("y", "platform")])).await;
    let claimed = claim(&bed, NOW).await.0;
    assert_eq!((ids(&claimed), claimed[1].watch), (vec!["x", "y"], None));
    for claimed in claimed {
        record(&bed, claimed.claim, NextDelivery::Undeliverable { problem: Text::new("HTTP 410") }).await;
    }
    assert_eq!(claim(&bed, NOW.plus(SECOND * 99)).await.1, None);
    assert_eq!(bed.counts().await, Counts { ended: 1, undeliverable: 2, ..Counts::default() });
    let listed = bed.store().look(watch.id).await.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((listed.state, listed.problem), (DeliveryState::Undeliverable, Some(Text::new("HTTP 410"))));
}

pub(super) async fn a_claimed_delivery_is_hidden_and_recorded_once(mut bed: impl Lasting) {
    bed.pass(owes([delivery("x", "platform")])).await;
    let first = claim(&bed, NOW).await.0.remove(0);
    let (none, next) = claim(&bed, NOW.plus(SECOND * 1_000_000_000)).await;
    assert_eq!((none.len(), next), (0, Some(Moment::NEVER)));
    bed.reopen().await;
    let second = claim(&bed, NOW).await.0.remove(0);
    assert_eq!(second.attempts, first.attempts);
    record(&bed, second.claim, NextDelivery::Sent).await;
    record(&bed, second.claim, again(SECOND)).await;
    assert_eq!(bed.counts().await, Counts::default());
}

pub(super) async fn the_first_queued_comes_first_endpoint_by_endpoint(bed: impl Lasting) {
    // Whatever a clock says that was set back.
    let owed = [("a", "platform", 3), ("b", "other", 1), ("c", "platform", 2), ("d", "other", 0)];
    let owed = owed
        .map(|(id, endpoint, after)| NewDelivery { at: NOW.plus(SECOND * after), ..delivery(id, endpoint) });
    bed.pass(owes(owed)).await;
    let endpoints = async || bed.store().owed_endpoints().await.unwrap();
    assert_eq!(endpoints().await, ["other", "platform"]);
    let (claimed, next) = claim(&bed, NOW).await;
    assert_eq!((ids(&claimed), next), (vec!["a", "c"], Some(Moment::NEVER)));
    for (id, next) in [("b", Some(IN_TURN)), ("d", Some(Moment::NEVER))] {
        assert_eq!(endpoints().await, ["other", "platform"]);
        let Turn { claimed, next_due, .. } =
            bed.store().claim("other".to_owned(), 1, NOW, false).await.unwrap();
        assert_eq!((ids(&claimed), next_due), (vec![id], next));
        record(&bed, claimed[0].claim, NextDelivery::Sent).await;
    }
    assert_eq!(endpoints().await, ["platform"]);
    let (endpoint, oldest) = ("platform".to_owned(), NOW.plus(SECOND * 2));
    let backlog = bed.store().backlog().await.unwrap();
    assert_eq!(backlog, [Backlog { endpoint, pending: 2, oldest }]);
}

pub(super) async fn an_endpoint_keeps_its_pace_and_wakes_all_when_it_is_back(mut bed: impl Lasting) {
    let owed = ["a", "b", "c"].map(|id| delivery(id, "platform"));
    bed.pass(owes(owed.into_iter().chain([delivery("z", "other")]))).await;
    let failing = EndpointPace {
        position: Some(SECOND * 4),
        open_at: NOW.plus(SECOND * 9),
        floor: NOW.plus(SECOND * 3),
        gentle_until: NOW.plus(SECOND * 4),
    };
    let claimed = claim(&bed, NOW).await.0;
    let aside = |pace| NextDelivery::Due { at: NOW.plus(SECOND * 60), pace, problem: Text::new("HTTP 503") };
    record_with(&bed, claimed[0].claim, aside(None), failing).await;
    record_with(&bed, claimed[1].claim, aside(Some(SECOND)), failing).await;
    record_with(&bed, claimed[2].claim, again(Duration::ZERO), failing).await;

    bed.reopen().await;
    let Turn { claimed, next_due, pace } =
        bed.store().claim("platform".to_owned(), 9, NOW.plus(SECOND * 8), false).await.unwrap();
    assert_eq!((claimed.len(), next_due, pace), (0, Some(failing.open_at), failing));
    let anyway = bed.store().claim("platform".to_owned(), 9, NOW.plus(SECOND * 8), true).await.unwrap();
    assert_eq!(ids(&anyway.claimed), ["c"]);
    bed.reopen().await;
    let other = bed.store().claim("other".to_owned(), 9, NOW, false).await.unwrap();
    assert_eq!((ids(&other.claimed), other.pace), (vec!["z"], EndpointPace::default()));
    let claimed = claim(&bed, failing.open_at).await.0;
    assert_eq!(ids(&claimed), ["c"]);
    record(&bed, claimed[0].claim, NextDelivery::Sent).await;
    let (claimed, next) = claim(&bed, failing.open_at).await;
    assert_eq!((ids(&claimed), next), (vec!["a"], Some(NOW.plus(SECOND * 60))), "b has a pace of its own");
}

pub(super) async fn old_deliveries_are_given_up_unless_they_are_claimed(bed: impl Lasting) {
    let owed = ["a", "b", "c"].map(|id| delivery(id, "platform"));
    bed.pass(owes(owed.into_iter().chain([delivery("d", "other")]))).await;
    let under_way = bed.store().claim("platform".to_owned(), 1, NOW, false).await.unwrap().claimed.remove(0);
    bed.pass(owes([NewDelivery { at: NOW.plus(SECOND), ..delivery("e", "platform") }])).await;
    let give_up = async || {
        let problem = Text::new("gone");
        bed.store().give_up("platform".to_owned(), NOW, problem, NOW.plus(SECOND)).await.unwrap()
    };
    let given_up = give_up().await;
    assert_eq!(given_up.iter().map(|given_up| &*given_up.id).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!((given_up[0].watch, given_up[0].attempts), (None, 0));
    assert_eq!(bed.counts().await, Counts { pending: 3, undeliverable: 2, ..Counts::default() });
    record(&bed, under_way.claim, again(SECOND)).await;
    assert_eq!(give_up().await[0].attempts, 1);
    assert_eq!(give_up().await, []);
}

pub(super) async fn a_credential_is_notified_when_it_changes_however_often_the_daemon_starts(
    mut bed: impl Lasting,
) {
    let rows = [
        ("works", false, 0),
        ("refused", true, 1),
        ("refused again", true, 1),
        ("works again", false, 2),
        ("still works", false, 2),
        ("refused anew", true, 3),
    ];
    for (id, is_refused, pending) in rows {
        bed.pass(news("acme", is_refused, [delivery(id, "platform")])).await;
        bed.pass(news("other", false, [delivery("other", "platform")])).await;
        assert_eq!(bed.counts().await.pending, pending, "{id}");
        bed.reopen().await;
    }
}

pub(super) async fn exit_codes_are_kept_if_that_is_asked_for_until_they_are_reported(mut bed: impl Lasting) {
    for number in 1..=2 {
        bed.add("acme", number).await;
    }
    bed.end("acme", &[1], |_| vec!["a".to_owned()]).await;
    assert!(bed.store().kept_codes().await.unwrap().is_empty());
    bed.store().keep_codes().await.unwrap();
    bed.end("acme", &[2], |_| vec!["b".to_owned()]).await;
    let (claimed, _) = claim(&bed, NOW).await;
    let given_up = NextDelivery::Undeliverable { problem: Text::new("HTTP 410") };
    record(&bed, claimed[0].claim, given_up).await;
    bed.reopen().await;
    let kept = bed.store().kept_codes().await.unwrap();
    assert!(kept.contains(&ExitCode::UNAVAILABLE), "{kept:?}");
    bed.store().forget_codes(kept).await.unwrap();
    bed.reopen().await;
    assert!(bed.store().kept_codes().await.unwrap().is_empty());
}

pub(super) async fn a_settled_delivery_is_pending_again(mut bed: impl Lasting) {
    let watch = bed.add("a", 1).await.id;
    bed.end("a", &[1], |_| vec!["x".to_owned()]).await;
    let again = async |bed: &_, id: &str, known: &str| {
        let known = vec![known.to_owned()];
        Lasting::store(bed).redeliver(Some(watch), id.to_owned(), known, NOW.plus(SECOND * 9)).await.unwrap()
    };
    assert_eq!(again(&bed, "x", "platform").await, Some(Redelivery::Pending));
    let claimed = claim(&bed, NOW).await.0.remove(0);
    let (open_at, floor) = (Moment::NEVER, Moment::NEVER);
    let paused = EndpointPace { position: Some(SECOND), open_at, floor, ..EndpointPace::default() };
    let never = NextDelivery::Undeliverable { problem: Text::new("HTTP 410") };
    record_with(&bed, claimed.claim, never, paused).await;
    let gone = Redelivery::NoEndpoint("platform".to_owned());
    assert_eq!(again(&bed, "x", "other").await, Some(gone));
    assert_eq!(again(&bed, "y", "platform").await, None);
    let Some(Redelivery::Queued(queued)) = again(&bed, "x", "platform").await else { panic!("not queued") };
    assert_eq!((queued.state, queued.attempts, queued.watch), (DeliveryState::Pending, 1, Some(watch)));
    assert_eq!(bed.counts().await, Counts { ended: 1, pending: 1, ..Counts::default() });

    bed.reopen().await;
    let (mut claimed, _) = claim(&bed, NOW.plus(SECOND * 9)).await;
    let claimed = claimed.remove(0);
    assert_eq!((claimed.attempts, claimed.delivery.at), (1, NOW.plus(SECOND * 9)), "it has another day");
    record(&bed, claimed.claim, NextDelivery::Sent).await;
    assert!(matches!(again(&bed, "x", "platform").await, Some(Redelivery::Queued(_))));
    assert_eq!(bed.counts().await, Counts { ended: 1, pending: 1, ..Counts::default() });
    record(&bed, claim(&bed, NOW.plus(SECOND * 9)).await.0.remove(0).claim, NextDelivery::Sent).await;

    // About an account.
    bed.pass(owes([delivery("z", "platform")])).await;
    record(&bed, claim(&bed, NOW).await.0.remove(0).claim, NextDelivery::Sent).await;
    assert_eq!(again(&bed, "z", "platform").await, None, "it is about no watch");
    for (id, about) in [("z", None), ("x", Some(watch))] {
        let known = vec!["platform".to_owned()];
        let again = Lasting::store(&bed).redeliver(None, id.to_owned(), known, NOW).await.unwrap();
        let Some(Redelivery::Queued(queued)) = again else { panic!("{again:?}") };
        assert_eq!((queued.id.as_str(), queued.watch), (id, about));
    }
}

pub(super) async fn a_new_delivery_ends_a_pause_and_those_that_wait_go_first(bed: impl Lasting) {
    bed.pass(owes([delivery("a", "platform")])).await;
    let claimed = claim(&bed, NOW).await.0.remove(0);
    let [floor, open_at] = [10, 60].map(|seconds| NOW.plus(SECOND * seconds));
    let later = NextDelivery::Due { at: open_at, pace: None, problem: Text::new("HTTP 503") };
    record_with(
        &bed,
        claimed.claim,
        later,
        EndpointPace { position: Some(SECOND), open_at, floor, ..EndpointPace::default() },
    )
    .await;
    let owe = async |id, after| {
        let at = NOW.plus(SECOND * after);
        bed.pass(owes([NewDelivery { at, ..delivery(id, "platform") }])).await;
        claim(&bed, at).await
    };
    let (claimed, next) = owe("b", 5).await;
    assert_eq!((claimed.len(), next), (0, Some(floor)), "not at once");
    assert_eq!(ids(&owe("c", 10).await.0), ["a", "b", "c"]);
}
