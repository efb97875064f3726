//! Links, other users and other downloads in the way.

use super::*;

#[test]
fn what_a_manifest_names_is_no_way_out_of_the_folder() {
    let elsewhere = tempfile::tempdir().unwrap();
    let out = format!("{}/x", elsewhere.path().display());
    for name in
        ["../x", "sub/authorized_keys", "/etc/x", &out, "", ".", "part-0002.csv", "part-0001.csv\n::error::"]
    {
        let bed = Place::new();
        bed.make_work();
        std::os::unix::fs::symlink(elsewhere.path(), bed.path("sub")).unwrap();
        let text = serde_json::to_string(&manifest(&[name])).unwrap();
        for place in [bed.work(), bed.0.path().to_owned()] {
            std::fs::write(place.join(MANIFEST), &text).unwrap();
            assert_eq!(bed.settle(None, true).unwrap(), Left::Nothing, "{name:?}");
        }
        assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0, "{name:?}");
    }
    let bed = Place::new();
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
    let bed = Place::new();
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
    let bed = Place::new();
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
    let bed = Place::new();
    bed.make_work();
    std::os::unix::fs::symlink(victim.path(), bed.work().join("lock")).unwrap();
    assert!(matches!(bed.open(false), Err(FolderError::Unusable { .. })));
    for name in ["part-0001.csv", "part-0001.csv.json", "manifest.json"] {
        let bed = Place::new();
        bed.make_work();
        let fifo = rustix::fs::CWD;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(fifo, bed.work().join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(bed.settle(None, false).unwrap(), Left::Nothing);
        assert_eq!(bed.open(false).unwrap().whole("part-0001.csv", &part(1)), None);
    }
}

#[test]
fn a_file_that_comes_in_between_stays() {
    let bed = Place::new();
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
    let bed = Place::new();
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
fn a_hidden_folder_that_others_can_write_to_is_not_used() {
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
        assert!(matches!(left, Left::Damaged(_)), "a file of another user is not ours: {left:?}");
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
        let bed = Place::new();
        drop(bed.with(&names, false));
        std::fs::write(bed.work().join(MANIFEST), serde_json::to_vec(&odd).unwrap()).unwrap();
        assert_eq!(bed.settle(None, false).unwrap(), Left::Nothing, "{odd:?}");
        assert_eq!(bed.open(false).unwrap().whole("part-0001.csv", &part(1)), Some(self::whole()));
    }
}
