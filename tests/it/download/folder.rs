//! Existing files, several downloads in one folder, and interrupted downloads.

use super::{check_files, names, rows};
use crate::lab::{EXPORT_ID, Lab, Program, READY, SECOND_ID, Spawned};

#[test]
fn nothing_is_overwritten_unless_it_is_forced() {
    let lab = Lab::start(&format!("{READY}parts = 2"));
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("files");
    let download = |id: &str| Program::download(&lab).export(id).living_in(home.path());
    download(EXPORT_ID).run().exits(0);
    let before = std::fs::read(dir.join("manifest.json")).unwrap();
    let asked = lab.requests();
    for id in [EXPORT_ID, SECOND_ID] {
        download(id).run().exits(2).stderr_has("manifest.json is there already").stderr_has("--force");
    }
    assert_eq!(lab.requests(), asked, "nothing is asked");
    assert_eq!(std::fs::read(dir.join("manifest.json")).unwrap(), before);
    download(SECOND_ID).args("--force").run().exits(0);
    check_files(&dir, 2);
    std::fs::write(home.path().join("mine.csv"), "mine").unwrap();
    let merge = |force: &str| {
        download(SECOND_ID).args("--dir other --merge mine.csv").args(force).no_arg("--dir files")
    };
    merge("").run().exits(2).stderr_has("mine.csv is there already");
    assert_eq!(std::fs::read_to_string(home.path().join("mine.csv")).unwrap(), "mine");
    merge("--force").run().exits(0);
}

#[test]
fn an_unwritable_place_is_reported_at_once() {
    let lab = Lab::start(READY);
    let program = Program::download(&lab).export(EXPORT_ID);
    program.file("files", "a file");
    program.run().exits(2).stderr_has("--dir ").stderr_has("cannot be written to; name another place");
    let nowhere = Program::download(&lab).export(EXPORT_ID).args("--merge no/where.csv");
    nowhere.run().exits(2).stderr_has("--merge ").stderr_has("no/where.csv");
    let clash = Program::download(&lab).export(EXPORT_ID).args("--merge files/manifest.json");
    clash.run().exits(2).stderr_has("the name of one of the downloaded files");
    let odd = Program::download(&lab).export(EXPORT_ID).args("--merge {day}.csv");
    odd.run().exits(2).stderr_has("{date}");
    assert_eq!(lab.requests(), 0);
}

#[test]
fn a_full_disk_leaves_no_file_under_its_name() {
    let unshare = std::process::Command::new("unshare").args(["-m", "true"]).output();
    if !unshare.as_ref().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no mount namespace can be made here: {unshare:?}");
        return;
    }
    let lab = Lab::start(&format!("{READY}rows = 20000\nparts = 1"));
    let script = "mkdir small && mount -t tmpfs -o size=1m none small && \"$@\"; code=$?; ls -A small/files; exit $code";
    let program =
        Program::download(&lab).text().export(EXPORT_ID).no_arg("--dir files").args("--dir small/files");
    let run = program.under_script("unshare -m sh -c", script).run();
    run.exits(1).stderr_has("No space left on device").stderr_has("to go on: snyk-export download");
    assert_eq!(run.stdout, format!("{EXPORT_ID} not-downloaded\n"), "nothing is left that takes room");
}

#[test]
fn after_a_signal_no_file_has_its_final_name_and_the_next_call_continues() {
    let hang = "[[faults]]\non = 'storage'\nprobability = 1\nat-most = 1\nfault = 'hang'\nbytes = 100";
    let lab = Lab::start(&format!("{READY}parts = 3\n{hang}"));
    let home = tempfile::tempdir().unwrap();
    let download = || Program::download(&lab).export(EXPORT_ID).living_in(home.path());
    let work = home.path().join(format!("files/.snyk-export-{EXPORT_ID}"));
    let downloading = download().spawn();
    let whole = || {
        std::fs::read_dir(&work).map_or(0, |entries| {
            entries
                .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "csv"))
                .count()
        })
    };
    crate::lab::until(|| whole() == 2);
    downloading.signal("TERM");
    let run = downloading.end();
    run.exits(143).stderr_has("SIGTERM came").stderr_has("to go on: snyk-export download /groups/");
    assert_eq!(run.document()["outcome"], "interrupted");
    assert_eq!(names(&home.path().join("files")).len(), 1, "what is whole is hidden");
    let asked = lab.asked_for("/storage").len();
    download().run().exits(0);
    check_files(&home.path().join("files"), 3);
    assert_eq!(lab.asked_for("/storage").len() - asked, 1, "whole files are not fetched twice");
}

#[test]
fn a_full_disk_is_no_cut_connection() {
    let unshare = std::process::Command::new("unshare").args(["-m", "true"]).output();
    if !unshare.as_ref().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no mount namespace can be made here: {unshare:?}");
        return;
    }
    // Much more than the disk holds is still to come when it is full.
    let lab = Lab::start(&format!("{READY}rows = 300000"));
    let script = "mkdir small && mount -t tmpfs -o size=1m none small && exec \"$@\"";
    let program = Program::download(&lab).export(EXPORT_ID).no_arg("--dir files").args("--dir small/files");
    program.under_script("unshare -m sh -c", script).run().exits(1).stderr_has("No space left on device");
    assert_eq!(lab.asked_for("/storage").len(), 1, "it is not tried again");
}

#[test]
fn parts_that_cannot_be_merged_can_be_downloaded() {
    let other =
        "[[faults]]\non = 'storage'\nprobability = 1\nat-most = 1\nstatus-code = 200\nbody = \"a,b\\n1,2\"";
    for (rows, why) in
        [(2, "has other columns than the parts before"), (4, "has 1 rows, and Snyk announced 2")]
    {
        let lab = Lab::start(&format!("{READY}rows = {rows}\nparts = 2\nfile-size = 'missing'\n{other}"));
        let home = tempfile::tempdir().unwrap();
        let download = || Program::download(&lab).export(EXPORT_ID).living_in(home.path());
        let run = download().args("--merge all.csv").run();
        run.exits(1)
            .stderr_has("the parts cannot be merged")
            .stderr_has("download the parts without --merge");
        run.stderr_has(why);
        assert!(!home.path().join("all.csv").exists(), "{why}");
        download().run().exits(0);
        check_files(&home.path().join("files"), 2);
    }
}

#[test]
fn what_a_power_cut_left_of_a_download_is_fetched_again_and_not_refused() {
    let lab = Lab::start(&format!("{READY}parts = 2"));
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("files");
    let download = || Program::download(&lab).export(EXPORT_ID).living_in(home.path());
    download().args("--sync").run().exits(0);
    for name in ["part-0001.csv", "part-0002.csv"] {
        std::fs::write(dir.join(name), "").unwrap();
        let run = download().run();
        run.exits(0).stderr_has("a file is not what its manifest says, and so the files are fetched again");
        check_files(&dir, 2);
    }
    download().run().exits(2).stderr_has("manifest.json is there already");
}

#[test]
fn a_manifest_that_is_there_writes_nothing_elsewhere() {
    let lab = Lab::start(READY);
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("files");
    let download = || Program::download(&lab).export(EXPORT_ID).living_in(home.path());
    download().run().exits(0);
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    let part = std::fs::read(dir.join("part-0001.csv")).unwrap();
    let ssh = home.path().join("ssh");
    for name in ["sub/authorized_keys", "../stolen", "x\n::error::y\u{1b}[2J"] {
        std::fs::remove_dir_all(&dir).unwrap();
        let work = dir.join(format!(".snyk-export-{EXPORT_ID}"));
        std::fs::create_dir_all(work.join("sub")).unwrap();
        std::fs::create_dir_all(&ssh).unwrap();
        std::os::unix::fs::symlink(&ssh, dir.join("sub")).unwrap();
        std::fs::write(work.join(name), &part).unwrap();
        let quoted = serde_json::to_string(name).unwrap();
        let text = manifest.replace("\"part-0001.csv\"", &quoted);
        assert!(text.contains(&quoted));
        std::fs::write(work.join("manifest.json"), text).unwrap();
        let run = download().args("--force").run();
        run.exits(0).stderr_lacks("\n::error").stderr_lacks("\u{1b}");
        assert!(!run.stdout.contains("::error") && !run.stdout.contains("stolen"), "{run}");
        assert_eq!(std::fs::read_dir(&ssh).unwrap().count(), 0, "{name}");
        assert!(!home.path().join("stolen").exists());
        std::fs::remove_file(dir.join("sub")).unwrap();
        // A directory in the hidden folder is not ours.
        std::fs::remove_dir_all(&work).unwrap();
        let _ = std::fs::remove_file(dir.join("stolen"));
        check_files(&dir, 1);
    }
    std::fs::remove_file(dir.join("manifest.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", dir.join("manifest.json")).unwrap();
    download().run().exits(2).stderr_has("manifest.json is there already");
}

#[test]
fn a_hidden_folder_that_is_a_link_is_refused() {
    let lab = Lab::start(READY);
    let program = Program::download(&lab).export(EXPORT_ID).args("--force");
    program.file("victim/part-0001.csv", "mine");
    program.file("files/x", "");
    let link = program.home().join(format!("files/.snyk-export-{EXPORT_ID}"));
    std::os::unix::fs::symlink(program.home().join("victim"), link).unwrap();
    let run = program.run();
    run.exits(2).stderr_has("it is a symbolic link, which is not followed");
    assert_eq!(std::fs::read_to_string(run.home().join("victim/part-0001.csv")).unwrap(), "mine");
}

#[test]
fn one_download_at_a_time() {
    let lab = Lab::start(&format!("{READY}[[faults]]\non = 'storage'\nprobability = 1\nfault = 'hang'"));
    let home = tempfile::tempdir().unwrap();
    let download = || Program::download(&lab).export(EXPORT_ID).living_in(home.path());
    let first = download().spawn();
    lab.until_heard(|exchanges| exchanges.iter().any(|exchange| exchange.target.starts_with("/storage")));
    download().run().exits(2).stderr_has("another snyk-export downloads this export");
    first.signal("KILL");
    first.end();
}

#[test]
fn two_downloads_of_the_same_parts_into_one_folder_leave_one_of_them_whole() {
    // Both exports have the very same files.
    let lab = Lab::start(&format!("{READY}parts = 3"));
    for force in ["", "--force"] {
        let home = tempfile::tempdir().unwrap();
        let begin = |id: &str| Program::download(&lab).export(id).living_in(home.path()).args(force).spawn();
        let both = [begin(EXPORT_ID), begin(SECOND_ID)];
        let runs = both.map(Spawned::end);
        let codes = runs.each_ref().map(|run| run.code);
        // Without --force the second one is refused; with it, it may also begin when the first one is at its end.
        assert!(
            codes.contains(&Some(0)) && codes.iter().all(|code| [Some(0), Some(2)].contains(code)),
            "{codes:?}"
        );
        assert!(!force.is_empty() || codes.contains(&Some(2)), "{codes:?}");
        check_files(&home.path().join("files"), 3);
        for run in runs.iter().filter(|run| run.code == Some(2)) {
            assert!(!run.stderr.contains("to go on"), "{run}");
        }
    }
}

#[test]
fn a_link_as_a_merged_file_is_kept_and_with_force_its_target_is_replaced() {
    let lab = Lab::start(READY);
    let home = tempfile::tempdir().unwrap();
    let (mine, link) = (home.path().join("there/mine.csv"), home.path().join("link.csv"));
    std::fs::create_dir(home.path().join("there")).unwrap();
    for (target, text) in [("there/mine.csv", Some("mine")), ("there/new.csv", None)] {
        let target = home.path().join(target);
        text.into_iter().for_each(|text| std::fs::write(&target, text).unwrap());
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(target.strip_prefix(home.path()).unwrap(), &link).unwrap();
        let merge = |id: &str| {
            Program::download(&lab)
                .export(id)
                .living_in(home.path())
                .args("--merge link.csv")
                .no_arg("--dir files")
        };
        let dir = format!("--dir {}", target.file_stem().unwrap().to_str().unwrap());
        merge(EXPORT_ID)
            .args(&dir)
            .run()
            .exits(2)
            .stderr_has("link.csv is there already")
            .stderr_has("--force");
        assert_eq!(std::fs::read_to_string(&target).ok().as_deref(), text, "the link is not followed");
        let run = merge(EXPORT_ID).args(&dir).args("--force").run();
        assert_eq!(run.exits(0).document()["download"]["merged"]["path"], target.to_str().unwrap());
        assert!(link.is_symlink());
        assert_eq!(rows(&std::fs::read_to_string(&target).unwrap()), 1061);
        merge(EXPORT_ID).args(&dir).args("--force").run().exits(0);
    }
    assert_eq!(rows(&std::fs::read_to_string(mine).unwrap()), 1061);
    for (target, path) in [("/dev/null", "null"), ("loop", "loop")] {
        std::os::unix::fs::symlink(target, home.path().join(path)).unwrap();
        let odd = Program::download(&lab).export(SECOND_ID).living_in(home.path());
        odd.args(&format!("--force --merge {path}")).run().exits(2).stderr_has("--merge ");
        assert!(home.path().join(path).is_symlink());
    }
}

#[test]
fn names_that_are_too_long_are_refused_before_anything_is_asked() {
    let lab = Lab::start(READY);
    let long = |length: usize| "x".repeat(length);
    let deep = format!("{}{}", format!("{}/", long(200)).repeat(20), long(50));
    for (option, name) in [("--merge", long(256)), ("--dir", long(256)), ("--dir", deep)] {
        let id = EXPORT_ID;
        let download = Program::download(&lab).export(id).no_arg("--dir files").args("--dir parts");
        let download = if option == "--dir" { download.no_arg("--dir parts") } else { download };
        let run = download.args(&format!("{option} {name}")).run();
        run.exits(2).stderr_has(option).stderr_has("name too long");
        let run = Program::whole_run(&lab).no_arg("--dir files").args("--dir parts");
        let run = if option == "--dir" { run.no_arg("--dir parts") } else { run };
        run.args(&format!("{option} {name}")).run().exits(2).stderr_has(option).stderr_has("name too long");
    }
    assert_eq!(lab.requests(), 0);
    // A temporary name has room for the longest name.
    let run = Program::download(&lab).export(EXPORT_ID).args(&format!("--merge {}", "é".repeat(127))).run();
    assert_eq!(rows(&std::fs::read_to_string(run.exits(0).home().join("é".repeat(127))).unwrap()), 1061);
}
