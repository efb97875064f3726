//! The power is cut at every event of a run, in two ways, and the program is started on what is left.

use std::collections::BTreeMap;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::disk::{Disk, Tree, materialize};
use super::trace::{Call, strace};
use super::{COURSE, can_trace, run};
use crate::download::check_files;
use crate::lab::{EXPORT_ID, Lab, Program, Run};

/// What a run holds in the end, but for its manifest, which has a time in it.
const FILES: [&str; 3] = ["files/part-0001.csv", "files/part-0002.csv", "all.csv"];

/// What is known of a cut.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    tree: Tree,
    /// Whether the start was sent by then.
    is_sent: bool,
    /// Whether its answer was on the disk by then.
    is_answered: bool,
}

/// A run, and what it left.
struct TracedRun {
    lab: Lab,
    home: tempfile::TempDir,
    force: &'static str,
    /// What each file may hold: what it holds in the end, and what it held before.
    whole: BTreeMap<&'static str, Vec<Vec<u8>>>,
    cuts: Vec<Cut>,
}

impl TracedRun {
    /// Lets a run come to its end, and cuts the power after each of its calls. With `--force` there are files before.
    fn new(force: &'static str, left_by: impl Fn(&Disk) -> Tree) -> TracedRun {
        let lab = Lab::start(COURSE);
        let (home, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        if !force.is_empty() {
            let before =
                Lab::start(&COURSE.replace("rows = 20", "rows = 30").replace("parts = 2", "parts = 3"));
            let download = Program::download(&before).export(EXPORT_ID).living_in(home.path());
            download.args("--merge all.csv").run().exits(0);
        }
        let mut whole: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
        let read = || FILES.map(|name| (name, std::fs::read(home.path().join(name))));
        let mut take_in = |files: [(&'static str, std::io::Result<Vec<u8>>); 3]| {
            files.into_iter().for_each(|(name, text)| whole.entry(name).or_default().extend(text.ok()));
        };
        take_in(read());
        let mut disk = Disk::of(home.path());
        let log = logs.path().join("log");
        run(&lab, home.path()).args(force).under(&strace(&log)).run().exits(0);
        take_in(read());
        let (mut is_sent, mut is_answered) = (false, false);
        let mut cuts = vec![Cut { tree: left_by(&disk), is_sent, is_answered }];
        for call in Call::all(&std::fs::read_to_string(&log).unwrap()) {
            is_sent |= call.sends("POST ");
            if disk.apply(&call) {
                is_answered |= record(&disk.only_synced()).is_some_and(|record| record["export"].is_object());
                cuts.push(Cut { tree: left_by(&disk), is_sent, is_answered });
            }
        }
        assert!(cuts.len() > 30 && is_sent && is_answered, "{} events are not those of a run", cuts.len());
        cuts.sort();
        cuts.dedup();
        TracedRun { lab, home, force, whole, cuts }
    }

    /// Files are whole or not there, and a manifest says nothing that is not so.
    #[track_caller]
    fn check_what_others_see(&self, cut: &Cut) {
        let at = |name: &str| self.home.path().join(name);
        for (name, whole) in &self.whole {
            if let Ok(found) = std::fs::read(at(name)) {
                assert!(whole.contains(&found), "{name} is not whole: {cut}");
            }
        }
        let Ok(text) = std::fs::read(at("files/manifest.json")) else { return };
        let manifest: Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {cut}"));
        let parts = manifest["files"].as_array().unwrap().iter();
        let parts = parts.map(|entry| (at("files").join(entry["name"].as_str().unwrap()), entry));
        for (path, entry) in parts.chain([(at("all.csv"), &manifest["merged"])]) {
            let found = std::fs::read(&path).unwrap_or_default();
            let sha256 = digest(&SHA256, &found);
            let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(entry["sha256"], json!(sha256), "the manifest lies about {}: {cut}", path.display());
        }
    }

    /// The same command once more: it brings the same files home, with one start in all.
    fn call_again(&self, cut: &Cut) {
        materialize(&cut.tree, self.home.path());
        self.check_what_others_see(cut);
        let starts = self.lab.starts();
        let again = run(&self.lab, self.home.path()).args(self.force).run();
        let started = self.lab.starts() - starts;
        if is_unsure(&again) {
            assert!(!cut.is_answered, "the answer was on the disk: {cut}\n{again}");
            assert_eq!(started, 0, "{cut}\n{again}");
            return self.check_what_others_see(cut);
        }
        let is_there = again.code == Some(2) && again.stderr.contains("manifest.json is there already");
        assert!(again.code == Some(0) || is_there, "{cut}\n{again}");
        // What is over is not gone on with, where something may take its place.
        let is_over = !self.force.is_empty() && record(&cut.tree).is_none();
        assert_eq!(started, usize::from(!cut.is_sent || is_over), "{cut}\n{again}");
        self.check_what_others_see(cut);
        check_files(&self.home.path().join("files"), 2);
        assert!(!self.home.path().join("state/s.json").exists(), "{cut}\n{again}");
    }

    /// The next night, with another directory and the same record: it is not kept from its own export.
    fn call_the_next_night(&self, cut: &Cut) {
        materialize(&cut.tree, self.home.path());
        if let Some(mut record) = record(&cut.tree) {
            record["date"] = "2001-01-01".into();
            std::fs::write(self.home.path().join("state/s.json"), record.to_string()).unwrap();
        }
        let next = run(&self.lab, self.home.path()).no_arg("--dir files").no_arg("--merge all.csv");
        let next = next.args("--dir next --merge next.csv").args(self.force).run();
        assert_eq!(next.code, Some(0), "{cut}\n{next}");
        check_files(&self.home.path().join("next"), 2);
        self.check_what_others_see(cut);
        assert!(!self.home.path().join("state/s.json").exists(), "{cut}\n{next}");
    }
}

/// Nobody knows whether there is an export, and that is said.
fn is_unsure(run: &Run) -> bool {
    run.code == Some(69) && run.stderr.contains("may or may not have created an export")
}

fn record(tree: &Tree) -> Option<Value> {
    let text = tree.get(Path::new("state/s.json"))?.as_ref()?;
    Some(serde_json::from_slice(text).expect("a record is whole or not there"))
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sent: {}, answered: {}; on the disk:", self.is_sent, self.is_answered)?;
        let length = |text: &Option<Vec<u8>>| text.as_ref().map(Vec::len);
        self.tree.iter().try_for_each(|(path, text)| write!(f, "\n  {} {:?}", path.display(), length(text)))
    }
}

fn cut_everywhere(force: &'static str, left_by: impl Fn(&Disk) -> Tree) {
    if !can_trace() {
        return;
    }
    let bed = TracedRun::new(force, left_by);
    for cut in &bed.cuts {
        bed.call_again(cut);
        bed.call_the_next_night(cut);
    }
}

#[test]
fn a_power_cut_that_leaves_only_what_was_synced_loses_nothing() {
    cut_everywhere("", Disk::only_synced);
}

#[test]
fn a_power_cut_that_leaves_names_without_data_loses_nothing() {
    cut_everywhere("", Disk::names_without_data);
}

#[test]
fn a_power_cut_while_files_are_replaced_leaves_the_old_or_the_new() {
    cut_everywhere("--force", Disk::only_synced);
    cut_everywhere("--force", Disk::names_without_data);
}
