//! `deliveries`: lists the notifications of a running daemon, and sends one again.

use reqwest::Method;
use serde_json::Value;
use url::form_urlencoded;

use super::remote::{Answer, Remote};
use super::watches::{of, row, said};
use super::{CommandError, Session};
use crate::cli::{DeliveriesAction, DeliveriesArgs, Output};
use crate::exit::ExitCode;
use crate::notify::delivery_id;

/// The widths of the columns, which fit 80 columns together.
const WIDTHS: [usize; 4] = [36, 17, 13, 8];

pub(super) async fn run(args: DeliveriesArgs, session: &Session) -> Result<ExitCode, CommandError> {
    let remote = Remote::find(&args.daemon, session).await?;
    let json = args.daemon.output == Output::Json;
    match args.action.unwrap_or(DeliveriesAction::List { state: None }) {
        DeliveriesAction::List { state } => {
            let state = state.map(|state| format!("&state={state}")).unwrap_or_default();
            let title = row(["ABOUT", "ENDPOINT", "STATE", "ATTEMPTS"], WIDTHS);
            let found = remote
                .list("/v1/deliveries", &state, (!json).then_some(title), |item| said(item, json, line));
            if !found.await? {
                session.console.success("there are no notifications", || {});
            }
        }
        DeliveriesAction::Redeliver { id, endpoint } => {
            // Each endpoint has one notification of an event. In place of the endpoint there may be the notification's id.
            let id = match endpoint {
                Some(named) if named.starts_with("msg_") => named,
                Some(endpoint) => delivery_id(&id, &endpoint),
                None => id,
            };
            let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
            let path = format!("/v1/deliveries/{id}/redeliver");
            let Answer { body, .. } = remote.ask(Method::POST, &path, None).await?;
            let words = |item: &Value| {
                format!("{} is sent again to {}\n", of(item, &["id"]), of(item, &["endpoint"]))
            };
            session.console.data(said(&body, json, words).as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(delivery: &Value) -> String {
    let [id, endpoint, state, attempts] =
        ["id", "endpoint", "state", "attempts"].map(|member| of(delivery, &[member]));
    // The id of the event, which is that of the watch if it is about one.
    let event = id.as_str().strip_prefix("msg_").and_then(|rest| rest.split_once('_'));
    let event = event.map_or(id.as_str(), |(event, _)| event);
    row([event, endpoint.as_str(), state.as_str(), attempts.as_str()], WIDTHS)
}
