//! `healthcheck`: asks the daemon whether it is healthy, for containers without a shell.

use std::time::Duration;

use url::Url;

use super::remote::{by_settings, reachable};
use super::{CommandError, Session};
use crate::cli::HealthcheckArgs;
use crate::exit::ExitCode;
use crate::http::{self, Network};
use crate::settings::daemon::Reached;
use crate::text::Text;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(args: &HealthcheckArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let Reached { listen, metrics_listen, .. } = by_settings(session).await?;
    // If metrics and health have an address of their own, `/readyz` needs no token there.
    let (path, listen) = match args.ready {
        true => ("readyz", metrics_listen.unwrap_or(listen)),
        false => ("healthz", listen),
    };
    let url = format!("http://{}/{path}", reachable(listen.first()));
    let url = Url::parse(&url).map_err(|error| CommandError::Unwell(format!("{url}: {error}")))?;
    let asking = session.signals.unless_interrupted(tokio::time::timeout(PATIENCE, ask(&url)));
    let asked = asking.await.map_err(CommandError::Interrupted)?;
    let why = match asked {
        Ok(Ok(())) => {
            let words = format!("the daemon is well: {url} answered 200");
            session.console.success(&words, || {
                tracing::info!(url.full = %url, http.response.status_code = 200, "the daemon is well");
            });
            return Ok(ExitCode::SUCCESS);
        }
        Ok(Err(why)) => why,
        Err(_) => format!("no answer within {}", humantime::format_duration(PATIENCE)),
    };
    Err(CommandError::Unwell(format!("{url}: {why}")))
}

/// Sends one request. The error says what is wrong.
async fn ask(url: &Url) -> Result<(), String> {
    // No proxy leads to the own machine or container.
    let client = http::client(url, &Network::default(), |builder| builder);
    let client = client.map_err(|error| error.to_string())?;
    let response = client.get(url.clone()).send().await;
    let response = response.map_err(|error| http::cut_off(&error).problem.to_string())?;
    let status = response.status().as_u16();
    if status == 200 {
        return Ok(());
    }
    let body = http::read_error_body(response).await;
    Err(format!("it answered {status}: {}", detail(&body)))
}

/// The detail of the daemon's error document; the body itself if it is not one of ours.
fn detail(body: &[u8]) -> Text {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = document["errors"][0]["detail"].as_str();
    detail.map_or_else(|| Text::new(&String::from_utf8_lossy(body)), Text::new)
}
