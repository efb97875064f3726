//! What commands need to send requests to Snyk.

use std::sync::{Arc, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{CommandError, Session, aside, missing};
use crate::cli::ExportsArgs;
use crate::clock::Clock;
use crate::export::{ExportArg, ExportRef, ScopeRef};
use crate::settings::exports::{Exports, MAX_INPUT};
use crate::settings::{ChosenApi, ExportsError, SettingsError};
use crate::snyk::credentials::Credentials;
use crate::snyk::region::Api;
use crate::snyk::{Client, GA_VERSION};
use crate::tasks::Tasks;
use crate::text::Text;
use crate::watch::Policy;
use crate::words::Surroundings;

/// What a command needs to send requests to Snyk, and the exports that they are about.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) exports: Vec<ExportRef>,
    pub(super) policy: Policy,
    pub(super) client: Arc<Client>,
    pub(super) surroundings: Surroundings,
}

impl Asking {
    /// Checks all input before anything is sent.
    pub(super) async fn prepare(
        args: &ExportsArgs,
        show_urls: bool,
        session: &Session,
    ) -> Result<Self, CommandError> {
        let policy = session.settings.policy()?;
        missing::of_exports(&args.exports, args.scope.scope(), None, session)?;
        let found = resolve(&args.exports, args.scope.scope(), session).await?;
        let mut asking = Self::connect(found.api, policy, show_urls, session).await?;
        if found.exports.len() > 1 {
            // A command that runs after all exports must not run after one.
            asking.surroundings.go_on = asking.surroundings.go_on.then(Vec::new());
        }
        asking.exports = found.exports;
        Ok(asking)
    }

    /// Like `prepare`, but without exports. With `keeps_links` the client keeps signed links.
    pub(super) async fn connect(
        pasted: Option<Api>,
        policy: Policy,
        keeps_links: bool,
        session: &Session,
    ) -> Result<Self, CommandError> {
        let Session { settings, clock, signals, typed, console, .. } = session;
        let configured = settings.api()?;
        let (source, origin) = settings.credential_source()?;
        let loaded = signals.unless_interrupted(Credentials::load(source, &origin, *clock)).await;
        let credentials = loaded.map_err(CommandError::Interrupted)?.map_err(SettingsError::from)?;
        let credentials = credentials.telling(console.mask());
        let ChosenApi { api, source, other } = configured.chosen(credentials.region(), pasted);
        typed.lock().unwrap_or_else(PoisonError::into_inner).add_api(&api);
        if console.is_json() || !session.only_follows {
            tracing::info!(snyk.api = %api, snyk.api_source = source, credential.source = origin, "asking Snyk");
        } else {
            tracing::debug!(snyk.api = %api, snyk.api_source = source, credential.source = origin, "asking Snyk");
        }
        let surroundings = Surroundings {
            api: api.to_string(),
            credential: origin,
            other_api: other,
            general_version: GA_VERSION,
            go_on: session.go_on("wait"),
        };
        let settings = Arc::clone(settings);
        let version = settings.api_version();
        let url = api.url().clone();
        // This reads certificates, from files that may be pipes.
        let read = move || {
            let network = settings.network()?;
            network.prepare(&url)?;
            Ok::<_, SettingsError>(network)
        };
        let network = aside(signals, read).await??;
        let client = Client::new(api, version, credentials, &network)?;
        let client = Arc::new(if keeps_links { client.keeping_links() } else { client });
        Ok(Self { exports: Vec::new(), policy, client, surroundings })
    }

    /// The same for tasks.
    pub(super) fn tasks(&self, clock: Clock) -> Tasks<'_> {
        Tasks::new(&self.client, &self.policy, clock)
    }
}

/// The one export that is named, and the API of a pasted URL.
pub(super) async fn resolve_one(
    export: &ExportArg,
    scope: Option<ScopeRef>,
    session: &Session,
) -> Result<(ExportRef, Option<Api>), CommandError> {
    let Exports { exports, api } = resolve(std::slice::from_ref(export), scope, session).await?;
    let [export] = exports[..] else {
        let why = format!("standard input names {} exports, and this command takes one", exports.len());
        return Err(CommandError::Usage(why));
    };
    Ok((export, api))
}

/// The exports that are named. If `-` is among them, standard input is read.
pub(super) async fn resolve(
    exports: &[ExportArg],
    scope: Option<ScopeRef>,
    session: &Session,
) -> Result<Exports, CommandError> {
    let input = match exports.contains(&ExportArg::StandardInput) {
        true => {
            let reading = session.signals.unless_interrupted(read_input());
            Some(reading.await.map_err(CommandError::Interrupted)??)
        }
        false => None,
    };
    Ok(Exports::resolve(exports, scope, input.as_deref(), &session.settings)?)
}

async fn read_input() -> Result<String, ExportsError> {
    let read = read_text(tokio::io::stdin()).await.map_err(ExportsError::Unreadable)?;
    read.map_err(|why| ExportsError::Input(Text::new(why)))
}

/// A text of up to 1 MiB. The inner error says why the input is not one.
pub(super) async fn read_text(
    input: impl AsyncRead + Unpin,
) -> std::io::Result<Result<String, &'static str>> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > MAX_INPUT {
        return Ok(Err("it is longer than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8");
    Ok(text.map(|text| text.trim_start_matches('\u{feff}').to_owned()))
}
