//! Folders: what is overwritten, and what a call that was killed leaves to the next one.

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

struct Bed(TempDir);

impl Bed {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn target<'a>(&'a self, merge: Option<&'a Path>, force: bool) -> Target<'a> {
        Target { dir: self.0.path(), merge, force, safety: Safety::PowerCut }
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

fn part(size: u64) -> Part {
    Part { url: None, file_size: Some(size), row_count: None }
}

#[test]
fn files_get_their_names_when_all_are_there() {
    let bed = Bed::new();
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
        let bed = Bed::new();
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
        let bed = Bed::new();
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
fn what_a_manifest_names_is_no_way_out_of_the_folder() {
    let elsewhere = tempfile::tempdir().unwrap();
    let out = format!("{}/x", elsewhere.path().display());
    for name in
        ["../x", "sub/authorized_keys", "/etc/x", &out, "", ".", "part-0002.csv", "part-0001.csv\n::error::"]
    {
        let bed = Bed::new();
        bed.make_work();
        std::os::unix::fs::symlink(elsewhere.path(), bed.path("sub")).unwrap();
        let text = serde_json::to_string(&manifest(&[name])).unwrap();
        for place in [bed.work(), bed.0.path().to_owned()] {
            std::fs::write(place.join(MANIFEST), &text).unwrap();
            assert_eq!(bed.settle(None, true).unwrap(), Left::Nothing, "{name:?}");
        }
        assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0, "{name:?}");
    }
    let bed = Bed::new();
    let merged = Merged {
        path: format!("{out}\n::error::x\u{1b}[2J"),
        file_size: 1,
        row_count: 0,
        sha256: written().sha256,
    };
    let text = serde_json::to_string(&Manifest { merged: Some(merged), ..manifest(&[]) }).unwrap();
    bed.write(MANIFEST, &text);
    let error = bed.settle(Some(&bed.path("all.csv")), false).unwrap_err().to_string();
    assert!(error.contains("/x ::error::x[2J:") && !error.contains(char::is_control), "{error}");
}

#[test]
fn a_hidden_folder_that_is_a_link_is_refused_and_what_it_leads_to_stays() {
    let bed = Bed::new();
    let victim = tempfile::tempdir().unwrap();
    std::fs::write(victim.path().join("part-0001.csv"), "mine").unwrap();
    std::os::unix::fs::symlink(victim.path(), bed.work()).unwrap();
    for refused in [bed.open(true).err(), bed.settle(None, true).err()] {
        let error = refused.unwrap();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("symbolic link"), "{error}: {why}");
    }
    assert_eq!(std::fs::read_dir(victim.path()).unwrap().count(), 1);
}

#[test]
fn nothing_in_the_hidden_folder_is_followed_or_waited_for() {
    let bed = Bed::new();
    let victim = tempfile::NamedTempFile::new().unwrap();
    bed.make_work();
    let names =
        ["part-0001.csv", "part-0001.csv.partial", "part-0001.csv.json", "manifest.json", "named.json"];
    for name in names {
        std::os::unix::fs::symlink(victim.path(), bed.work().join(name)).unwrap();
    }
    bed.with(&names[..1], false).finish(manifest(&names[..1]), None).unwrap();
    assert_eq!(victim.path().metadata().unwrap().len(), 0, "nothing was written through a link");
    assert_eq!(bed.names(), ["manifest.json", "part-0001.csv"]);
    assert!(bed.path("part-0001.csv").symlink_metadata().unwrap().is_file());
    let bed = Bed::new();
    bed.make_work();
    std::os::unix::fs::symlink(victim.path(), bed.work().join("lock")).unwrap();
    assert!(matches!(bed.open(false), Err(FolderError::Unusable { .. })));
    for name in ["part-0001.csv", "part-0001.csv.json", "manifest.json"] {
        let bed = Bed::new();
        bed.make_work();
        let fifo = rustix::fs::CWD;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(fifo, bed.work().join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(bed.settle(None, false).unwrap(), Left::Nothing);
        assert_eq!(bed.open(false).unwrap().whole("part-0001.csv", &part(1)), None);
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
    drop(folder);
    assert_eq!(bed.read("part-0001.csv"), "mine");
    assert_eq!(bed.settle(None, false).unwrap(), Left::Nothing, "nothing is written down that is not so");
    assert!(matches!(bed.open(false), Err(FolderError::Taken(_))));
}

#[test]
fn two_downloads_into_one_folder_do_not_take_each_others_files() {
    let bed = Bed::new();
    let names = ["part-0001.csv", "part-0002.csv"];
    let folder = bed.with(&names, false);
    let other = Folder::open(&bed.target(None, false), &export(2));
    assert!(matches!(other, Err(FolderError::Locked(_))), "one after the other: {other:?}");
    // What another one has put there is not ours: be it the very same, or something else.
    for text in ["x", "mine"] {
        let theirs = Manifest { export: export(2), ..manifest(&names) };
        bed.write(MANIFEST, &serde_json::to_string(&theirs).unwrap());
        names.iter().for_each(|name| bed.write(name, text));
        let refused = folder.finish(manifest(&names), None);
        assert!(matches!(refused, Err(DownloadError::Folder(FolderError::Taken(_)))), "{refused:?}");
        names.iter().for_each(|name| assert_eq!(bed.read(name), text));
        assert!(bed.read(MANIFEST).contains(&export(2).export_id.to_string()));
    }
    drop(folder);
    assert!(matches!(bed.open(false), Err(FolderError::Taken(_))));
}

#[test]
fn what_took_the_place_of_a_file_of_a_call_that_was_killed_stays() {
    for (renamed, merge) in [(1, false), (2, false), (2, true)] {
        let bed = killed_at(renamed, false);
        let name = "part-0001.csv";
        std::fs::remove_file(bed.path(name)).unwrap();
        bed.write("other", "mine");
        std::fs::rename(bed.path("other"), bed.path(name)).unwrap();
        let merge = merge.then(|| bed.path("all.csv"));
        if let Some(path) = &merge {
            let merged = Merged {
                path: path.display().to_string(),
                file_size: 2,
                row_count: 0,
                sha256: written().sha256,
            };
            let text = Manifest { merged: Some(merged), ..manifest(&["part-0001.csv", "part-0002.csv"]) };
            std::fs::write(bed.work().join(MANIFEST), serde_json::to_vec(&text).unwrap()).unwrap();
            bed.write("all.csv", "mine");
        }
        let left = bed.settle(merge.as_deref(), false).unwrap();
        assert_eq!(left, Left::Damaged(bed.path(name)));
        assert_eq!(bed.read(name), "mine");
        merge.iter().for_each(|_| assert_eq!(bed.read("all.csv"), "mine"));
        assert!(matches!(bed.open(false), Err(FolderError::Taken(_))));
        assert!(bed.work().join("part-0002.csv").exists(), "the other one is kept");
    }
}

#[test]
fn a_hidden_folder_that_others_can_write_to_is_not_believed() {
    for (mode, refused) in [(0o700, false), (0o755, false), (0o770, true), (0o707, true), (0o777, true)] {
        let bed = killed_at(0, false);
        std::fs::set_permissions(bed.work(), std::fs::Permissions::from_mode(mode)).unwrap();
        match bed.settle(None, false) {
            Ok(left) => assert!(!refused && matches!(left, Left::Completed(_)), "{mode:o}: {left:?}"),
            Err(error) => {
                let why = std::error::Error::source(&error).unwrap().to_string();
                assert!(refused && why.contains("other users may write to it"), "{mode:o}: {error}: {why}");
            }
        }
    }
    let bed = killed_at(0, false);
    // Only root can give files away.
    if std::os::unix::fs::chown(bed.work().join("part-0001.csv"), Some(65534), None).is_ok() {
        let left = bed.settle(None, false).unwrap();
        assert!(matches!(left, Left::Damaged(_)), "a file of another user is none of ours: {left:?}");
        std::os::unix::fs::chown(bed.work(), Some(65534), None).unwrap();
        let error = bed.settle(None, false).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("belongs to another user"), "{error}: {why}");
    }
}

#[test]
fn a_manifest_that_we_would_not_write_is_none() {
    let names = ["part-0001.csv"];
    let whole = manifest(&names);
    let rows = [
        Manifest { schema: 2, ..whole.clone() },
        Manifest { files: Vec::new(), row_count: Some(1), ..whole.clone() },
        Manifest { rows: Some(7), ..whole.clone() },
        Manifest { rows: None, ..whole },
    ];
    for odd in rows {
        let bed = Bed::new();
        drop(bed.with(&names, false));
        std::fs::write(bed.work().join(MANIFEST), serde_json::to_vec(&odd).unwrap()).unwrap();
        assert_eq!(bed.settle(None, false).unwrap(), Left::Nothing, "{odd:?}");
        assert_eq!(bed.open(false).unwrap().whole("part-0001.csv", &part(1)), Some(self::whole()));
    }
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
    assert!(bed.with(&names, force).commit(&manifest(&names), None).is_ok());
    for name in &names[..renamed] {
        std::fs::rename(bed.work().join(name), bed.path(name)).unwrap();
    }
    bed
}

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
    let bed = Bed::new();
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

#[test]
fn whole_files_are_kept_for_the_same_part_only() {
    let bed = Bed::new();
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
    let bed = Bed::new();
    let first = bed.open(false).unwrap();
    assert!(matches!(bed.open(false), Err(FolderError::Busy(_))));
    first.tidy();
    assert_eq!(bed.names().len(), 0, "an empty hidden folder goes away");
}

#[test]
fn the_merged_file_is_none_of_the_others() {
    let bed = Bed::new();
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
