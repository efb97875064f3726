//! `doctor`: looks at all that a wait needs, and says what is wrong. It starts nothing, and shows no secret.

mod findings;

use std::fmt::Write as _;

use serde_json::json;
use uuid::Uuid;

use self::findings::{Finding, Grade, of_answer, of_credential, of_look, of_policy, of_region};
use super::asking::resolve_one;
use super::console::chain;
use super::{CommandError, Session, aside};
use crate::cli::{DoctorArgs, Output};
use crate::disk;
use crate::exit::ExitCode;
use crate::export::{ExportRef, ScopeRef};
use crate::http::Network;
use crate::settings::exports::scope_of_start;
use crate::settings::{ChosenApi, ExportsError, SettingsError};
use crate::snyk::credentials::Credentials;
use crate::snyk::region::Api;
use crate::snyk::{Client, GA_VERSION, Tokens};
use crate::telemetry::in_ascii;
use crate::text::Text;
use crate::watch::Policy;
use crate::watch::observation::{Failure, FailureKind, Observation};
use crate::watch::outcome::Outcome;
use crate::words::{Surroundings, Words};

pub(super) async fn run(args: &DoctorArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let mut doctor = Doctor { findings: Vec::new(), code: ExitCode::SUCCESS, session };
    doctor.look(args).await?;
    let Doctor { findings, code, .. } = doctor;
    let text = match args.format.output {
        Output::Json => {
            let code = code.code();
            format!("{}\n", json!({ "schema": 1, "exit_code": code, "findings": findings }))
        }
        Output::Text => lines(&findings, session.settings.environment().has_unicode()),
    };
    session.console.data(text.as_bytes())?;
    Ok(code)
}

/// A line for each finding, and one for its cure.
fn lines(findings: &[Finding], unicode: bool) -> String {
    let width = findings.iter().map(|finding| finding.topic.len()).max().unwrap_or_default();
    let text = findings.iter().fold(String::new(), |mut text, Finding { topic, grade, found, cure }| {
        let mark = match grade {
            Grade::Good => "✔",
            Grade::Warning => "!",
            Grade::Bad => "✘",
        };
        let _ = writeln!(text, "{mark} {topic:width$}  {found}");
        if let Some(cure) = cure {
            let _ = writeln!(text, "  {:width$}  → {cure}", "");
        }
        text
    });
    if unicode { text } else { in_ascii(&text) }
}

/// What was found so far, and the exit code of a wait that would meet the same.
struct Doctor<'a> {
    findings: Vec<Finding>,
    code: ExitCode,
    session: &'a Session,
}

/// What a request to Snyk needs.
struct Ready {
    client: Client,
    surroundings: Surroundings,
    policy: Policy,
}

impl Doctor<'_> {
    async fn look(&mut self, args: &DoctorArgs) -> Result<(), CommandError> {
        let Session { settings, .. } = self.session;
        let policy = settings.policy().map_err(CommandError::from);
        let policy = self.unless_wrong("pace", policy)?;
        self.findings.extend(policy.as_ref().map(of_policy));
        self.look_at_state();
        let (export, scope, pasted) = self.look_at_export(args).await?;
        let ready = self.look_at_way(pasted, policy).await?;
        let Some(ready) = ready else { return Ok(()) };
        self.ask(&ready, export, scope).await
    }

    /// A value, unless it is wrong: that is a finding. A signal ends the command.
    fn unless_wrong<T>(
        &mut self,
        topic: &'static str,
        value: Result<T, CommandError>,
    ) -> Result<Option<T>, CommandError> {
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error @ CommandError::Interrupted(_)) => Err(error),
            Err(error) => {
                self.ends_with(error.exit_code());
                let found = chain(&error);
                let (found, cure) = match found.split_once("no credential: ") {
                    Some(("", cure)) => ("no credential", Some(cure.to_owned())),
                    _ => (found.as_str(), None),
                };
                self.findings.push(Finding::bad(topic, found, cure));
                Ok(None)
            }
        }
    }

    /// Notes how a wait would end. Settings that cannot be used let none begin.
    fn ends_with(&mut self, code: ExitCode) {
        if self.code != ExitCode::USAGE {
            let unusable = (code == ExitCode::USAGE).then_some(code);
            self.code = unusable.unwrap_or_else(|| ExitCode::deciding([self.code, code]));
        }
    }

    fn look_at_state(&mut self) {
        let directory = self.session.settings.state_directory();
        let shown = Text::of_path(&directory);
        self.findings.push(match disk::may_write(&directory) {
            Ok(()) => Finding::good("state directory", shown.as_str()),
            Err(error) => Finding::warning(
                "state directory",
                format!("{shown} cannot be written: {error}"),
                "run and watch need one: set XDG_STATE_HOME, or name --state and [store] url",
            ),
        });
    }

    async fn look_at_export(
        &mut self,
        args: &DoctorArgs,
    ) -> Result<(Option<ExportRef>, Option<ScopeRef>, Option<Api>), CommandError> {
        let scope = args.scope.scope();
        if let Some(export) = &args.export {
            let resolved = resolve_one(export, scope, self.session).await;
            let Some((export, api)) = self.unless_wrong("export", resolved)? else {
                return Ok((None, None, None));
            };
            return Ok((Some(export), Some(export.scope_ref()), api));
        }
        match scope_of_start(scope, self.session.settings.environment()) {
            Ok(scope) => Ok((None, Some(scope), None)),
            Err(error @ ExportsError::NoScopeToStart) => {
                let cure = "give --group-id or --org-id, or set SNYK_GROUP_ID or SNYK_ORG_ID";
                let found = error.to_string();
                let found = found.split(':').next().unwrap_or_default();
                self.findings.push(Finding::warning("group or org", found, cure));
                Ok((None, None, None))
            }
            Err(error) => {
                self.unless_wrong::<()>("group or org", Err(error.into()))?;
                Ok((None, None, None))
            }
        }
    }

    /// The credential, the region, the proxy and the certificates.
    async fn look_at_way(
        &mut self,
        pasted: Option<Api>,
        policy: Option<Policy>,
    ) -> Result<Option<Ready>, CommandError> {
        let Session { settings, signals, clock, console, .. } = self.session;
        let loading = async {
            let (source, origin) = settings.credential_source()?;
            let loaded = signals.unless_interrupted(Credentials::load(source, &origin, *clock)).await;
            let credentials = loaded.map_err(CommandError::Interrupted)?.map_err(SettingsError::from)?;
            Ok((credentials.telling(console.mask()), origin))
        };
        let loaded = loading.await;
        let credentials = self.unless_wrong("credential", loaded)?;
        let region = credentials.as_ref().and_then(|(credentials, _)| credentials.region().cloned());
        let configured = settings.api().map_err(CommandError::from);
        let Some(configured) = self.unless_wrong("region", configured)? else { return Ok(None) };
        let ChosenApi { api, source } = configured.chosen(region.as_ref(), pasted);
        let other = api.contradicted_by(region.as_ref()).map(ToString::to_string);
        self.findings.push(of_region(&api.to_string(), &source, other.as_deref()));
        let (settings_of_network, url) = (std::sync::Arc::clone(settings), api.url().clone());
        let read = move || {
            let network = settings_of_network.network()?;
            network.prepare(&url)?;
            Ok::<_, CommandError>(network)
        };
        let network = aside(signals, read).await?;
        let Some(network) = self.unless_wrong("certificates", network)? else { return Ok(None) };
        self.look_at_network(&api, &network);
        let (Some((credentials, origin)), Some(policy)) = (credentials, policy) else { return Ok(None) };
        let (kind, ends) = credentials.kind().await;
        self.findings.insert(0, of_credential(&origin, kind, ends, clock.now()));
        let surroundings = Surroundings {
            api: api.to_string(),
            credential: origin,
            general_version: GA_VERSION,
            go_on: self.session.go_on("wait"),
        };
        let client = Client::new(api, settings.api_version(), credentials, &network);
        let client = self.unless_wrong("certificates", client.map_err(CommandError::from))?;
        Ok(client.map(|client| Ready { client, surroundings, policy }))
    }

    fn look_at_network(&mut self, api: &Api, network: &Network) {
        let settings = &self.session.settings;
        let proxy = network.proxy(api.url()).unwrap_or_else(|| "none".to_owned());
        self.findings.push(Finding::good("proxy", proxy));
        let found = match api.is_https() {
            true => settings.certificate_sources().join(", "),
            false => "none: the API speaks plain http".to_owned(),
        };
        self.findings.push(Finding::good("certificates", found));
    }

    /// Sends one request about one's own tokens, and one about the export.
    async fn ask(
        &mut self,
        ready: &Ready,
        export: Option<ExportRef>,
        scope: Option<ScopeRef>,
    ) -> Result<(), CommandError> {
        let Session { signals, clock, .. } = self.session;
        let Ready { client, surroundings, policy } = ready;
        let limit = policy.request_timeout;
        let looking = signals.unless_interrupted(client.look_at_tokens(limit)).await;
        let looked = looking.map_err(CommandError::Interrupted)?;
        let scope_or_own = scope.unwrap_or(ScopeRef { scope: crate::export::Scope::Group, id: Uuid::nil() });
        let (tokens, mut seen) = match looked {
            Ok(looked) => looked,
            Err(failure) => {
                self.refused("answer", &failure, (scope_or_own, None), surroundings);
                return Ok(());
            }
        };
        if let Some(Tokens { ends: Some(ends), are_several }) = tokens.filter(|_| self.is_personal()) {
            let kind = match are_several {
                true => "a personal access token (one of your tokens, the first to end)",
                false => "a personal access token",
            };
            self.findings[0] = of_credential(&surroundings.credential, kind, Some(ends), clock.now());
        }
        let (answer, http_status) = (self.findings.len(), seen.http_status);
        let mut is_accepted = tokens.is_some();
        // Without an export, one that cannot exist shows whether the credential may see the scope.
        let asked = export.or_else(|| {
            scope.map(|scope| ExportRef { scope: scope.scope, scope_id: scope.id, export_id: Uuid::nil() })
        });
        if let Some(asked) = asked {
            let looking = signals.unless_interrupted(client.look_at(&asked, limit)).await;
            let (observation, look) = looking.map_err(CommandError::Interrupted)?;
            is_accepted |= observation.answer.is_ok();
            match export {
                Some(export) => self.judge(export, &observation, policy, surroundings),
                None => self.look_at_scope(asked.scope_ref(), &observation, surroundings),
            }
            seen = look.unwrap_or(seen);
        }
        if is_accepted && self.findings[0].found.contains(", which ended at ") {
            self.findings[0].found.push_str(", but is still accepted");
        }
        self.findings.insert(answer, of_answer(&surroundings.api, http_status, is_accepted));
        self.findings.extend(of_look(&seen, &surroundings.api));
        Ok(())
    }

    /// Whether the credential is a personal access token, of which Snyk has a list.
    fn is_personal(&self) -> bool {
        self.findings.first().is_some_and(|finding| finding.found.contains("personal access token"))
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
            self.findings.push(Finding::warning(
                topic,
                words.to_string(),
                format!("try again later: {cure}"),
            ));
            return;
        }
        if outcome == Outcome::Conflict {
            words.cure = words.cure.or_else(|| Some("it may pass: wait with --retry-conflict".to_owned()));
        }
        self.ends_with(ExitCode::of_end(outcome));
        self.findings.push(Finding::bad(topic, words.to_string(), words.cure));
    }

    fn look_at_scope(&mut self, scope: ScopeRef, observation: &Observation, surroundings: &Surroundings) {
        let found = format!("{} {}", scope.scope, scope.id);
        match &observation.answer {
            Ok(_) => self.findings.push(Finding::good("group or org", found)),
            Err(failure) if failure.kind == FailureKind::NotFound && failure.problem.cure.is_none() => {
                let found = format!("{found}: only an export shows whether the credential may see it");
                self.findings.push(Finding::good("group or org", found));
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
                    None => self.findings.push(Finding::good("export", format!("status {}", report.status))),
                    Some(outcome) => {
                        self.ends_with(ExitCode::of_end(outcome));
                        self.findings.push(Finding::bad("export", words.to_string(), words.cure));
                    }
                }
            }
        }
    }
}
