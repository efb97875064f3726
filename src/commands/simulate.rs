//! `simulate`: an Export API on this machine, for trying things without Snyk.

use std::path::Path;

use super::{CommandError, Session, aside};
use crate::cli::SimulateArgs;
use crate::disk;
use crate::exit::ExitCode;
use crate::http::is_loopback_address;
use crate::simulator::{Exchange, Scenario, Simulator, SimulatorError};
use crate::watch::outcome::Signal;

pub(super) async fn run(args: &SimulateArgs, session: &Session) -> Result<ExitCode, CommandError> {
    if args.list {
        return session.console.data(list().as_bytes()).map(|()| ExitCode::SUCCESS);
    }
    let name = args.scenario.clone();
    let scenario = aside(&session.signals, move || load(&name)).await??;
    if !is_loopback_address(args.listen.first().ip()) && !session.settings.allows_http() {
        return Err(CommandError::Usage(format!(
            "--listen {}: the simulator speaks plain http, and others could reach it there: listen on loopback, or \
             say --allow-http",
            args.listen
        )));
    }
    let (note, json) = (session.console.note(), session.console.is_json());
    let log = move |exchange: &Exchange| match json {
        true => tracing::info!(exchange = %exchange, "answered"),
        false => note(&exchange.to_string()),
    };
    let simulator = Simulator::start(args.listen.first(), scenario, log).await.map_err(|error| {
        let SimulatorError::Listen { source, .. } = &error;
        match source.kind() == std::io::ErrorKind::AddrInUse {
            true => CommandError::Usage(format!(
                "--listen {}: another program listens there, maybe another simulator; name another port, or 0 for a free one",
                args.listen
            )),
            false => error.into(),
        }
    })?;
    let url = simulator.base_url();
    let words = format!(
        "simulating Snyk's Export API at {url} (scenario {}); Ctrl-C ends it\ntry: SNYK_TOKEN=any SNYK_API={url} snyk-export \
         wait /groups/11111111-2222-4333-8444-555555555555/jobs/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b",
        args.scenario
    );
    session.console.success(&words, || {
        tracing::info!(snyk.api = url, scenario = args.scenario, "simulating Snyk's Export API");
    });
    // Ending the simulator is not a failure.
    let signal = session.signals.ended().await;
    Ok(if signal == Signal::Interrupt { ExitCode::SUCCESS } else { ExitCode::of_signal(signal) })
}

/// The built-in scenarios, one a line.
fn list() -> String {
    let width = Scenario::names().map(|(name, _)| name.len()).max().unwrap_or_default();
    Scenario::names().map(|(name, description)| format!("{name:width$}  {description}\n")).collect()
}

/// A scenario by its name, or from a file.
fn load(name: &str) -> Result<Scenario, CommandError> {
    if let Some(scenario) = Scenario::named(name) {
        return Ok(scenario);
    }
    let path = Path::new(name);
    match disk::read_text(path) {
        Ok(text) => Ok(Scenario::from_toml(&text)?),
        Err(error) => {
            let names = Scenario::names().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
            Err(CommandError::Usage(format!(
                "--scenario `{name}` is neither a readable file ({error}) nor a built-in scenario: {names}"
            )))
        }
    }
}
