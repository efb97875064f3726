use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;

fn names(folder: &Path) -> Vec<OsString> {
    Directory::open(folder).unwrap().names().unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn a_file_is_replaced_in_one_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for text in ["one", "two, longer", ""] {
        replace_durably(&path, text.as_bytes(), Readers::Owner).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(mode(&path), 0o600);
    }
    assert_eq!(names(folder.path()), ["a"], "nothing is left beside it");
    remove_durably(&path).unwrap();
    remove_durably(&path).unwrap();
    assert!(!path.exists());
    remove_durably(&folder.path().join("none/a")).unwrap();
}

#[test]
fn links_and_old_files_at_a_target_are_replaced_and_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let [path, victim] = ["a", "victim"].map(|name| folder.path().join(name));
    std::fs::write(&victim, "mine").unwrap();
    symlink(&victim, &path).unwrap();
    symlink(&victim, beside(&path, ".new")).unwrap();
    replace_durably(&path, b"ours", Readers::Owner).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "ours");
    assert!(path.symlink_metadata().unwrap().is_file());
    let directory = Directory::open(folder.path()).unwrap();
    for name in ["partial", "other"] {
        let path = folder.path().join(name);
        match name {
            "partial" => symlink(&victim, &path).unwrap(),
            _ => std::fs::write(&path, "with a mode that others chose").unwrap(),
        }
        assert!(directory.create_private(name.as_ref()).is_err() == (name == "partial"));
        directory.create_anew(name.as_ref(), Readers::Owner).unwrap();
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!((mode(&path), path.metadata().unwrap().len()), (0o600, 0));
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
}

#[test]
fn only_regular_files_up_to_the_limit_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("file"), "12345").unwrap();
    symlink(path("file"), path("link")).unwrap();
    symlink("/dev/zero", path("zero")).unwrap();
    fifo(&path("fifo"));
    assert_eq!(read(&path("file"), 5).unwrap(), b"12345");
    let refused = |name: &str| read(&path(name), 4).unwrap_err().to_string();
    assert_eq!(refused("file"), "it is larger than 4 bytes");
    assert_eq!(refused("link"), "it is a symbolic link, which is not followed");
    assert_eq!(refused("zero"), "it is a symbolic link, which is not followed");
    assert_eq!(refused("fifo"), "it is not a regular file");
    assert_eq!(read(Path::new("/dev/zero"), 4).unwrap_err().to_string(), "it is not a regular file");
    assert_eq!(refused("."), "it is not a regular file");
    for name in ["link", "fifo"] {
        assert!(lock(&path(name)).is_err(), "{name}");
        assert!(!is_locked(&path(name)), "{name}");
    }
}

#[test]
fn only_temporary_files_of_killed_calls_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    for (name, ending) in [("a", ".new"), ("a", ".new"), ("b", ".new"), ("a", ".other")] {
        directory.create_temporary(name.as_ref(), ending, Readers::Owner).unwrap();
    }
    let long = "n".repeat(250);
    directory.create_temporary(long.as_ref(), ".new", Readers::Owner).unwrap();
    for name in ["a", ".a.new", ".a.0123.new", ".a.0123456789abcdef0123456789abcdeX.new"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    directory.remove_replacements("a".as_ref());
    assert_eq!(names(folder.path()).len(), 7, "{:?}", names(folder.path()));
    directory.remove_replacements(long.as_ref());
    assert_eq!(names(folder.path()).len(), 6);
}

#[test]
fn files_of_earlier_calls_get_the_mode_of_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("new"), "").unwrap();
    std::fs::write(path("victim"), "").unwrap();
    symlink(path("victim"), path("link")).unwrap();
    let _lock = directory.lock("lock".as_ref()).unwrap();
    let left = folder.path().join("left");
    for mode in [0o666, 0o777, 0o000, 0o600] {
        std::fs::write(&left, "").unwrap();
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&left, permissions).unwrap();
        directory.take_over("lock".as_ref()).unwrap();
        assert_eq!(self::mode(&left), self::mode(&path("new")), "{mode:o}");
        assert_eq!(self::mode(&path("lock")), 0o600, "a lock is ours alone");
    }
    assert_eq!(names(folder.path()).len(), 5, "nothing is left or lost");
}

#[test]
fn a_rename_to_a_free_name_never_replaces_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    std::fs::write(&from, "new").unwrap();
    std::fs::write(&to, "old").unwrap();
    let rename = || directory.rename_to_free("from".as_ref(), &directory, "to".as_ref());
    assert_eq!(rename().unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "old");
    std::fs::remove_file(&to).unwrap();
    rename().unwrap();
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "new");
}

#[test]
fn directories_are_created_with_their_ancestors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/../c");
    for _ in 0..2 {
        create_directories_durably(&path, Readers::Owner).unwrap();
    }
    assert_eq!(mode(&folder.path().join("a/c")), 0o700);
    assert!(create_parent_durably(&folder.path().join("none/none/file")).is_err());
    assert!(!folder.path().join("none").exists());
    create_parent_durably(&folder.path().join("one/file")).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(create_directories_durably(&folder.path().join("file/below"), Readers::Owner).is_err());
    assert!(create_directories_durably(&folder.path().join("file"), Readers::Owner).is_err());
}

#[test]
fn a_file_is_locked_by_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = lock(&path).unwrap();
    assert!(held.is_some());
    assert!(lock(&path).unwrap().is_none() && is_locked(&path));
    drop(held);
    assert!(!is_locked(&path) && !is_locked(&folder.path().join("other")));
    assert!(lock(&path).unwrap().is_some());
}

#[test]
fn a_removed_lock_file_can_be_created_and_locked_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let first = lock(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = lock(&path).unwrap();
    assert!(first.is_some() && second.is_some());
    assert!(lock(&path).unwrap().is_none());
}

#[test]
fn temporary_names_are_random() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    let name = || directory.create_temporary("a".as_ref(), ".new", Readers::Umask).unwrap().0;
    assert_ne!(name(), name());
    assert!(name().to_str().unwrap().starts_with(".a."));
    let ending = format!(".{}.partial", uuid::Uuid::nil());
    for long in ["a".repeat(255), format!("a{}", "é".repeat(127)), "€".repeat(85)] {
        let temporary = directory.create_temporary(long.as_ref(), &ending, Readers::Umask).unwrap().0;
        assert!((252..=255).contains(&temporary.to_str().unwrap().len()), "{temporary:?}");
        assert!(directory.has(&temporary));
        directory.remove_temporaries(long.as_ref(), &ending);
        assert!(!directory.has(&temporary));
    }
}

#[test]
fn a_pipe_is_read_to_its_end_however_slow_its_writer_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    fifo(&path);
    let reading = std::thread::spawn({
        let path = path.clone();
        move || read_text(&path).unwrap()
    });
    // It opens only once the reader has.
    let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
    for part in ["one", "two"] {
        std::io::Write::write_all(&mut writer, part.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(writer);
    assert_eq!(reading.join().unwrap(), "onetwo");
    assert!(read_text(folder.path()).is_err(), "a directory");
    assert!(read_text(Path::new("/dev/zero")).unwrap_err().to_string().contains("64 MiB"));
}
