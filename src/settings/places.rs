//! Where values come from, so that an error can name the place that has to change.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;
use toml::de::DeTable;

use super::environment::Environment;
use super::variable;

/// The flags that were given, the variables that are set, and the file.
#[derive(Debug)]
pub(crate) struct Places {
    pub(super) flags: BTreeSet<String>,
    pub(super) environment: Environment,
    pub(super) file: Option<(PathBuf, String)>,
}

impl Places {
    /// The place that gives `key` its value; in a file the first of `sections` that has it.
    pub(super) fn of(&self, sections: &[&str], key: &str) -> String {
        if self.flags.contains(key) {
            return format!("--{key}");
        }
        if let Some(name) = variable(key).filter(|name| self.environment.get(name).is_some()) {
            return name;
        }
        self.in_file(sections, key)
    }

    /// The place in the file, or the defaults, for a key that has neither flag nor variable.
    pub(super) fn in_file(&self, sections: &[&str], key: &str) -> String {
        let line = sections.iter().find_map(|section| self.line(section, key));
        match self.file.as_ref().zip(line) {
            Some(((path, _), line)) => format!("{} line {line}, {key}", path.display()),
            None => "the defaults".to_owned(),
        }
    }

    fn line(&self, section: &str, key: &str) -> Option<usize> {
        let (_, text) = self.file.as_ref()?;
        let table = DeTable::parse(text).ok()?;
        let (_, section) = table.get_ref().iter().find(|(name, _)| name.get_ref() == section)?;
        let (name, _) = section.get_ref().as_table()?.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(1 + text.get(..name.span().start)?.matches('\n').count())
    }
}

/// The flags that were given on the command line, by their long names.
pub(crate) fn given(matches: &ArgMatches) -> BTreeSet<String> {
    let typed = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let mut flags: BTreeSet<String> =
        matches.ids().filter(typed).map(|id| id.as_str().replace('_', "-")).collect();
    if let Some((_, matches)) = matches.subcommand() {
        flags.extend(given(matches));
    }
    flags
}
