//! Clocks that are set while the daemon runs, or are wrong when it starts.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::home::{DaemonHome, asking, watch};
use crate::lab::{EXPORT_ID, Lab, NEVER, SECOND_ID, Spawned, THIRD_ID, WallClock, until};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A watch that is there from the start. It may take an hour.
fn settings(lab: &Lab) -> String {
    format!("[limits]\nmax-wait = '1h'\n{}{}", asking(lab), watch("default", EXPORT_ID))
}

fn start(bed: &DaemonHome, clock: &WallClock) -> Spawned {
    DaemonHome::begin(clock.shown_to(bed.program("watch")))
}

fn stop(daemon: Spawned) {
    daemon.signal("TERM");
    daemon.end().exits(0);
}

fn watches(bed: &DaemonHome) -> Vec<Value> {
    bed.seen("/v1/watches")["data"].as_array().unwrap().clone()
}

/// Waits until a watch that begins now has been polled, and checks that its times are those of a clock that is so many seconds
/// ahead of ours. Then removes it.
#[track_caller]
fn shows(bed: &DaemonHome, export: &str, ahead: i64) {
    let now = || Timestamp::now() + SignedDuration::from_secs(ahead);
    let before = now() - SignedDuration::from_secs(1);
    let path = bed.add("default", export);
    until(|| !bed.seen(&path)["timeline"].as_array().unwrap().is_empty());
    let seen = bed.seen(&path);
    let after = now() + SignedDuration::from_secs(1);
    for time in [&seen["started_at"], &seen["timeline"][0]["at"]] {
        let time: Timestamp = time.as_str().unwrap().parse().unwrap();
        assert!(before < time && time < after, "{time} is not between {before} and {after}: {seen}");
    }
    assert_eq!(bed.ask("DELETE", &path, "").status, 204);
}

/// Waits until all are polled again, and checks that none has ended.
#[track_caller]
fn goes_on(bed: &DaemonHome, lab: &Lab) {
    lab.until_asked(lab.requests() + 5);
    for watch in watches(bed) {
        assert_eq!(watch["state"], "active", "{watch}");
    }
}

#[test]
fn times_follow_a_clock_that_is_set_and_no_watch_ends() {
    let Some(clock) = WallClock::new() else { return };
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&settings(&lab));
    let daemon = start(&bed, &clock);
    for ahead in [0, 8 * HOUR, 0, 400 * DAY, -8 * HOUR, 0] {
        clock.step(ahead);
        shows(&bed, SECOND_ID, ahead);
        goes_on(&bed, &lab);
    }
    assert_eq!(watches(&bed).len(), 1);
    stop(daemon);
}

#[test]
fn a_clock_that_starts_in_1970_and_is_set_then_ends_no_watch() {
    let Some(clock) = WallClock::new() else { return };
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&settings(&lab));
    let in_1970 = 100 - Timestamp::now().as_second();
    clock.step(in_1970);
    let daemon = start(&bed, &clock);
    shows(&bed, SECOND_ID, in_1970);
    clock.step(0);
    shows(&bed, THIRD_ID, 0);
    goes_on(&bed, &lab);
    stop(daemon);
    let daemon = start(&bed, &clock);
    shows(&bed, SECOND_ID, 0);
    goes_on(&bed, &lab);
    stop(daemon);
    // The battery is empty again.
    clock.step(in_1970);
    let daemon = start(&bed, &clock);
    goes_on(&bed, &lab);
    clock.step(0);
    shows(&bed, SECOND_ID, 0);
    goes_on(&bed, &lab);
    stop(daemon);
}

#[test]
fn a_clock_that_is_far_ahead_when_the_daemon_starts_ends_no_watch() {
    const UNCONFIRMED: &str = "the API does not confirm how long ago the store was last written, the time in between counts only in part";
    let Some(clock) = WallClock::new() else { return };
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&settings(&lab).replace("'1h'", "'3h'"));
    stop(start(&bed, &clock));
    // At most an hour counts.
    clock.step(400 * DAY);
    let daemon = start(&bed, &clock);
    daemon.until_said(UNCONFIRMED, 1);
    shows(&bed, SECOND_ID, 400 * DAY);
    goes_on(&bed, &lab);
    stop(daemon);
    clock.step(0);
    let daemon = start(&bed, &clock);
    daemon.until_said("the clock was set back since the store was last written", 1);
    shows(&bed, SECOND_ID, 0);
    goes_on(&bed, &lab);
    stop(daemon);
}
