//! What holds for any answers and any policy.

use proptest::prelude::*;

use super::*;

/// Any answer. Most do not end a watch.
fn any_observation() -> impl Strategy<Value = Observation> {
    let answer = prop_oneof![
        4 => prop_oneof![Just("PENDING"), Just("STARTED")].prop_map(status),
        1 => prop_oneof![Just("FINISHED"), Just("ERROR"), Just("ODD")].prop_map(status),
        4 => prop_oneof![Just(429_u16), Just(408), 500_u16..600].prop_map(http),
        1 => prop_oneof![Just(404_u16), Just(409), Just(410)].prop_map(http),
        1 => (100_u16..600).prop_map(http),
        1 => Just(certificate()),
        1 => Just(gateway()),
    ];
    let hint =
        prop_oneof![3 => Just(None), 1 => (0_u64..5000).prop_map(|ms| Some(Duration::from_millis(ms)))];
    (answer, hint).prop_map(|(observation, hint)| Observation { hint, ..observation })
}

/// The longest pause of any policy below: 5 s and 60 s, doubled by jitter.
const LONGEST: Duration = Duration::from_secs(130);

fn any_policy() -> impl Strategy<Value = Policy> {
    let limit =
        || prop_oneof![Just(None), (1_u64..200).prop_map(|seconds| Some(Duration::from_secs(seconds)))];
    let pace =
        (1_u64..5000, 1.0..3.0, 0_u64..60_000, 0.0..=1.0).prop_map(|(initial, multiplier, span, jitter)| {
            let [initial, max] = [initial, initial + span].map(Duration::from_millis);
            Pace::new(initial, multiplier, max, jitter).unwrap()
        });
    (pace.clone(), pace, limit(), limit(), limit(), any::<bool>()).prop_map(
        |(pace, retry, max_wait, max_outage, grace, retry_conflict)| {
            let not_found_grace = grace.unwrap_or_default();
            Policy { pace, retry, max_wait, max_outage, not_found_grace, retry_conflict, ..policy() }
        },
    )
}

proptest! {
    /// A watch that is stored and read after each poll behaves like one that was not.
    #[test]
    fn a_stored_watch_continues_where_it_was(
        policy in any_policy(),
        observations in prop::collection::vec((any_observation(), 0_u64..2000), 1..60),
        seed: u64,
    ) {
        let mut rngs = [seed, seed].map(fastrand::Rng::with_seed);
        let (mut whole, mut kept) = (Progress::new(START), Progress::new(START));
        let mut now = START;
        for (observation, took) in &observations {
            let limits = [whole.begin_poll(&policy, now), kept.begin_poll(&policy, now)];
            prop_assert_eq!(limits[0], limits[1]);
            now = now.plus(Duration::from_millis(*took));
            let [first, second] = &mut rngs;
            let decision = whole.record(observation, &policy, now, first);
            prop_assert_eq!(decision, kept.record(observation, &policy, now, second));
            let text = kept.to_kept();
            kept = Progress::from_kept(&text).unwrap();
            prop_assert_eq!(kept.to_kept(), text);
            prop_assert_eq!(whole.timeline(), kept.timeline());
            prop_assert_eq!(whole.problem(), kept.problem());
            let Decision::PollAfter(delay) = decision else { return Ok(()) };
            // A store keeps whole milliseconds.
            now = Moment::from_unix_ms(now.plus(delay).unix_ms());
        }
    }

    /// For any answers: a delay respects every floor and limit, and every watch with a deadline ends.
    #[test]
    fn the_rules_hold_for_any_answers(
        policy in any_policy(),
        observations in prop::collection::vec((any_observation(), 0_u64..2000), 1..120),
        seed: u64,
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut progress = Progress::new(START);
        let mut now = START;
        // A simple model of the outage: when each of its polls began and ended, and the planned pause.
        let mut failures: Vec<(Moment, Moment, Duration)> = Vec::new();
        for (observation, took) in &observations {
            let limit = progress.begin_poll(&policy, now);
            prop_assert!(limit <= policy.request_timeout);
            let started = now;
            now = now.plus(Duration::from_millis(*took).min(limit));
            let decision = progress.record(observation, &policy, now, &mut rng);
            let deadline = progress.deadline(&policy);
            if observation.answer.is_ok() {
                failures.clear();
            }
            if let Some(deadline) = deadline {
                prop_assert!(started <= deadline, "no poll starts after the deadline");
                prop_assert!(now <= deadline.plus(LAST_POLL));
            }
            let Decision::PollAfter(delay) = decision else { return Ok(()) };
            prop_assert!(!delay.is_zero(), "no delay is 0");
            prop_assert!(observation.hint.is_none_or(|hint| hint <= delay), "a hint is a floor");
            if let Some(deadline) = deadline {
                prop_assert!(now < deadline, "a watch ends at its deadline");
            }
            if observation.answer.is_err() {
                failures.push((started, now, delay));
                let gap = |pair: &[(Moment, Moment, Duration)]| {
                    let ((_, before, planned), (began, ended, _)) = (pair[0], pair[1]);
                    ended.since(before).min(planned + ended.since(began))
                };
                let outage: Duration = failures.windows(2).map(gap).sum();
                prop_assert!(policy.max_outage.is_none_or(|max| outage < max), "an outage ends");
            }
            let hint = observation.hint.unwrap_or_default();
            prop_assert!(delay <= LONGEST.max(hint.mul_f64(1.0 + HINT_JITTER)) + Duration::from_micros(1));
            now = now.plus(delay);
        }
    }

    /// A failure, however long it lasts, does not change the pace of what follows it.
    #[test]
    fn failures_do_not_change_the_main_pace(failures in prop::collection::vec(500_u16..600, 0..20), polls in 1_usize..40) {
        let steady = Policy {
            pace: Pace::new(Duration::from_millis(500), 1.1, Duration::from_secs(30), 0.0).unwrap(),
            ..policy()
        };
        let next = |interruptions: &[u16]| {
            let mut progress = Progress::new(START);
            let mut rng = fastrand::Rng::new();
            for _ in 0..polls {
                progress.record(&status("PENDING"), &steady, START, &mut rng);
            }
            for code in interruptions {
                progress.record(&http(*code), &steady, START, &mut rng);
            }
            progress.record(&status("PENDING"), &steady, START, &mut rng)
        };
        prop_assert_eq!(next(&failures), next(&[]));
    }
}
