//! The command that continues where this one stops, for people to copy.

use std::fmt;

use super::quoted;
use crate::watch::outcome::Outcome;

/// A command of ours that continues with an export.
#[derive(Debug, Clone)]
pub struct GoOn {
    /// The subcommand.
    subcommand: &'static str,
    /// The option whose value is the export; `None` if the export is an argument.
    export_option: Option<&'static str>,
    options: Vec<(String, Option<String>)>,
    /// The command after `--`, as its words.
    then: Vec<String>,
}

impl GoOn {
    /// The subcommand with an export and nothing else.
    #[must_use]
    pub const fn new(subcommand: &'static str) -> Self {
        Self { subcommand, export_option: None, options: Vec::new(), then: Vec::new() }
    }

    /// With the export as the value of an option.
    #[must_use]
    pub fn naming_export_by(self, option: &'static str) -> Self {
        Self { export_option: Some(option), ..self }
    }

    /// With more options, before those that it has.
    #[must_use]
    pub fn with(mut self, options: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        self.options.splice(0..0, options);
        self
    }

    /// For an export of another call: without these options and without the command that runs after all.
    #[must_use]
    pub fn of_another_call(mut self, left_out: &[&str]) -> Self {
        self.options.retain(|(name, _)| !left_out.contains(&name.as_str()));
        self.then.clear();
        self
    }

    /// With a command that runs after all, as its words.
    #[must_use]
    pub fn then(self, then: Vec<String>) -> Self {
        Self { then, ..self }
    }

    /// What it does, and the command: as a hint. `outcome` is what stopped us.
    #[must_use]
    pub fn hint(&self, export: impl fmt::Display, outcome: Option<Outcome>) -> String {
        let waiting = if self.subcommand == "wait" { " waiting" } else { "" };
        format!("to go on{waiting}: {}", self.command(export, outcome))
    }

    /// The command, each word as a shell takes it. The limit that stopped us is left out.
    #[must_use]
    pub fn command(&self, export: impl fmt::Display, outcome: Option<Outcome>) -> String {
        let mut words = vec!["snyk-export".to_owned(), self.subcommand.to_owned()];
        words.extend(self.export_option.map(|option| format!("--{option}")));
        words.push(quoted(export));
        let limit = outcome.and_then(limit);
        for (name, value) in self.options.iter().filter(|(name, _)| Some(name.as_str()) != limit) {
            words.push(match value {
                Some(value) => format!("--{name}={}", quoted(value)),
                None => format!("--{name}"),
            });
        }
        if !self.then.is_empty() {
            words.push("--".to_owned());
            words.extend(self.then.iter().map(quoted));
        }
        words.join(" ")
    }
}

/// The option whose limit ends a watch with this outcome.
const fn limit(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::TimedOut => Some("max-wait"),
        Outcome::Unavailable => Some("max-outage"),
        Outcome::Stalled => Some("max-in-progress"),
        Outcome::Finished
        | Outcome::Failed
        | Outcome::Unauthorized
        | Outcome::Forbidden
        | Outcome::NotFound
        | Outcome::Conflict
        | Outcome::Rejected
        | Outcome::UnknownStatus
        | Outcome::Interrupted(_)
        | Outcome::Abandoned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_there_to_be_copied() {
        let option = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let options = [option("max-wait", "1s"), option("dir", "/a b"), ("force".to_owned(), None)];
        let wait = GoOn::new("wait").with(options.clone());
        assert_eq!(
            wait.hint("E", None),
            "to go on waiting: snyk-export wait E --max-wait=1s --dir='/a b' --force"
        );
        let ended = wait.command("E", Some(Outcome::TimedOut));
        assert_eq!(ended, "snyk-export wait E --dir='/a b' --force", "not the limit that ended it");
        let then = ["./load".to_owned(), String::new(), "it's".to_owned()].into();
        let run = GoOn::new("run").naming_export_by("resume").with(options).then(then);
        assert_eq!(
            run.hint("E", Some(Outcome::Unavailable)),
            r"to go on: snyk-export run --resume E --max-wait=1s --dir='/a b' --force -- ./load '' 'it'\''s'"
        );
    }
}
