//! What `doctor` asks Snyk, and what the answers mean.

use uuid::Uuid;

use super::super::{CommandError, Session};
use super::findings::{Finding, of_answer, of_credential, of_look};
use super::{Doctor, Meant, Ready};
use crate::exit::ExitCode;
use crate::export::{ExportRef, Scope, ScopeRef};
use crate::snyk::{Look, Tokens};
use crate::watch::Policy;
use crate::watch::observation::{Failure, FailureKind, Observation};
use crate::watch::outcome::Outcome;
use crate::words::{Surroundings, Words};

impl Doctor<'_> {
    /// Sends one request about one's own tokens, and one about the export.
    pub(super) async fn ask(&mut self, ready: &Ready, meant: &Meant) -> Result<(), CommandError> {
        let Session { signals, clock, .. } = self.session;
        let Ready { client, surroundings, policy } = ready;
        let limit = policy.request_timeout;
        let looking = signals.unless_interrupted(client.look_at_tokens(limit)).await;
        let (tokens, seen) = looking.map_err(CommandError::Interrupted)?;
        let nobody = ScopeRef { scope: Scope::Group, id: Uuid::nil() };
        let tokens = match tokens {
            Ok(tokens) => tokens,
            Err(failure) => {
                self.refused("answer", &failure, (meant.scope.unwrap_or(nobody), None), surroundings);
                seen.iter().for_each(|look| self.look_at_head(look, &surroundings.api));
                self.report.add_scope(meant.scope);
                return Ok(());
            }
        };
        if let Some(Tokens { ends: Some(ends), are_several }) = tokens.filter(|_| self.is_personal()) {
            let kind = match are_several {
                true => "a personal access token (one of your tokens, the first to end)",
                false => "a personal access token",
            };
            let finding = of_credential(&surroundings.credential, kind, Some(ends), clock.now());
            self.report.about("credential").into_iter().for_each(|found| *found = finding.clone());
        }
        let mut is_accepted = tokens.is_some();
        let http_status = seen.as_ref().map(|look| look.http_status).unwrap_or_default();
        let mut seen = seen;
        // Without an export, one that cannot exist shows whether the credential may see the scope.
        let asked = meant.export.or_else(|| {
            let ScopeRef { scope, id } = meant.scope?;
            Some(ExportRef { scope, scope_id: id, export_id: Uuid::nil() })
        });
        if let Some(asked) = asked {
            let looking = signals.unless_interrupted(client.look_at(&asked, limit)).await;
            let (observation, look) = looking.map_err(CommandError::Interrupted)?;
            is_accepted |= observation.answer.is_ok();
            match meant.export {
                Some(export) => self.judge(export, &observation, policy, surroundings),
                None => self.look_at_scope(asked.scope_ref(), &observation, surroundings),
            }
            seen = look.or(seen);
        }
        if is_accepted
            && let Some(Finding { found, .. }) = self.report.about("credential")
            && found.contains(", which ended at ")
        {
            found.push_str(", but is still accepted");
        }
        self.report.add(of_answer(&surroundings.api, http_status, is_accepted));
        seen.iter().for_each(|look| self.look_at_head(look, &surroundings.api));
        Ok(())
    }

    fn look_at_head(&mut self, look: &Look, host: &str) {
        of_look(look, host).into_iter().for_each(|finding| self.report.add(finding));
    }

    /// Whether the credential is a personal access token, of which Snyk has a list.
    fn is_personal(&mut self) -> bool {
        self.report.about("credential").is_some_and(|finding| finding.found.contains("personal access token"))
    }

    /// A failure, as the end of a wait; about `export` if there is one.
    fn refused(
        &mut self,
        topic: &'static str,
        failure: &Failure,
        (scope, export): (ScopeRef, Option<&ExportRef>),
        surroundings: &Surroundings,
    ) {
        let outcome = match failure.kind {
            FailureKind::Unauthorized => Outcome::Unauthorized,
            FailureKind::Forbidden => Outcome::Forbidden,
            FailureKind::NotFound => Outcome::NotFound,
            FailureKind::Conflict => Outcome::Conflict,
            FailureKind::Rejected | FailureKind::Gateway => Outcome::Rejected,
            FailureKind::Unrecoverable | FailureKind::Throttled | FailureKind::Transient => {
                Outcome::Unavailable
            }
        };
        let mut words = Words::of_request(outcome, &failure.problem, scope, export, surroundings);
        if failure.kind == FailureKind::Throttled {
            // A wait goes on.
            let cure = words.cure.as_deref().unwrap_or_default();
            self.report.add(Finding::warning(topic, words.to_string(), format!("try again later: {cure}")));
            return;
        }
        if outcome == Outcome::Conflict {
            words.cure = words.cure.or_else(|| Some("it may pass: wait with --retry-conflict".to_owned()));
        }
        self.report.ends_with(ExitCode::of_end(outcome));
        self.report.add(Finding::bad(topic, words.to_string(), words.cure));
    }

    fn look_at_scope(&mut self, scope: ScopeRef, observation: &Observation, surroundings: &Surroundings) {
        let found = format!("{} {}", scope.scope, scope.id);
        match &observation.answer {
            Ok(_) => self.report.add(Finding::good("group or org", found)),
            Err(failure) if failure.kind == FailureKind::NotFound && failure.problem.cure.is_none() => {
                let found = format!("{found}: only an export shows whether the credential may see it");
                self.report.add(Finding::good("group or org", found));
            }
            Err(failure) => self.refused("group or org", failure, (scope, None), surroundings),
        }
    }

    /// How a wait would end that saw this.
    fn judge(
        &mut self,
        export: ExportRef,
        observation: &Observation,
        policy: &Policy,
        surroundings: &Surroundings,
    ) {
        match &observation.answer {
            Err(failure) => {
                self.refused("export", failure, (export.scope_ref(), Some(&export)), surroundings)
            }
            Ok(report) => {
                let go_on = &surroundings.go_on;
                let phase = policy.vocabulary.phase(&report.status);
                let (outcome, words) = Words::of_unready(&export, report, phase, go_on);
                match outcome {
                    None => self.report.add(Finding::good("export", format!("status {}", report.status))),
                    Some(outcome) => {
                        self.report.ends_with(ExitCode::of_end(outcome));
                        self.report.add(Finding::bad("export", words.to_string(), words.cure));
                    }
                }
            }
        }
    }
}
