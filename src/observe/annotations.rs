//! What GitHub Actions shows besides the log: annotations, step outputs, a summary.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::dotenv::Dotenv;
use crate::disk;
use crate::event::Ending;
use crate::export::{ExportRef, Status};
use crate::text::Text;
use crate::watch::observation::Report;
use crate::words::{self, Closing, Surroundings, Words};

/// The longest summary of a step, in bytes. GitHub shows nothing of a longer one.
const MAX_SUMMARY: usize = 1024 * 1024;

/// The outputs that each command writes, by the names that workflows use.
const OUTPUTS: [&str; 4] = ["outcome", "status", "export-id", "row-count"];

/// The interfaces of GitHub Actions; each is used only if it exists.
#[derive(Debug, Clone, Default)]
pub struct GitHubActions {
    active: bool,
    output: Option<PathBuf>,
    dotenv: Dotenv,
    summary: Option<PathBuf>,
}

impl GitHubActions {
    /// GitHub Actions as the variables describe it, which `variable` looks up.
    #[must_use]
    pub fn detect<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Self {
        if variable("GITHUB_ACTIONS") != Some("true") {
            return Self::default();
        }
        let path = |name| variable(name).map(PathBuf::from);
        let (output, summary) = (path("GITHUB_OUTPUT"), path("GITHUB_STEP_SUMMARY"));
        Self { active: true, output, summary, dotenv: Dotenv::default() }
    }

    /// Writes the same outputs to this file, wherever the program runs.
    #[must_use]
    pub fn with_dotenv(self, dotenv: Dotenv) -> Self {
        Self { dotenv, ..self }
    }

    /// A failure as an annotation line, if this is GitHub Actions: what happened, why, and what to do next.
    #[must_use]
    pub fn annotation(&self, closing: &Closing) -> Option<String> {
        let Closing { head, reason, next, exit, .. } = closing;
        let exit = exit.map(|(code, _)| format!(" (exit {code})")).unwrap_or_default();
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let next = next.as_ref().map(|next| format!("\n{next}")).unwrap_or_default();
        self.command(&format!("error title=Snyk export failed{exit}"), &format!("{head}{reason}{next}"))
    }

    /// The line that has GitHub Actions mask a secret in all that is printed from then on, if this is GitHub Actions.
    #[must_use]
    pub fn mask(&self, secret: &str) -> Option<String> {
        let secret = secret.trim();
        self.command("add-mask", secret).filter(|_| !secret.is_empty())
    }

    fn command(&self, name: &str, value: &str) -> Option<String> {
        self.active.then(|| {
            let escaped = value.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
            format!("::{name}::{escaped}\n")
        })
    }

    /// Writes the outputs of the deciding export, and a summary of all exports.
    pub fn hand_on(&self, deciding: &Ending, all: &[Ending], surroundings: &Surroundings) {
        let watch = &deciding.watch;
        let (outcome, status) = (deciding.outcome.as_str(), watch.progress.status());
        let values = values(outcome, status, &watch.export, deciding.row_count());
        self.dotenv.add(&values);
        self.write(
            &outputs(&values, fastrand::u128(..)),
            &all.iter().map(|ending| summary(ending, surroundings)).collect::<String>(),
        );
    }

    /// Writes the same outputs for an export that was not followed.
    pub fn hand_on_report(&self, outcome: &str, export: &ExportRef, report: &Report) {
        self.hand_on_values(&values(outcome, Some(&report.status), export, report.row_count));
    }

    /// Writes these outputs. Those that are not known are written too, as empty, so that each has a value.
    pub fn hand_on_values(&self, values: &[(&str, String)]) {
        let value = |name| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let all = OUTPUTS.map(|name| (name, value(name).unwrap_or_default()));
        self.dotenv.add(&all);
        self.write(&outputs(&all, fastrand::u128(..)), "");
    }

    /// Writes where the files are, a path a line.
    pub fn hand_on_files(&self, dir: String, paths: &[String]) {
        let values = [("dir", dir), ("files", paths.join("\n"))];
        self.dotenv.add(&values);
        self.write(&outputs(&values, fastrand::u128(..)), "");
    }

    /// Adds a start or a download that failed to the summary.
    pub fn summarize(&self, failure: &Closing) {
        let next = failure.next.as_ref().map(|next| format!("Next: {next}"));
        let lines = [failure.reason.clone(), next].into_iter().flatten();
        let lines: String = lines.map(|line| format!("\n{}\n", markdown(&line))).collect();
        self.write("", &format!("### Snyk export: {}\n{lines}\n", markdown(&failure.head)));
    }

    fn write(&self, outputs: &str, summary: &str) {
        let written = [
            (&self.output, outputs, "GITHUB_OUTPUT", usize::MAX),
            (&self.summary, summary, "GITHUB_STEP_SUMMARY", MAX_SUMMARY),
        ];
        for (path, text, name, limit) in written.into_iter().filter(|(_, text, ..)| !text.is_empty()) {
            let Some(path) = path else { continue };
            if let Err(error) = append(path, text, limit) {
                let path = Text::of_file(path);
                tracing::warn!(variable = name, %path, reason = %error, "what the CI system reads could not be written");
            }
        }
    }
}

/// Appends lines to a file that others write to as well, up to a length of `limit`.
fn append(path: &Path, text: &str, limit: usize) -> io::Result<()> {
    let mut file = disk::open_to_append(path)?;
    let length = file.metadata()?.len();
    // The last line may be unfinished: the next one would continue it.
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let begin = if last == *b"\n" { "" } else { "\n" };
    let there = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(begin.len());
    match shortened(text, limit.saturating_sub(there)) {
        text if text.is_empty() => Ok(()),
        text => file.write_all(format!("{begin}{text}").as_bytes()),
    }
}

/// The first lines of a text that fit, with a note if some are missing.
fn shortened(text: &str, room: usize) -> Cow<'_, str> {
    const NOTE: &str = "\nThe rest is left out: GitHub takes no summary above 1 MiB.\n";
    if text.len() <= room {
        return text.into();
    }
    let Some(room) = room.checked_sub(NOTE.len()) else { return "".into() };
    let kept = text.split_inclusive('\n').scan(0, |length, line| {
        *length += line.len();
        (*length <= room).then_some(line)
    });
    (kept.collect::<String>() + NOTE).into()
}

/// The outputs for an export, by the names that workflows use.
fn values(
    outcome: &str,
    status: Option<&Status>,
    export: &ExportRef,
    row_count: Option<u64>,
) -> [(&'static str, String); 4] {
    [
        ("outcome", outcome.to_owned()),
        ("status", status.map(ToString::to_string).unwrap_or_default()),
        ("export-id", export.export_id.to_string()),
        ("row-count", row_count.map(|count| count.to_string()).unwrap_or_default()),
    ]
}

/// Each value between delimiters that no server can guess.
fn outputs(values: &[(&str, String)], random: u128) -> String {
    values.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = write!(text, "{name}<<ghadelimiter_{random:032x}\n{value}\nghadelimiter_{random:032x}\n");
        text
    })
}

fn summary(ending: &Ending, surroundings: &Surroundings) -> String {
    let progress = &ending.watch.progress;
    let mut text = format!(
        "### Snyk export {}\n\n`{}` {}\n",
        ending.outcome,
        ending.watch.export,
        words::after(ending),
    );
    for (row, change) in progress.timeline().iter().enumerate() {
        text += if row == 0 { "\n| at | status |\n|---|---|\n" } else { "" };
        let _ = writeln!(text, "| {} | {} |", change.at, markdown(change.status.as_str()));
    }
    let words = Words::of_ending(ending, surroundings);
    let next = words.cure.map(|cure| format!("Next: {cure}"));
    for line in [words::size(ending), words.why, next].into_iter().flatten() {
        let _ = write!(text, "\n{}\n", markdown(&line));
    }
    text.push('\n');
    text
}

/// Escapes foreign text for Markdown.
fn markdown(text: &str) -> String {
    let escape = |char: char| match char {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '@' => "&#64;".to_owned(),
        char if char.is_ascii_punctuation() && !matches!(char, ',' | ':' | ';' | '/' | '\'' | '"') => {
            format!("\\{char}")
        }
        char => char.to_string(),
    };
    text.chars().map(escape).collect::<String>().replace("://", "&#58;//")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::ExportArg;
    use crate::fixtures::report;
    use crate::moment::Moment;
    use crate::watch::observation::{Observation, Report};
    use crate::watch::outcome::Outcome;
    use crate::watch::{Progress, Watch};

    fn ending(status: &str) -> Ending {
        let path = "/groups/11111111-2222-4333-8444-555555555555/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
        let ExportArg::Located { export, .. } = path.parse().unwrap() else { panic!() };
        let now = Moment::from_unix(std::time::Duration::from_secs(1_732_529_622));
        let report = Report { row_count: Some(7), ..report(status) };
        let mut progress = Progress::new(now);
        let observation = Observation { answer: Ok(report), hint: None };
        let settings = crate::settings::Settings::load(Default::default(), Default::default());
        let policy = settings.unwrap().policy().unwrap();
        progress.record(&observation, &policy, now, &mut fastrand::Rng::new());
        let watch = Watch { progress, ..Watch::unnamed(export, now) };
        let watch = std::sync::Arc::new(watch);
        Ending { watch, outcome: Outcome::UnknownStatus, report: None, at: now, timing: None }
    }

    fn surroundings() -> Surroundings {
        Surroundings {
            api: String::new(),
            credential: String::new(),
            other_api: None,
            general_version: "",
            go_on: crate::words::GoOn::new("wait"),
        }
    }

    #[test]
    fn an_annotation_is_one_line() {
        let actions = GitHubActions { active: true, ..GitHubActions::default() };
        let closing = Closing {
            head: "50%\r\nx".to_owned(),
            reason: Some("why".to_owned()),
            next: Some("do it".to_owned()),
            exit: Some((3, "failed")),
            ..Closing::default()
        };
        let line = "::error title=Snyk export failed (exit 3)::50%25%0D%0Ax: why%0Ado it\n";
        assert_eq!(actions.annotation(&closing).as_deref(), Some(line));
        assert_eq!(GitHubActions::default().annotation(&closing), None);
    }

    #[test]
    fn a_mask_is_one_line_and_masks_something() {
        let actions = GitHubActions { active: true, ..GitHubActions::default() };
        let url = "https://s.example/x?sig=a%2Fb";
        assert_eq!(actions.mask(url).as_deref(), Some("::add-mask::https://s.example/x?sig=a%252Fb\n"));
        assert_eq!([actions.mask(" "), GitHubActions::default().mask(url)], [None, None]);
    }

    #[test]
    fn outputs_stand_between_delimiters() {
        let values = [("outcome", "unknown-status".to_owned()), ("status", "Odd\nx=y".to_owned())];
        let end = format!("ghadelimiter_{:032x}", 0xfeed);
        let expected = format!("outcome<<{end}\nunknown-status\n{end}\nstatus<<{end}\nOdd\nx=y\n{end}\n");
        assert_eq!(outputs(&values, 0xfeed), expected);
    }

    #[test]
    fn lines_begin_where_lines_begin_and_stay_below_the_limit() {
        const NOTE: &str = "\nThe rest is left out: GitHub takes no summary above 1 MiB.\n";
        let rows = [
            ("", "a\nb\n", 100, "a\nb\n".to_owned()),
            ("x\n", "a\n", 100, "x\na\n".to_owned()),
            ("x", "a\n", 100, "x\na\n".to_owned()),
            ("x", "a\n", 4, "x\na\n".to_owned()),
            ("x", "a\n", 3, "x".to_owned()),
            ("x\n", "a\nb\n", 5, "x\n".to_owned()),
            ("x\n", &"ab\n".repeat(40), 2 + 6 + NOTE.len(), format!("x\nab\nab\n{NOTE}")),
            ("x\n", &"ab\n".repeat(40), 2 + 8 + NOTE.len(), format!("x\nab\nab\n{NOTE}")),
            ("x\n", &"é\n".repeat(40), 2 + NOTE.len(), format!("x\n{NOTE}")),
        ];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for (before, text, limit, after) in rows {
            std::fs::write(&path, before).unwrap();
            append(&path, text, limit).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after, "{before:?} {text:?} {limit}");
        }
        append(Path::new("/dev/null"), "a\n", 100).unwrap();
    }

    #[test]
    fn without_a_status_there_is_no_table() {
        let ending = ending("PENDING");
        let at = ending.at;
        let export = ending.watch.export;
        let ending = Ending { watch: std::sync::Arc::new(Watch::unnamed(export, at)), ..ending };
        assert!(!summary(&ending, &surroundings()).contains('|'));
    }

    #[test]
    fn hostile_words_are_read_not_rendered() {
        let text = summary(&ending("</td>|[x](https://evil.example) @all `"), &surroundings());
        assert!(text.contains("\n\n| at | status |\n|---|---|\n| "), "{text}");
        assert!(text.contains(r"| &lt;/td&gt;\|\[x\]\(https&#58;//evil\.example\) &#64;all \` |"), "{text}");
    }
}
