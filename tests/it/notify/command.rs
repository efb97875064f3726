//! Commands: their input, and that they end in time.

use std::path::Path;
use std::time::Duration;

use snyk_export::notify::Attempt;

use super::{EVENT, ID, NOW, command, send, shell, why};
use crate::lab::{PATIENCE, signal};

/// Longer than any command here takes that is not to be killed.
const LONG: Duration = PATIENCE;

#[tokio::test]
async fn a_command_reads_the_event_from_its_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("event");
    let command = shell(&format!("cat > '{}'", file.display()), LONG);
    for event in [EVENT.to_owned(), "x".repeat(1_000_000)] {
        assert_eq!(command.send(ID, &event, NOW).await, Attempt::Sent);
        assert!(std::fs::read_to_string(&file).unwrap() == event);
    }
}

#[tokio::test]
async fn a_command_finds_the_end_in_its_environment() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("environment");
    let command = shell(&format!("env | grep ^SNYK_EXPORT_RESULT_ | sort > '{}'", file.display()), LONG);
    assert_eq!(send(&command).await, Attempt::Sent);
    let expected = "SNYK_EXPORT_RESULT_EXPORT_ID=00000000-0000-0000-0000-000000000002\n\
        SNYK_EXPORT_RESULT_OUTCOME=finished\nSNYK_EXPORT_RESULT_ROW_COUNT=7\nSNYK_EXPORT_RESULT_SCOPE=group\n\
        SNYK_EXPORT_RESULT_SCOPE_ID=00000000-0000-0000-0000-000000000001\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    let account = r#"{"type":"io.snyk-export.account.unauthorized","data":{"account":"acme"}}"#;
    assert_eq!(command.send(ID, account, NOW).await, Attempt::Sent);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
}

#[tokio::test]
async fn a_command_that_fails_says_why() {
    let rows = [
        ("echo no such channel >&2; exit 3", "`sh` ended with exit status: 3: no such channel"),
        ("exit 1", "`sh` ended with exit status: 1"),
        ("kill -9 $$", "`sh` ended with signal: 9 (SIGKILL)"),
        ("printf '\\033[31mred' >&2; exit 1", "`sh` ended with exit status: 1: [31mred"),
    ];
    for (script, expected) in rows {
        assert_eq!(why(send(&shell(script, LONG)).await), expected);
    }
    let flood = shell("yes not the end | head -c 1200000 >&2; echo the end >&2; exit 4", LONG);
    let problem = why(send(&flood).await);
    assert!(problem.ends_with("not the end the end") && problem.chars().count() < 500, "{problem}");
}

#[tokio::test]
async fn a_command_that_is_not_there_fails() {
    for program in ["/nowhere/to-be-found", "not-in-any-path-7f2c1a9e"] {
        let problem = why(send(&command(&[program], LONG)).await);
        assert!(problem.starts_with(&format!("failed to start `{program}`: No such file")), "{problem}");
    }
}

#[tokio::test]
async fn a_command_need_not_read_and_may_close_what_it_likes() {
    let event = "x".repeat(1_000_000);
    for script in ["exit 0", "exec <&-; exit 0", "exec >&- 2>&- <&-; exit 0"] {
        assert_eq!(shell(script, LONG).send(ID, &event, NOW).await, Attempt::Sent, "{script}");
    }
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_hold_us_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    // It has all of the command's pipes, and would keep them open for longer than any test lasts.
    let script =
        |code| format!("sleep 10000 <&0 & echo $! > '{}'; echo said >&2; exit {code}", file.display());
    let event = "x".repeat(1_000_000);
    for (code, failed) in [(0, None), (5, Some("`sh` ended with exit status: 5: said"))] {
        let command = shell(&script(code), LONG * 2);
        let attempt = tokio::time::timeout(LONG, command.send(ID, &event, NOW)).await.unwrap();
        match failed {
            None => assert_eq!(attempt, Attempt::Sent),
            Some(expected) => assert_eq!(why(attempt), expected),
        }
        let left = pid_in(&file).unwrap();
        assert!(is_running(left), "what ends by itself takes nothing with it");
        signal("KILL", left);
    }
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_that_it_has_started() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script =
        format!("trap '' TERM HUP; (trap '' TERM HUP; sleep 10000) & echo $! > '{}'; wait", file.display());
    let mut timeout = Duration::from_millis(100);
    // On a machine so slow that the command got nowhere, it gets more time.
    let grandchild = loop {
        let problem = why(send(&shell(&script, timeout)).await);
        assert!(problem.contains("had not ended after") && problem.contains("was killed"), "{problem}");
        match pid_in(&file) {
            Some(pid) => break pid,
            None => timeout *= 2,
        }
        assert!(timeout < PATIENCE, "it never got anywhere");
    };
    until(|| !is_running(grandchild)).await;
}

#[tokio::test]
async fn a_command_is_asked_to_end_before_it_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let (file, pid) = (directory.path().join("asked"), directory.path().join("pid"));
    // The second process is asked too, and has time to end after the first one has.
    let wait = "while :; do sleep 0.01; done";
    // It says nothing: a shell reports a `sleep` that was killed, and nobody reads that once the first process has ended.
    let child = format!(
        "exec 2>/dev/null; trap 'sleep 0.1; touch {}; exit' TERM; echo 1 > {}; {wait}",
        file.display(),
        pid.display()
    );
    let script = |code| format!("trap 'exit {code}' TERM; ({child}) & {wait}");
    for code in [0, 3] {
        let (stops, stopping) = tokio::sync::watch::channel(false);
        let command = shell(&script(code), LONG * 2).stopped_by(stopping);
        let attempt = tokio::spawn(async move { send(&command).await });
        until(|| pid_in(&pid).is_some()).await;
        stops.send_replace(true);
        let attempt = tokio::time::timeout(LONG, attempt).await.unwrap().unwrap();
        match code {
            0 => assert_eq!(attempt, Attempt::Sent),
            _ => assert!(why(attempt).starts_with("`sh` ended with exit status: 3")),
        }
        until(|| file.exists()).await;
        std::fs::remove_file(&file).unwrap();
        std::fs::remove_file(&pid).unwrap();
    }
    let mut timeout = Duration::from_millis(200);
    while !file.exists() {
        let problem = why(send(&shell(&script(0), timeout)).await);
        assert!(problem.contains("had not ended after"), "{problem}");
        timeout *= 2;
        assert!(timeout < PATIENCE, "it never got anywhere");
    }
}

#[tokio::test]
async fn a_command_is_killed_when_its_attempt_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let command = shell(&format!("sleep 10000 & echo $! > '{}'; wait", file.display()), LONG * 2);
    let attempt = tokio::spawn(async move { send(&command).await });
    until(|| pid_in(&file).is_some()).await;
    let grandchild = pid_in(&file).unwrap();
    assert!(is_running(grandchild));
    attempt.abort();
    until(|| !is_running(grandchild)).await;
}

/// The number in a file, once it is complete.
fn pid_in(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.strip_suffix('\n')?.parse().ok()
}

/// Whether a process runs; one that was killed and has not been asked about does not.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
    })
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}
