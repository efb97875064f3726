//! Folders: what is overwritten, and what a call that was killed leaves to the next one.

mod attacks;
mod kills;

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;

use tempfile::TempDir;
use uuid::Uuid;

use super::super::target::MANIFEST;
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

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn target<'a>(&'a self, merge: Option<&'a Path>, force: bool) -> Target<'a> {
        Target { dir: self.0.path(), merge, force, safety: Safety::PowerCut, held: None }
    }

    fn open(&self, force: bool) -> Result<Folder, FolderError> {
        Folder::open(&self.target(None, force), &export(1))
    }

    fn settle(&self, merge: Option<&Path>, force: bool) -> Result<Left, FolderError> {
        Folder::settle(&self.target(merge, force), &export(1))
    }

    /// A folder in which these files are whole.
    fn with(&self, names: &[&str], force: bool) -> Folder {
        let folder = self.open(force).unwrap();
        for name in names {
            let partial = folder.partial(name).name;
            folder.work.create_anew(partial.as_ref(), Readers::Umask).unwrap().write_all(b"x").unwrap();
            folder.keep(name, &part(1), &whole()).unwrap();
        }
        folder
    }

    /// Where files are hidden.
    fn work(&self) -> PathBuf {
        self.path(work_name(&export(1)).to_str().unwrap())
    }

    /// A hidden folder that nobody else can write to.
    fn make_work(&self) {
        std::fs::DirBuilder::new().mode(0o700).create(self.work()).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A folder that was killed when it had given so many files their names.
fn killed_at(renamed: usize, force: bool) -> Place {
    let names = ["part-0001.csv", "part-0002.csv"];
    let bed = Place::new();
    assert!(bed.with(&names, force).commit(&manifest(&names), None).is_ok());
    for name in &names[..renamed] {
        std::fs::rename(bed.work().join(name), bed.path(name)).unwrap();
    }
    bed
}

fn part(size: u64) -> Part {
    Part { file_size: Some(size), ..Part::default() }
}

#[test]
fn files_get_their_names_when_all_are_there() {
    let bed = Place::new();
    let names = ["part-0001.csv", "part-0002.csv"];
    let folder = bed.with(&names, false);
    assert_eq!(bed.names().len(), 1, "until then they are hidden: {:?}", bed.names());
    folder.finish(manifest(&names), None).unwrap();
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv", "part-0002.csv"]);
    drop(folder);
    assert_eq!(bed.settle(None, false).unwrap(), Left::Done(manifest(&names)));
    let other = Folder::settle(&bed.target(None, false), &export(2)).unwrap();
    assert_eq!(other, Left::Nothing, "it is the manifest of another export");
    let merge = bed.path("all.csv");
    let other = bed.settle(Some(&merge), false).unwrap_err().to_string();
    assert!(other.contains("not merged: leave --merge as it was"), "{other}");
    assert_eq!(bed.settle(Some(&merge), true).unwrap(), Left::Nothing, "they may be fetched anew");
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv", "part-0002.csv"]);
}

#[test]
fn files_that_are_not_what_their_manifest_says_are_fetched_again() {
    for text in [None, Some("y"), Some(""), Some("xx")] {
        let bed = Place::new();
        let names = ["part-0001.csv", "part-0002.csv"];
        bed.with(&names, false).finish(manifest(&names), None).unwrap();
        std::fs::remove_file(bed.path("part-0002.csv")).unwrap();
        text.into_iter().for_each(|text| bed.write("part-0002.csv", text));
        assert_eq!(bed.settle(None, true).unwrap(), Left::Nothing, "with force all of it is replaced");
        let left = bed.settle(None, false).unwrap();
        assert_eq!(left, Left::Damaged(bed.path("part-0002.csv")), "{text:?}");
        assert_eq!(bed.names(), [work_name(&export(1)).to_str().unwrap()], "nothing is in the way");
        bed.with(&names, false).finish(manifest(&names), None).unwrap();
        assert_eq!(bed.settle(None, false).unwrap(), Left::Done(manifest(&names)));
    }
}

#[test]
fn a_merged_file_that_is_not_as_its_manifest_says_is_made_again() {
    for (force, text) in
        [(false, None), (false, Some("y")), (false, Some("")), (true, None), (true, Some(""))]
    {
        let bed = Place::new();
        let names = ["part-0001.csv"];
        let merge = bed.path("all.csv");
        let manifest = bed.with(&names, false).finish(manifest(&names), Some(&merge)).unwrap();
        assert_eq!(bed.settle(Some(&merge), false).unwrap(), Left::Done(manifest.clone()));
        std::fs::remove_file(&merge).unwrap();
        text.into_iter().for_each(|text| bed.write("all.csv", text));
        assert_eq!(bed.settle(Some(&merge), force).unwrap(), Left::Completed(manifest), "{text:?}");
        assert_eq!(bed.read("all.csv"), "x\n");
        assert_eq!(bed.names(), ["all.csv", "manifest.json", "part-0001.csv"]);
    }
}

#[test]
fn nothing_is_overwritten_unless_it_is_forced() {
    for taken in ["manifest.json", "part-0001.csv", "part-12345.csv"] {
        let bed = Place::new();
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
        let bed = Place::new();
        std::fs::write(bed.path(other), "mine").unwrap();
        assert!(bed.open(false).is_ok(), "{other}");
    }
}

#[test]
fn a_smaller_download_leaves_nothing_of_a_larger_one() {
    let bed = Place::new();
    let names = ["part-0001.csv", "part-0002.csv"];
    bed.with(&names, false).finish(manifest(&names), None).unwrap();
    std::fs::write(bed.path("part-0003.csv"), "mine").unwrap();
    bed.with(&names[..1], true).finish(manifest(&names[..1]), None).unwrap();
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv", "part-0003.csv"], "what was never ours stays");
}

#[test]
fn whole_files_are_kept_for_the_same_part_only() {
    let bed = Place::new();
    let folder = bed.with(&["part-0001.csv"], false);
    assert_eq!(folder.whole("part-0001.csv", &part(1)), Some(whole()));
    assert_eq!(folder.whole("part-0001.csv", &part(2)), None, "the results list another one");
    std::fs::write(bed.work().join("part-0001.csv"), "xy").unwrap();
    assert_eq!(folder.whole("part-0001.csv", &part(1)), None, "somebody has changed it");
    std::fs::write(bed.work().join("part-0001.csv"), "x").unwrap();
    std::fs::write(bed.work().join("part-0001.csv.json"), "{").unwrap();
    assert_eq!(folder.whole("part-0001.csv", &part(1)), None, "the note was cut off");
}

#[test]
fn one_at_a_time() {
    let bed = Place::new();
    let first = bed.open(false).unwrap();
    assert!(matches!(bed.open(false), Err(FolderError::Busy(_))));
    first.tidy();
    assert_eq!(bed.names().len(), 0, "an empty hidden folder goes away");
}

#[test]
fn the_merged_file_is_none_of_the_others() {
    let bed = Place::new();
    let check = |merge: &PathBuf, force| bed.target(Some(merge), force).check();
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
