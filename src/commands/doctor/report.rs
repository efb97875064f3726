//! What `doctor` has found, as text and as JSON.

use std::fmt::Write as _;

use serde_json::json;

use super::super::console::chain;
use super::CommandError;
use super::findings::{Finding, Grade, TOPICS, cure_of};
use crate::exit::ExitCode;
use crate::export::ScopeRef;
use crate::telemetry::{Look, Mark};

/// What was found so far, and the exit code of a wait that would meet the same.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    code: Option<ExitCode>,
}

impl Report {
    /// Adds a finding. Findings are shown in the order of their topics.
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds what is wrong. A wait would end with it.
    pub(super) fn fails(&mut self, topic: &'static str, error: &CommandError) {
        let said = chain(error);
        // Many messages end with what to do.
        let said_cure = [("; ", "use "), (": ", "say "), (": ", "set "), (": ", "use ")].iter().find_map(
            |(mark, verb)| {
                let at = said.find(&format!("{mark}{verb}"))?;
                Some((&said[..at], said[at + mark.len()..].to_owned()))
            },
        );
        let (found, cure) = match said_cure {
            Some((found, cure)) => (found, Some(cure)),
            None => (said.as_str(), cure_of(topic, error)),
        };
        self.ends_with(error.exit_code());
        self.add(Finding::bad(topic, found, cure));
    }

    /// Notes how a wait would end. Settings that cannot be used let none begin.
    pub(super) fn ends_with(&mut self, code: ExitCode) {
        if self.code != Some(ExitCode::USAGE) {
            let unusable = (code == ExitCode::USAGE).then_some(code);
            self.code = Some(unusable.unwrap_or_else(|| ExitCode::deciding([self.code(), code])));
        }
    }

    pub(super) fn code(&self) -> ExitCode {
        self.code.unwrap_or(ExitCode::SUCCESS)
    }

    /// The first finding about this topic.
    pub(super) fn about(&mut self, topic: &'static str) -> Option<&mut Finding> {
        self.findings.iter_mut().find(|finding| finding.topic == topic)
    }

    /// Adds the group or organization that is meant, about which nothing is known.
    pub(super) fn add_scope(&mut self, scope: Option<ScopeRef>) {
        if let Some(ScopeRef { scope, id }) = scope {
            self.add(Finding::good("group or org", format!("{scope} {id}, not looked at")));
        }
    }

    fn sorted(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| TOPICS.iter().position(|topic| *topic == finding.topic));
        self.findings
    }

    pub(super) fn document(self) -> String {
        json!({ "schema": 1, "exit_code": self.code().code(), "findings": self.sorted() }).to_string()
    }

    /// A line for each finding, and one for its cure.
    pub(super) fn lines(self, look: &Look) -> String {
        let findings = self.sorted();
        let width = findings.iter().map(|finding| finding.topic.len()).max().unwrap_or_default();
        findings.iter().fold(String::new(), |mut text, Finding { topic, grade, found, cure }| {
            let mark = look.mark(match grade {
                Grade::Good => Mark::Well,
                Grade::Warning => Mark::Warning,
                Grade::Bad => Mark::Failed,
            });
            let _ = writeln!(text, "{mark} {topic:width$}  {}", look.wrapped(found, width + 4));
            if let Some(cure) = cure {
                let arrow = look.symbols("→");
                let indent = width + 5 + arrow.chars().count();
                let _ = writeln!(text, "  {:width$}  {arrow} {}", "", look.wrapped(cure, indent));
            }
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::settings::SettingsError;
    use crate::telemetry::Rendering;

    fn look(width: Option<usize>) -> Look {
        Look {
            rendering: Rendering::Human,
            is_colored: false,
            is_unicode: true,
            width,
            zone: TimeZone::UTC,
            is_indented: true,
        }
    }

    #[test]
    fn findings_stand_in_the_order_of_their_topics_and_are_wrapped_between_words() {
        let mut report = Report::default();
        report.add(Finding::good("state directory", "/a is there"));
        report.fails("credential", &SettingsError::NoCredential.into());
        report.ends_with(ExitCode::UNAVAILABLE);
        assert_eq!(report.code(), ExitCode::USAGE);
        let expected = "✘ credential       no credential\n                   → set SNYK_TOKEN, or --token-file,\n      \
                        \x20              SNYK_TOKEN_FILE, SNYK_OAUTH_TOKEN,\n";
        let text = report.lines(&look(Some(58)));
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("\n✔ state directory  /a is there\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 58), "{text}");
    }
}
