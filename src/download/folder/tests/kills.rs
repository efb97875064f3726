//! Downloads that were killed, or lost their power, while files got their names.

use super::*;

#[test]
fn naming_goes_on_where_it_was_killed() {
    for renamed in 0..=2 {
        let bed = killed_at(renamed, false);
        let whole = manifest(&["part-0001.csv", "part-0002.csv"]);
        assert_eq!(bed.settle(None, false).unwrap(), Left::Completed(whole.clone()));
        assert_eq!(
            bed.names(),
            ["manifest.json", "part-0001.csv", "part-0002.csv"],
            "{renamed} were renamed"
        );
        assert_eq!(bed.settle(None, false).unwrap(), Left::Done(whole));
    }
}

#[test]
fn a_file_that_a_power_cut_has_left_under_both_names_is_one() {
    let bed = killed_at(0, false);
    bed.write("part-0002.csv", "x");
    let whole = manifest(&["part-0001.csv", "part-0002.csv"]);
    assert_eq!(bed.settle(None, false).unwrap(), Left::Completed(whole));
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv", "part-0002.csv"]);
}

#[test]
fn what_a_power_cut_has_taken_is_fetched_again_and_the_rest_is_kept() {
    for renamed in 0..=2 {
        let bed = killed_at(renamed, false);
        let place = if renamed == 0 { bed.work() } else { bed.0.path().to_owned() };
        std::fs::write(place.join("part-0001.csv"), "").unwrap();
        let left = bed.settle(None, false).unwrap();
        assert_eq!(left, Left::Damaged(place.join("part-0001.csv")), "{renamed}");
        assert!(!bed.work().join(MANIFEST).exists());
        let folder = bed.open(false).unwrap();
        assert_eq!(folder.whole("part-0001.csv", &part(1)), None);
        assert_eq!(folder.whole("part-0002.csv", &part(1)), Some(whole()));
    }
}

#[test]
fn what_was_replaced_goes_away_even_if_it_was_killed_meanwhile() {
    let bed = Place::new();
    let before = ["part-0001.csv", "part-0002.csv", "part-0003.csv"];
    bed.with(&before, false).finish(manifest(&before), None).unwrap();
    let folder = bed.with(&before[..1], true);
    let text = serde_json::to_vec(&manifest(&before[..1])).unwrap();
    std::fs::write(bed.work().join(MANIFEST), text).unwrap();
    std::fs::rename(bed.path(MANIFEST), bed.work().join("replaced.json")).unwrap();
    drop(folder);
    assert!(matches!(bed.settle(None, true).unwrap(), Left::Completed(_)));
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv"]);
}
