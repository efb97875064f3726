//! Commands: a program on this machine that reads the event from its standard input.
//!
//! It runs in a process group of its own. When its time is over, or the daemon stops, the group gets SIGTERM, and SIGKILL a
//! little later. A child that moves itself into another group (`setsid`) gets neither.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use super::Attempt;
use super::cloud_event::Notice;
use crate::process;
use crate::text::Text;

/// How many bytes of a command's standard error are kept: the last ones.
const MAX_SAID: usize = 4096;

/// How much of that is shown, in characters.
const SHOWN_CHARS: usize = 400;

/// How long after the SIGTERM at its timeout a command gets SIGKILL.
const AFTER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look whether a process group is empty.
const LOOK: Duration = Duration::from_millis(20);

/// How long to read the rest of standard error once the command has ended: a child of it may keep the pipe open forever.
const REST_TIME: Duration = Duration::from_millis(100);

pub(super) struct Command {
    /// The settings have found it: a name alone would be searched for in the command's own `PATH`.
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) timeout: Duration,
}

impl Command {
    /// Runs the command once. When `stopping` is done, it is asked to end.
    pub(super) async fn send(&self, event: &str, stopping: impl Future<Output = ()>) -> Attempt {
        let program = Text::of_file(&self.program);
        let mut child = match self.prepared(event).spawn() {
            Ok(child) => child,
            Err(error) => return Attempt::failed(&format!("failed to start `{program}`: {error}")),
        };
        // Dropped before the child, so that the group is still known by its number.
        let group = Group::of(&child);
        let (mut stderr, mut said) = (child.stderr.take(), Vec::new());
        let ended = {
            let end = pin!(ended(&mut child, event.as_bytes(), keep_end(&mut stderr, &mut said)));
            group.ended_in_time(end, self.timeout, stopping).await
        };
        let why = match ended {
            Some(Ok(status)) => {
                group.release();
                if status.success() {
                    return Attempt::Sent;
                }
                let _ = tokio::time::timeout(REST_TIME, keep_end(&mut stderr, &mut said)).await;
                format!("`{program}` ended with {status}")
            }
            Some(Err(error)) => format!("`{program}` could not be waited for: {error}"),
            None => {
                let timeout = humantime::format_duration(self.timeout);
                drop(group);
                // It was killed; waiting for it avoids a zombie.
                let _ = child.wait().await;
                format!(
                    "`{program}` had not ended after {timeout}, and was killed with all that it had started"
                )
            }
        };
        Attempt::failed(&match tail(&said) {
            Some(said) => format!("{why}: {said}"),
            None => why,
        })
    }

    fn prepared(&self, event: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        // Our own environment may contain secrets: credentials, the password of a proxy.
        command.env_clear().envs(&self.environment).envs(results(event));
        command
    }
}

/// The variables that `wait -- COMMAND` sets too, if the event is about an export.
fn results(event: &str) -> Vec<(&'static str, String)> {
    let Some(Notice::Ended { outcome, ended }) = Notice::read(event) else { return Vec::new() };
    let Some(export) = ended.document.export else { return Vec::new() };
    vec![
        ("SNYK_EXPORT_RESULT_OUTCOME", outcome.to_string()),
        ("SNYK_EXPORT_RESULT_SCOPE", export.scope.to_string()),
        ("SNYK_EXPORT_RESULT_SCOPE_ID", export.scope_id.to_string()),
        ("SNYK_EXPORT_RESULT_EXPORT_ID", export.export_id.to_string()),
        (
            "SNYK_EXPORT_RESULT_ROW_COUNT",
            ended.document.row_count.map(|rows| rows.to_string()).unwrap_or_default(),
        ),
    ]
}

/// The process group of a command that may still run: killed when this is dropped, as it is when the daemon has waited for
/// long enough.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        group.into_iter().for_each(process::group_started);
        Self(group)
    }

    /// How the command ends; `None` if its time is over first. Then it and all that it has started have had some time to end.
    async fn ended_in_time(
        &self,
        mut end: Pin<&mut impl Future<Output = io::Result<ExitStatus>>>,
        timeout: Duration,
        stopping: impl Future<Output = ()>,
    ) -> Option<io::Result<ExitStatus>> {
        let stopping = async {
            stopping.await;
            self.ask_to_end();
            std::future::pending().await
        };
        tokio::select! {
            ended = &mut end => return Some(ended),
            () = tokio::time::sleep(timeout) => self.ask_to_end(),
            never = stopping => return never,
        }
        let gone = async {
            let _ = end.await;
            while self.0.is_some_and(|group| test_kill_process_group(group).is_ok()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(AFTER_TIMEOUT, gone).await;
        None
    }

    fn ask_to_end(&self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    /// The command has ended, and its number may become that of another.
    fn release(mut self) {
        self.0.take().into_iter().for_each(process::group_ended);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails only if the group has gone by itself.
            let _ = kill_process_group(group, Signal::KILL);
            process::group_ended(group);
        }
    }
}

/// Hands `input` to the child, listens to it, and waits until it has ended. Whether it reads or closes anything does not
/// matter.
async fn ended(child: &mut Child, input: &[u8], listen: impl Future<Output = ()>) -> io::Result<ExitStatus> {
    let stdin = child.stdin.take();
    let hand_over = async {
        if let Some(mut stdin) = stdin {
            // A command that needs no event need not read it.
            let _ = stdin.write_all(input).await;
        }
    };
    let talk = async {
        tokio::join!(hand_over, listen);
        std::future::pending().await
    };
    tokio::select! {
        status = child.wait() => status,
        never = talk => never,
    }
}

/// Reads to the end and keeps the last [`MAX_SAID`] bytes: a pipe that nobody empties would stop who writes. Nothing is
/// lost where this is dropped and begun again.
async fn keep_end(source: &mut Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(source) = source else { return };
    let mut buffer = [0; MAX_SAID];
    while let Ok(length @ 1..) = source.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..length]);
        kept.drain(..kept.len().saturating_sub(MAX_SAID));
    }
}

/// The end of what a command said, to be shown. Where more was said than was kept, the first word may be half a secret.
fn tail(said: &[u8]) -> Option<Text> {
    let said = String::from_utf8_lossy(said);
    let whole = if said.len() < MAX_SAID { &said } else { said.split_once(char::is_whitespace)?.1 };
    let tail = Text::end_of(whole, SHOWN_CHARS);
    (!tail.as_str().is_empty()).then_some(tail)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::cloud_event::tests::{ending, told};
    use super::*;
    use crate::watch::outcome::Outcome;

    /// The environment of a command that may have `LANG`.
    fn environment(event: &str) -> BTreeMap<String, String> {
        let given = BTreeMap::from([("LANG".to_owned(), "C".to_owned())]);
        let (program, timeout) = ("true".into(), Duration::from_secs(1));
        let command = Command { program, args: Vec::new(), environment: given, timeout };
        let text = |text: &OsStr| text.to_str().unwrap().to_owned();
        let command = command.prepared(event);
        let variables = command.as_std().get_envs();
        variables.filter_map(|(name, value)| Some((text(name), text(value?)))).collect()
    }

    #[test]
    fn what_an_event_does_not_say_is_not_set() {
        assert_eq!(environment("{}"), BTreeMap::from([("LANG".to_owned(), "C".to_owned())]));
    }

    #[test]
    fn an_export_without_rows_that_are_known_has_an_empty_row_count() {
        let environment = environment(&told(&ending(Outcome::Failed)));
        let value = |name: &str| environment[&format!("SNYK_EXPORT_RESULT_{name}")].clone();
        let values = ["OUTCOME", "SCOPE", "SCOPE_ID", "EXPORT_ID", "ROW_COUNT"].map(value);
        let [scope_id, export_id] = [1, 2].map(|id| uuid::Uuid::from_u128(id).to_string());
        assert_eq!(values, ["failed", "group", &scope_id, &export_id, ""]);
    }

    #[test]
    fn shows_the_end_of_what_was_said() {
        assert_eq!(tail(b" \n "), None);
        let tail = |said: &str| tail(said.as_bytes()).map(|tail| tail.to_string());
        assert_eq!(tail("\nwhy\n").as_deref(), Some("why"));
        let long = "x".repeat(SHOWN_CHARS) + "\u{fc}";
        assert_eq!(tail(&long), Some(format!("\u{2026}{}\u{fc}", "x".repeat(SHOWN_CHARS - 1))));
        let cut = "half".repeat(MAX_SAID / 4 - 2) + " of it\n\n";
        assert_eq!(tail(&cut).as_deref(), Some("of it"));
    }
}
