//! `doctor`: looks at all that a wait needs, and says what is wrong. It starts nothing, and shows no secret.

mod answer;
mod findings;
mod here;
mod report;

use self::findings::{Finding, of_nobody_asked, of_policy};
use self::report::Report;
use super::asking::resolve_one;
use super::{CommandError, Session};
use crate::cli::{DoctorArgs, Output};
use crate::exit::ExitCode;
use crate::export::{ExportRef, ScopeRef};
use crate::settings::exports::scope_of_start;
use crate::settings::{ExportsError, SettingsError};
use crate::snyk::region::Api;
use crate::snyk::{Client, GA_VERSION};
use crate::watch::Policy;
use crate::words::Surroundings;

/// Looks at everything, besides the `mistakes` that the settings have.
pub(super) async fn run(
    args: &DoctorArgs,
    mistakes: Vec<SettingsError>,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let mut doctor = Doctor { report: Report::default(), mistakes, session };
    doctor.look(args).await?;
    let Doctor { report, .. } = doctor;
    let (code, look) = (report.code(), session.console.look_of_data(session.settings.environment()));
    let text = match args.format.output {
        Output::Json => format!("{}\n", report.document()),
        Output::Text => report.lines(&look),
    };
    session.console.data(text.as_bytes())?;
    Ok(code)
}

/// Looks at one thing after the other. What is wrong with one of them does not keep the others from being looked at.
struct Doctor<'a> {
    report: Report,
    mistakes: Vec<SettingsError>,
    session: &'a Session,
}

/// What a request to Snyk needs.
struct Ready {
    client: Client,
    surroundings: Surroundings,
    policy: Policy,
}

/// What the arguments and variables name: an export, its group or organization, and the API of a pasted URL.
#[derive(Default)]
struct Meant {
    export: Option<ExportRef>,
    scope: Option<ScopeRef>,
    pasted: Option<Api>,
}

impl Doctor<'_> {
    async fn look(&mut self, args: &DoctorArgs) -> Result<(), CommandError> {
        let settings = &self.session.settings;
        let is_region_known = self.look_at_settings();
        self.look_at_state();
        let policy = settings.policy().map_err(CommandError::from);
        let policy = self.unless_wrong("pace", policy)?;
        policy.iter().for_each(|policy| self.report.add(of_policy(policy)));
        let meant = self.look_at_export(args).await?;
        let credentials = self.look_at_credential().await?;
        let api = match is_region_known {
            true => self.look_at_region(credentials.as_ref().map(|(credentials, _)| credentials), &meant)?,
            false => None,
        };
        let network = self.look_at_network(api.as_ref()).await?;
        let (Some(api), Some(network), Some(policy), Some((credentials, origin))) =
            (api, network, policy, credentials)
        else {
            self.report.add(of_nobody_asked());
            self.report.add_scope(meant.scope);
            return Ok(());
        };
        let surroundings = Surroundings {
            api: api.to_string(),
            other_api: api.contradicted_by(credentials.region()).map(ToString::to_string),
            credential: origin,
            general_version: GA_VERSION,
            go_on: self.session.go_on("wait"),
        };
        let client = Client::new(api, settings.api_version(), credentials, &network);
        match self.unless_wrong("certificates", client.map_err(CommandError::from))? {
            Some(client) => self.ask(&Ready { client, surroundings, policy }, &meant).await,
            None => Ok(()),
        }
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
                self.report.fails(topic, &error);
                Ok(None)
            }
        }
    }

    async fn look_at_export(&mut self, args: &DoctorArgs) -> Result<Meant, CommandError> {
        let scope = args.scope.scope();
        if let Some(export) = &args.export {
            let resolved = resolve_one(export, scope, self.session).await;
            let Some((export, pasted)) = self.unless_wrong("export", resolved)? else {
                return Ok(Meant::default());
            };
            return Ok(Meant { export: Some(export), scope: Some(export.scope_ref()), pasted });
        }
        match scope_of_start(scope, self.session.settings.environment()) {
            Ok(scope) => return Ok(Meant { scope: Some(scope), ..Meant::default() }),
            Err(ExportsError::NoScopeToStart) => self.report.add(Finding::warning(
                "group or org",
                "no group and no organization",
                "give --group-id or --org-id, or set SNYK_GROUP_ID or SNYK_ORG_ID",
            )),
            Err(error) => {
                self.unless_wrong::<()>("group or org", Err(error.into()))?;
            }
        }
        Ok(Meant::default())
    }
}
