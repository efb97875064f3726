//! Where values come from, so that an error names the place that has to change.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;
use toml::de::{DeArray, DeTable};

use super::environment::Environment;
use super::mistake::position;
use super::sources::alias;
use super::variable;
use crate::text::Text;

/// A step on the path to a value in the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// Into a table.
    Key(&'a str),
    /// Into an array.
    Index(usize),
}

/// The flags that were given, the variables that are set, and the file.
#[derive(Debug)]
pub(crate) struct Places {
    pub(super) flags: BTreeSet<String>,
    pub(super) environment: Environment,
    pub(super) file: Option<(PathBuf, String)>,
}

impl Places {
    /// The place of the value of `key`; in a file the first of `sections` that has it.
    pub(super) fn of(&self, sections: &[&str], key: &str) -> String {
        if self.flags.contains(key) {
            return format!("--{key}");
        }
        if let Some(name) = variable(key).filter(|name| self.environment.get(name).is_some()) {
            return name;
        }
        let alias = || alias(key).filter(|name| self.environment.get(name).is_some()).map(str::to_owned);
        self.of_file(sections, key).or_else(alias).unwrap_or_else(|| "the defaults".to_owned())
    }

    /// The place in the file, or the defaults, for a key without a flag and a variable.
    pub(super) fn in_file(&self, sections: &[&str], key: &str) -> String {
        self.of_file(sections, key).unwrap_or_else(|| "the defaults".to_owned())
    }

    fn of_file(&self, sections: &[&str], key: &str) -> Option<String> {
        let at = sections.iter().find_map(|section| self.at(&[Step::Key(section), Step::Key(key)]))?;
        Some(format!("{at}, {key}"))
    }

    /// The place of the value at the end of `steps`, or of the last existing value on the path to it.
    pub(super) fn of_entry(&self, steps: &[Step<'_>], name: &str) -> String {
        let at = (1..=steps.len()).rev().find_map(|taken| self.at(steps.get(..taken)?));
        at.map_or_else(|| name.to_owned(), |at| format!("{at}, {name}"))
    }

    /// The file, the line and the column of the value at the end of `steps`.
    fn at(&self, steps: &[Step<'_>]) -> Option<String> {
        let (path, text) = self.file.as_ref()?;
        let root = DeTable::parse(text).ok()?;
        let (mut table, mut array, mut start) = (Some(root.get_ref()), None, 0);
        for step in steps {
            let value = match step {
                Step::Key(key) => {
                    let (name, value) = table?.iter().find(|(name, _)| name.get_ref() == key)?;
                    start = name.span().start;
                    value
                }
                Step::Index(index) => {
                    let value = array.and_then(|array: &DeArray<'_>| array.get(*index))?;
                    start = value.span().start;
                    value
                }
            };
            (table, array) = (value.get_ref().as_table(), value.get_ref().as_array());
        }
        Some(format!("{} {}", Text::of_path(path), position(text.get(..start)?)))
    }
}

/// The long names of the flags on the command line.
pub(crate) fn given(matches: &ArgMatches) -> BTreeSet<String> {
    // clap lists the global arguments of a subcommand here too, but they are not this command's.
    let is_own = |id: &&clap::Id| matches.try_contains_id(id.as_str()).is_ok();
    let typed =
        |id: &&clap::Id| is_own(id) && matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let mut flags: BTreeSet<String> =
        matches.ids().filter(typed).map(|id| id.as_str().replace('_', "-")).collect();
    if let Some((_, matches)) = matches.subcommand() {
        flags.extend(given(matches));
    }
    flags
}
