//! Folders: what is overwritten, and what a call that was killed leaves to the next one.

use std::path::PathBuf;

use tempfile::TempDir;
use uuid::Uuid;

use super::super::writer::Written;
use super::*;
use crate::export::Scope;
use crate::manifest::Entry;

fn export(number: u128) -> ExportRef {
    let id = Uuid::from_u128(number);
    ExportRef { scope: Scope::Group, scope_id: id, export_id: id }
}

fn manifest(names: &[&str]) -> Manifest {
    let entry = |name: &&str| Entry {
        name: (*name).to_owned(),
        file_size: written().file_size,
        row_count: None,
        rows: Some(0),
        sha256: written().sha256,
    };
    Manifest {
        schema: 1,
        export: export(1),
        downloaded_at: String::new(),
        row_count: None,
        rows: Some(0),
        files: names.iter().map(entry).collect(),
        merged: None,
    }
}

/// What is known of a file that holds an `x`.
fn written() -> Written {
    let sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881".to_owned();
    Written { file_size: 1, sha256 }
}

fn whole() -> Whole {
    Whole { written: written(), rows: Some(0) }
}

struct Bed(TempDir);

impl Bed {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, force: bool) -> Result<Folder, FolderError> {
        Folder::open(self.0.path(), None, &export(1), force)
    }

    /// A folder in which these files are whole.
    fn with(&self, names: &[&str], force: bool) -> Folder {
        let folder = self.open(force).unwrap();
        for name in names {
            std::fs::write(folder.partial(name), "x").unwrap();
            folder.keep(name, &whole()).unwrap();
        }
        folder
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn files_get_their_names_when_all_are_there() {
    let bed = Bed::new();
    let names = ["part-0001.csv", "part-0002.csv"];
    let folder = bed.with(&names, false);
    assert_eq!(bed.names().len(), 1, "until then they are hidden: {:?}", bed.names());
    folder.finish(manifest(&names), None).unwrap();
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv", "part-0002.csv"]);
    assert_eq!(Folder::done(bed.0.path(), None, &export(1), false).unwrap(), Some(manifest(&names)));
    assert_eq!(Folder::done(bed.0.path(), None, &export(2), false).unwrap(), None);
    let merge = bed.path("all.csv");
    let merged = |force| Folder::done(bed.0.path(), Some(&merge), &export(1), force);
    let other = merged(false).unwrap_err().to_string();
    assert!(other.contains("not merged: leave --merge as it was"), "{other}");
    assert_eq!(merged(true).unwrap(), None, "they may be fetched anew");
    std::fs::write(bed.path("part-0002.csv"), "y").unwrap();
    let changed = Folder::done(bed.0.path(), None, &export(1), false).unwrap_err().to_string();
    assert!(changed.contains("part-0002.csv is not what its manifest says"), "{changed}");
    assert_eq!(Folder::done(bed.0.path(), None, &export(1), true).unwrap(), None);
}

#[test]
fn a_download_without_its_merged_file_is_not_whole() {
    let bed = Bed::new();
    let names = ["part-0001.csv"];
    let merge = bed.path("all.csv");
    let done = |force| Folder::done(bed.0.path(), Some(&merge), &export(1), force);
    let folder = bed.with(&names, false);
    let manifest = folder.finish(manifest(&names), Some(&merge)).unwrap();
    assert_eq!(done(false).unwrap(), Some(manifest));
    for text in [None, Some("y"), Some("")] {
        std::fs::remove_file(&merge).unwrap();
        text.into_iter().for_each(|text| std::fs::write(&merge, text).unwrap());
        assert!(matches!(done(false), Err(FolderError::Changed(path)) if path == merge), "{text:?}");
        assert_eq!(done(true).unwrap(), None, "it may be fetched anew");
        std::fs::write(&merge, "").unwrap();
    }
}

#[test]
fn nothing_is_overwritten_unless_it_is_forced() {
    for taken in ["manifest.json", "part-0001.csv", "part-12345.csv"] {
        let bed = Bed::new();
        std::fs::write(bed.path(taken), "mine").unwrap();
        let error = bed.open(false).unwrap_err().to_string();
        assert!(
            error.contains(&bed.path(taken).display().to_string()) && error.contains("--force"),
            "{error}"
        );
        assert_eq!(bed.names(), [taken], "nothing is left");
        bed.with(&["part-0001.csv"], true).finish(manifest(&["part-0001.csv"]), None).unwrap();
        assert_eq!(std::fs::read_to_string(bed.path("part-0001.csv")).unwrap(), "x");
    }
    for other in ["part-1.csv", "part-000a.csv", "all.csv", "manifest.json.old"] {
        let bed = Bed::new();
        std::fs::write(bed.path(other), "mine").unwrap();
        assert!(bed.open(false).is_ok(), "{other}");
    }
}

#[test]
fn a_file_that_comes_in_between_stays() {
    let bed = Bed::new();
    let folder = bed.with(&["part-0001.csv"], false);
    std::fs::write(bed.path("part-0001.csv"), "mine").unwrap();
    assert!(folder.finish(manifest(&["part-0001.csv"]), None).is_err());
    assert_eq!(std::fs::read_to_string(bed.path("part-0001.csv")).unwrap(), "mine");
}

#[test]
fn a_smaller_download_leaves_nothing_of_a_larger_one() {
    let bed = Bed::new();
    let names = ["part-0001.csv", "part-0002.csv"];
    bed.with(&names, false).finish(manifest(&names), None).unwrap();
    std::fs::write(bed.path("part-0003.csv"), "mine").unwrap();
    bed.with(&names[..1], true).finish(manifest(&names[..1]), None).unwrap();
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv", "part-0003.csv"], "what was never ours stays");
}

/// A folder that was killed when it had given so many files their names.
fn killed_at(renamed: usize, force: bool) -> Bed {
    let names = ["part-0001.csv", "part-0002.csv"];
    let bed = Bed::new();
    let folder = bed.with(&names, force);
    let text = serde_json::to_vec(&manifest(&names)).unwrap();
    std::fs::write(folder.work.join(MANIFEST), text).unwrap();
    for name in &names[..renamed] {
        std::fs::rename(folder.work.join(name), bed.path(name)).unwrap();
    }
    bed
}

#[test]
fn naming_goes_on_where_it_was_killed() {
    for renamed in 0..=2 {
        let bed = killed_at(renamed, false);
        let named = Folder::name_unfinished(bed.0.path(), None, &export(1), false).unwrap();
        assert_eq!(named, Some(manifest(&["part-0001.csv", "part-0002.csv"])));
        assert_eq!(
            bed.names(),
            ["manifest.json", "part-0001.csv", "part-0002.csv"],
            "{renamed} were renamed"
        );
        assert_eq!(Folder::name_unfinished(bed.0.path(), None, &export(1), false).unwrap(), None);
    }
}

#[test]
fn what_a_power_cut_has_taken_is_not_given_a_name() {
    for renamed in 0..=2 {
        let bed = killed_at(renamed, false);
        let work = work(bed.0.path(), &export(1));
        let place = if renamed == 0 { work.clone() } else { bed.0.path().to_owned() };
        std::fs::write(place.join("part-0001.csv"), "").unwrap();
        let name = |force| Folder::name_unfinished(bed.0.path(), None, &export(1), force);
        assert!(
            matches!(name(false), Err(FolderError::Changed(path)) if path == place.join("part-0001.csv"))
        );
        assert_eq!(name(true).unwrap(), None, "they may be fetched anew");
        assert!(!work.join(MANIFEST).exists());
    }
}

#[test]
fn what_was_replaced_goes_away_even_if_it_was_killed_meanwhile() {
    let bed = Bed::new();
    let before = ["part-0001.csv", "part-0002.csv", "part-0003.csv"];
    bed.with(&before, false).finish(manifest(&before), None).unwrap();
    let folder = bed.with(&before[..1], true);
    let text = serde_json::to_vec(&manifest(&before[..1])).unwrap();
    std::fs::write(folder.work.join(MANIFEST), text).unwrap();
    std::fs::rename(bed.path(MANIFEST), folder.work.join(REPLACED)).unwrap();
    drop(folder);
    Folder::name_unfinished(bed.0.path(), None, &export(1), true).unwrap().unwrap();
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv"]);
}

#[test]
fn whole_files_are_kept_for_the_same_parts_only() {
    let bed = Bed::new();
    let part = |size| Part { url: None, file_size: Some(size), row_count: None };
    let folder = bed.with(&["part-0001.csv"], false);
    assert!(!folder.plan(&[part(1)]).unwrap(), "there was no plan before");
    assert!(folder.whole("part-0001.csv").is_none());
    std::fs::write(folder.partial("part-0001.csv"), "x").unwrap();
    folder.keep("part-0001.csv", &whole()).unwrap();
    assert!(folder.plan(&[part(1)]).unwrap());
    assert_eq!(folder.whole("part-0001.csv"), Some(whole()));
    std::fs::write(folder.work.join("part-0001.csv"), "xy").unwrap();
    assert_eq!(folder.whole("part-0001.csv"), None, "somebody has changed it");
    std::fs::write(folder.work.join("part-0001.csv"), "x").unwrap();
    assert!(!folder.plan(&[part(2)]).unwrap());
    assert!(folder.whole("part-0001.csv").is_none());
}

#[test]
fn one_at_a_time() {
    let bed = Bed::new();
    let first = bed.open(false).unwrap();
    assert!(matches!(bed.open(false), Err(FolderError::Busy(_))));
    first.tidy();
    assert_eq!(bed.names().len(), 0, "an empty hidden folder goes away");
}

#[test]
fn the_merged_file_is_none_of_the_others() {
    let bed = Bed::new();
    let check = |merge: &PathBuf, force| check_target(bed.0.path(), Some(merge), force);
    assert!(matches!(check(&bed.path("part-0007.csv"), true), Err(FolderError::Clash(_))));
    assert!(matches!(check(&bed.path("manifest.json"), true), Err(FolderError::Clash(_))));
    assert!(check(&bed.path("all.csv"), false).is_ok());
    std::fs::write(bed.path("all.csv"), "mine").unwrap();
    assert!(matches!(check(&bed.path("all.csv"), false), Err(FolderError::Taken(_))));
    assert!(check(&bed.path("all.csv"), true).is_ok());
    assert!(matches!(check(&bed.path("none/all.csv"), true), Err(FolderError::Unusable { .. })));
    for no_file in [bed.0.path().to_owned(), "/dev/full".into()] {
        assert!(matches!(check(&no_file, true), Err(FolderError::NoFile(_))), "{no_file:?}");
    }
}
