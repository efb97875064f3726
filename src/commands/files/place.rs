//! Where files go.

use std::path::{Component, Path, PathBuf};

use crate::cli::PlaceArgs;
use crate::commands::{CommandError, missing};
use crate::download::{Safety, Target, behind_links};
use crate::text::{Text, path_as_data};

/// Where the files of an export go, as absolute paths, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct Place {
    pub(in crate::commands) dir: PathBuf,
    pub(in crate::commands) merge: Option<PathBuf>,
    pub(in crate::commands) force: bool,
    pub(in crate::commands) safety: Safety,
}

impl Place {
    /// The place that the arguments name, for a date.
    pub(in crate::commands) fn resolve(
        args: &PlaceArgs,
        safety: Safety,
        date: &str,
    ) -> Result<Self, CommandError> {
        let dir = args.dir.as_ref().ok_or_else(|| CommandError::Usage(missing::NO_DIRECTORY.to_owned()))?;
        let dir = path("--dir", dir, date)?;
        let merge = args.merge.as_ref().map(|merge| path("--merge", merge, date)).transpose()?;
        Ok(Self::new(dir, merge, args.force, safety))
    }

    /// The place with these paths. With `force` a file that a link leads to is replaced, and not the link.
    pub(in crate::commands) fn new(
        dir: PathBuf,
        merge: Option<PathBuf>,
        force: bool,
        safety: Safety,
    ) -> Self {
        let merge = if force { merge.as_deref().map(behind_links) } else { merge };
        Self { dir, merge, force, safety }
    }

    pub(in crate::commands) fn target(&self) -> Target<'_> {
        let Self { dir, merge, force, safety } = self;
        Target { dir, merge: merge.as_deref(), force: *force, safety: *safety, held: None }
    }

    /// The same place; without a merged file if `is_not_merged`.
    pub(in crate::commands) fn unless(&self, is_not_merged: bool) -> Self {
        Self { merge: self.merge.clone().filter(|_| !is_not_merged), ..self.clone() }
    }

    /// The options that name this place.
    pub(in crate::commands) fn options(&self) -> Vec<(String, Option<String>)> {
        let option = |name: &str, path: &Path| (name.to_owned(), Some(path_as_data(path)));
        let merge = self.merge.as_ref().map(|merge| option("merge", merge));
        let force = self.force.then(|| ("force".to_owned(), None));
        [Some(option("dir", &self.dir)), merge, force].into_iter().flatten().collect()
    }
}

/// A path with the date filled in.
fn path(option: &str, path: &Path, date: &str) -> Result<PathBuf, CommandError> {
    let wrong = |why: &str| CommandError::Usage(format!("{option} {}: {why}", Text::of_path(path)));
    let text = path.to_str().ok_or_else(|| wrong("it is not UTF-8"))?;
    let filled = text.replace("{date}", date);
    if filled.contains(char::is_control) {
        // Records and manifests contain it, and reject control characters when they are read.
        return Err(CommandError::Usage(format!("{option}: a path with control characters is not accepted")));
    }
    if filled.contains(['{', '}']) {
        return Err(wrong("of the words in braces only {date} is filled in"));
    }
    let path = std::path::absolute(filled).map_err(|error| wrong(&error.to_string()))?;
    // Equal places must compare as equal.
    Ok(path.components().filter(|component| *component != Component::CurDir).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::GoOn;

    #[test]
    fn only_the_date_is_filled_in() {
        let filled = |text: &str| path("--dir", Path::new(text), "2026-11-26");
        assert_eq!(filled("/a/{date}/{date}.csv").unwrap(), Path::new("/a/2026-11-26/2026-11-26.csv"));
        assert!(filled("a").unwrap().is_absolute());
        for wrong in ["/a/{day}", "/a/{", "/a/}", "/{date}}"] {
            assert!(filled(wrong).unwrap_err().to_string().contains("{date}"), "{wrong}");
        }
    }

    #[test]
    fn options_name_the_place() {
        let place =
            Place { dir: "/a b".into(), merge: Some("/c.csv".into()), force: true, safety: Safety::Process };
        let command = GoOn::new("download").with(place.options()).command("E", None);
        assert_eq!(command, "snyk-export download E --dir='/a b' --merge=/c.csv --force");
    }
}
