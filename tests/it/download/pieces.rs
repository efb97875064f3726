//! Files that are cut off: they are resumed, or fetched again.

use super::storage::{faults, rows_of};
use super::{check_files, rows};
use crate::lab::{EXPORT_ID, Lab, Program, READY};

#[test]
fn what_is_cut_is_resumed_where_it_was_cut() {
    let lab = Lab::start(&format!("{READY}{}", faults(&["at-most = 3\nfault = 'cut'\nbytes = 1000"])));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    assert_eq!(rows(&check_files(&run.exits(0).home().join("files"), 1)), 1061);
    let asked = lab.asked_for("/storage");
    let ranges: Vec<Option<&str>> = asked.iter().map(|exchange| exchange.header("range")).collect();
    assert_eq!(ranges, [None, Some("bytes=1000-"), Some("bytes=2000-"), Some("bytes=3000-")]);
    assert_eq!(asked[0].header("accept-encoding"), Some("gzip"));
    assert!(asked[1].header("if-range").is_some_and(|etag| etag.starts_with('"')));
    assert_eq!(
        asked.iter().map(|exchange| exchange.status_code.unwrap()).collect::<Vec<_>>(),
        [200, 206, 206, 206]
    );
    run.stderr_has("download failed, retrying file=part-0001.csv");
}

#[test]
fn a_checksum_is_of_the_whole_of_a_file_that_comes_in_pieces() {
    for encoding in ["identity", "gzip"] {
        let cut = faults(&["at-most = 3\nfault = 'cut'\nbytes = 700"]);
        let lab = Lab::start(&format!("{READY}storage-encoding = '{encoding}'\n{cut}"));
        let run = Program::download(&lab).export(EXPORT_ID).run();
        assert_eq!(rows_of(&run.exits(0).home().join("files")), 1061, "{encoding}");
        let codes: Vec<_> = lab.asked_for("/storage").iter().map(|exchange| exchange.status_code).collect();
        assert_eq!(codes, [Some(200), Some(206), Some(206), Some(206)]);
    }
}

#[test]
fn links_that_expire_are_asked_for_anew() {
    // A link is as old as the listing; the last of many parts comes to its turn when it has expired.
    let slow = faults(&["at-most = 8\ndelay = '1100ms'"]);
    let lab = Lab::start(&format!("{READY}parts = 12\nurl-expiration = '1s'\n{slow}"));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    assert_eq!(rows(&check_files(&run.exits(0).home().join("files"), 12)), 1061);
    run.stderr_has("a link does not work any more, asking for new ones");
    let listings = lab.asked_for("/rest").len();
    assert!((2..=5).contains(&listings), "all who wait share a listing: {listings}");
    assert!(lab.asked_for("/storage").iter().any(|exchange| exchange.status_code == Some(403)));
}

#[test]
fn what_storage_cuts_each_time_without_a_way_to_resume_ends_when_it_may() {
    let cut = faults(&["fault = 'cut'\nbytes = 700"]);
    let lab = Lab::start(&format!("{READY}storage-ranges = false\n{cut}"));
    let run = Program::download(&lab).export(EXPORT_ID).args("--max-outage 300ms").run();
    run.exits(69).stderr_has("cut off");
}

#[test]
fn what_begins_elsewhere_or_is_of_another_file_begins_anew() {
    let cut = "at-most = 1\nfault = 'cut'\nbytes = 1000";
    let empty = "at-most = 1\nfault = 'cut'\nbytes = 0\nheaders = { x-goog-hash = 'crc32c=AAAAAA==' }";
    let weak = &format!("{cut}\nheaders = {{ etag = 'W/\"a\"' }}");
    let strange = [
        (cut, "at-most = 1\nstatus-code = 206\nbody = 'x'"),
        (cut, "at-most = 1\nstatus-code = 206\nheaders = { Content-Range = 'bytes 7-7/95276' }\nbody = 'x'"),
        (cut, "at-most = 1\nheaders = { etag = '\"other\"' }"),
        (cut, "at-most = 1\nheaders = { Content-Range = 'bytes 1000-95275/99999' }"),
        (weak, "at-most = 1\nheaders = { etag = 'W/\"b\"' }"),
        (cut, "at-most = 1\nheaders = { x-goog-generation = '2' }"),
        (cut, "at-most = 1\nheaders = { x-goog-hash = 'crc32c=AAAAAA==' }"),
        (cut, "at-most = 1\nstatus-code = 416"),
        (empty, "at-most = 0\nstatus-code = 500"),
    ];
    for (cut, strange) in strange {
        let lab = Lab::start(&format!("{READY}{}", faults(&[cut, strange])));
        let run = Program::download(&lab).export(EXPORT_ID).run();
        assert_eq!(rows(&check_files(&run.exits(0).home().join("files"), 1)), 1061, "{strange}");
        run.stderr_lacks("damaged");
    }
}

#[test]
fn what_storage_says_nothing_of_begins_anew_since_another_file_may_be_in_its_place() {
    let silent = "storage-etag = false\nstorage-hash = false\n";
    let cut = faults(&["at-most = 2\nfault = 'cut'\nbytes = 1000"]);
    let lab = Lab::start(&format!("{READY}{silent}{cut}"));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    assert_eq!(rows(&check_files(&run.exits(0).home().join("files"), 1)), 1061);
    let asked = lab.asked_for("/storage");
    assert!(asked.iter().all(|exchange| exchange.header("range").is_none()));
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_short_part_of_the_rest_is_not_all_of_it() {
    let cut = "at-most = 1\nfault = 'cut'\nbytes = 1000";
    let short = "at-most = 1\nstatus-code = 206\nheaders = { Content-Range = 'bytes 1000-1009/95276' }\nbody = '0123456789'";
    let lab = Lab::start(&format!("{READY}file-size = 'missing'\n{}", faults(&[cut, short])));
    let run = Program::download(&lab).export(EXPORT_ID).run();
    let size = run.exits(0).document()["download"]["files"][0]["file_size"].as_u64();
    assert_eq!(size, Some(95276));
}
