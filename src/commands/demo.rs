//! `demo`: waits for an export of a simulated Export API, with two faults on the way, all in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::wait::{Telling, decide, follow};
use super::{Asking, CommandError, Session};
use crate::cli::{Output, OutputArgs};
use crate::exit::ExitCode;
use crate::export::{Scope, ScopeRef};
use crate::request::StartRequest;
use crate::simulator::{Scenario, Simulator};
use crate::snyk::region::Api;
use crate::snyk::{Client, GA_VERSION};
use crate::tasks;
use crate::words::{GoOn, Surroundings};

/// The group that the demonstration exports.
const GROUP: Uuid = Uuid::from_u128(0x1111_1111_2222_4333_8444_5555_5555_5555);

pub(super) async fn run(session: &Session) -> Result<ExitCode, CommandError> {
    let scenario = Scenario::named("demo").unwrap_or_default();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::start(address, scenario, |_| {}).await?;
    let url = simulator.base_url();
    // Only for people: machines read the events.
    let say = |text: &str| session.console.success(text, || {});
    say(&format!("A Snyk Export API is simulated at {url}: no token, no network."));

    let api: Api = url.parse().map_err(|error| CommandError::Simulation(format!("{error}")))?;
    let client = Client::with_token(api, "demo", None).await;
    let client = client.map_err(|error| CommandError::Simulation(error.to_string()))?;
    let body = json!({ "data": { "type": "resource", "attributes": {
        "formats": ["csv"],
        "dataset": "issues",
        "filters": { "introduced": { "from": "2026-01-01T00:00:00Z" } },
    } } });
    let scope = ScopeRef { scope: Scope::Group, id: GROUP };
    let request = StartRequest { scope, body, include_deleted: false, include_deactivated: false };
    let policy = session.settings.policy()?;
    let started = tasks::start(&client, &request, &policy).await;
    let export = started.map_err(|unstarted| CommandError::Simulation(unstarted.to_string()))?.export;
    say(&format!(
        "An export was started there. On the way, the API answers with a 503 and a 429.\nWhat follows is the output of\n\n  \
         snyk-export wait {} \\\n      --{}-id {}\n",
        export.export_id, export.scope, export.scope_id
    ));

    let surroundings = Surroundings {
        api: url,
        credential: "the demonstration".to_owned(),
        other_api: None,
        general_version: GA_VERSION,
        go_on: GoOn::new("wait"),
    };
    let asking = Asking { exports: vec![export], policy, client: Arc::new(client), surroundings };
    let output = OutputArgs { output: Output::Text, show_urls: false };
    let endings = follow(&asking, false, output, Telling::All, session).await?;
    let code = decide(&endings, false);
    session.console.success(&format!("\nThe exit code of that command is {}.", code.code()), || {});
    Ok(code)
}
