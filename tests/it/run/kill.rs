//! Killed at random moments and started again, 100 times: whole files, one manifest, and no second export.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::download::{check_files, rows};
use crate::lab::{Lab, Program};

/// How often the program is killed.
const KILLS: usize = 100;

/// Something of everything: a start that takes its time, a wait, links that expire, and parts that break.
const COURSE: &str = "
pending = '40ms'
started = '40ms'
parts = 6
rows = 3000
latency = '4ms'
url-expiration = '2s'
starts-per-hour = 100000

[[faults]]
on = 'storage'
probability = 0.15
fault = 'cut'

[[faults]]
on = 'storage'
probability = 0.05
status-code = 503
";

#[test]
fn killed_anywhere_it_ends_with_whole_files_and_no_second_export() {
    let lab = Lab::start(COURSE);
    let home = tempfile::tempdir().unwrap();
    let (mut kills, mut rounds, mut unsure) = (0, 0, 0);
    while kills < KILLS {
        let dir = format!("night-{rounds}");
        let run = || {
            let run = Program::whole_run(&lab).living_in(home.path()).no_arg("--dir files");
            run.args(&format!("--merge {dir}.csv --dir")).arg(&dir)
        };
        let mut starts = lab.starts();
        // No wait for anything: this is how long it lives. The last one is left alone.
        let lives = fastrand::usize(1..6);
        for _ in 0..lives {
            let running = run().spawn();
            std::thread::sleep(Duration::from_millis(fastrand::u64(1..250)));
            running.signal_if_alive("KILL");
            let ended = running.end();
            match (ended.signal, ended.code) {
                (Some(9), _) => kills += 1,
                // It was done before, or is done with what was done before.
                (_, Some(0)) => break,
                (_, Some(69)) => {}
                // Killed when all was done and forgotten.
                (_, Some(2)) if ended.stderr.contains("manifest.json is there already") => break,
                _ => panic!("{ended}"),
            }
        }
        let mut last = run().run();
        if last.code == Some(69) {
            // Killed between the start and its answer: nobody but the server knows, and so a person decides.
            last.stderr_has("may or may not have created an export");
            let (_, command) = last.stderr.split_once("; to start another one anyway: rm ").unwrap();
            let state = command.split(',').next().unwrap();
            std::fs::remove_file(state).unwrap();
            unsure += 1;
            starts = lab.starts();
            last = run().run();
        }
        // It may have been over before: then the place is taken, and nothing is started.
        assert!(last.code == Some(0) || last.stderr.contains("manifest.json is there already"), "{last}");
        assert!(lab.starts() - starts <= 1, "a second export: {last}");
        check(&home.path().join(&dir), &home.path().join(format!("{dir}.csv")));
        rounds += 1;
    }
    // How many there are of these is a matter of speed; with none but these nothing would be shown.
    assert!(unsure < rounds, "all {rounds} were killed within a start");
    let left = std::fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let expected = (0..rounds).flat_map(|round| [format!("night-{round}"), format!("night-{round}.csv")]);
    let left: BTreeSet<String> = left.filter(|name| !name.starts_with('.')).collect();
    assert_eq!(left, expected.collect(), "nothing else is left");
}

fn check(dir: &std::path::Path, merged: &std::path::Path) {
    assert_eq!(rows(&check_files(dir, 6)), 3000);
    assert_eq!(rows(&std::fs::read_to_string(merged).unwrap()), 3000);
}
