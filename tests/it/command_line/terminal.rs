//! The progress line on a terminal.

use std::process::Command;

use crate::lab::{EXPORT_ID, Lab, path};

#[test]
fn a_progress_line_updates_in_place_and_makes_way_for_the_result() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no `script` here to make a terminal with");
        return;
    }
    let lab = Lab::start("pending = '600ms'\nstarted = '0s'");
    let wait = format!("{} wait {} --max-interval 500ms", env!("CARGO_BIN_EXE_snyk-export"), path(EXPORT_ID));
    let run = Command::new("script")
        .args(["-qec", &wait, "/dev/null"])
        .env_clear()
        .envs([("SNYK_API", lab.url()), ("SNYK_TOKEN", "x".to_owned()), ("TERM", "xterm".to_owned())])
        .output()
        .unwrap();
    let screen = String::from_utf8(run.stdout).unwrap();
    assert_eq!(run.status.code(), Some(0), "{screen:?}");
    for part in ["PENDING  0s - next check ", " - gives up in 49m", "\x1b[2K"] {
        assert!(screen.contains(part), "{part:?} is missing in {screen:?}");
    }
    let result = screen.lines().find(|line| line.contains("Ready after ")).unwrap();
    let shown = result.rsplit(['\r', 'K']).find(|part| !part.is_empty()).unwrap();
    assert!(shown.contains('+'), "the line was taken away before the result: {result:?}");
    assert!(!screen.contains(" finished 1061 rows"), "the same stands twice: {screen:?}");
}
