//! `--test-notify NAME`: tries an endpoint with its real settings. It does not open the store.

use uuid::Uuid;

use crate::clock::Clock;
use crate::commands::{CommandError, Session};
use crate::daemon::DaemonError;
use crate::daemon::ledger::endpoint;
use crate::exit::ExitCode;
use crate::notify::{Attempt, cloud_event, delivery_id};
use crate::settings::daemon::DaemonSettings;
use crate::text::Text;

pub(super) async fn run(
    name: &str,
    settings: DaemonSettings,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let DaemonSettings { endpoints, network, .. } = settings;
    let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    let Some(found) = endpoints.into_iter().find(|endpoint| endpoint.name == name) else {
        let name = Text::new(name);
        return Err(CommandError::Usage(match names.is_empty() {
            true => format!("--test-notify: there is no endpoint `{name}`: the settings have no [[notify]]"),
            false => format!(
                "--test-notify: there is no endpoint `{name}`; the settings have {}",
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
        }));
    };
    let endpoint = endpoint(found, &network).map_err(DaemonError::from)?;
    let (id, now) = (Uuid::new_v4(), Clock::wall_now());
    let event = cloud_event::test(name, now, id);
    let delivery = delivery_id(&id.to_string(), name);
    let sending = endpoint.send(&delivery, &event, now);
    let attempt = session.signals.unless_interrupted(sending).await;
    match attempt.map_err(CommandError::Interrupted)? {
        Attempt::Sent => {
            session.console.success(&format!("the endpoint `{name}` took the test event"), || {
                tracing::info!(endpoint = name, "the endpoint took the test event");
            });
            Ok(ExitCode::SUCCESS)
        }
        Attempt::Refused { problem, .. } | Attempt::Failed { problem, .. } | Attempt::Gone { problem } => {
            Err(CommandError::NotTaken(Text::new(name), problem))
        }
    }
}
