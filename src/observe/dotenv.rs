//! The outputs of a call as `NAME=value` lines, for GitLab's dotenv reports and others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{self, Readers};
use crate::text::Text;

/// The longest file that GitLab takes, in bytes.
const MAX_FILE: usize = 5 * 1024;

/// The file of `--dotenv`. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Dotenv(Option<Arc<File>>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    values: Mutex<BTreeMap<String, String>>,
}

impl Dotenv {
    /// The file at `path`, which is empty until there are outputs: those of an earlier call must not be taken for ours.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn new(path: &Path) -> io::Result<Self> {
        write(path, "")?;
        Ok(Self(Some(Arc::new(File { path: path.to_owned(), values: Mutex::default() }))))
    }

    /// Adds outputs to the file, or replaces them.
    pub(super) fn add(&self, values: &[(&str, String)]) {
        let Some(File { path, values: known }) = self.0.as_deref() else { return };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(values.iter().map(|(name, value)| (variable(name), one_line(value))));
        let (text, left_out) = lines(&known);
        let written = write(path, &text).map_err(|error| error.to_string());
        let too_long = || left_out.map_err(|name| format!("{name} is left out: GitLab takes 5 KiB at most"));
        if let Err(reason) = written.and_then(|()| too_long()) {
            let path = Text::of_file(path);
            tracing::warn!(variable = "--dotenv", %path, reason, "what the CI system reads could not be written");
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    disk::replace_durably(path, text.as_bytes(), Readers::Umask)
}

/// `row-count` as `SNYK_EXPORT_ROW_COUNT`.
fn variable(name: &str) -> String {
    format!("SNYK_EXPORT_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// GitLab takes no value of several lines: a list is separated by commas.
fn one_line(value: &str) -> String {
    let line = value.trim().replace('\n', ",").replace(char::is_control, " ");
    line.trim_end().to_owned()
}

/// A line for each value; or the name of one that is too long, which is left out.
fn lines(values: &BTreeMap<String, String>) -> (String, Result<(), String>) {
    let (mut text, mut left_out) = (String::new(), Ok(()));
    for (name, value) in values {
        let length = text.len();
        let _ = writeln!(text, "{name}={value}");
        if text.len() > MAX_FILE {
            text.truncate(length);
            left_out = Err(name.clone());
        }
    }
    (text, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_lines_of_names_and_values() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("outputs.env");
        std::fs::write(&path, "SNYK_EXPORT_OUTCOME=finished\n").unwrap();
        let dotenv = Dotenv::new(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "nothing of an earlier call");
        dotenv.add(&[("outcome", "finished".to_owned()), ("row-count", "7".to_owned())]);
        dotenv.clone().add(&[("outcome", "x\r\nNAME=y \u{1b}".to_owned()), ("files", "a\nb c".to_owned())]);
        let expected = "SNYK_EXPORT_FILES=a,b c\nSNYK_EXPORT_OUTCOME=x ,NAME=y\nSNYK_EXPORT_ROW_COUNT=7\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert!(Dotenv::new(&directory.path().join("none/outputs.env")).is_err());
    }

    #[test]
    fn a_file_stays_below_the_limit() {
        let rows = [(MAX_FILE - 10, true), (MAX_FILE, false)];
        for (length, fits) in rows {
            let values = [("A".to_owned(), "x".repeat(length)), ("B".to_owned(), "y".to_owned())].into();
            let (text, left_out) = lines(&values);
            assert!(text.len() <= MAX_FILE && text.ends_with("B=y\n"), "{length}");
            assert_eq!(left_out, if fits { Ok(()) } else { Err("A".to_owned()) });
        }
    }
}
