//! `deliveries`: lists the notifications of a running daemon, and sends one again.

use reqwest::Method;
use serde_json::Value;

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
            let title = row(["WATCH", "ENDPOINT", "STATE", "ATTEMPTS"], WIDTHS);
            let found = remote
                .list("/v1/deliveries", &state, (!json).then_some(title), |item| said(item, json, line));
            if !found.await? {
                session.console.success("there are no notifications", || {});
            }
        }
        DeliveriesAction::Redeliver { watch, delivery } => {
            // Its endpoint names it too: each has one notification of a watch.
            let delivery = match delivery.starts_with("msg_") {
                true => delivery,
                false => delivery_id(&watch.to_string(), &delivery),
            };
            let id = delivery.replace('%', "%25");
            let path = format!("/v1/watches/{watch}/deliveries/{id}/redeliver");
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
    let [watch, endpoint, state, attempts] =
        ["watch_id", "endpoint", "state", "attempts"].map(|member| of(delivery, &[member]));
    row([&watch, &endpoint, &state, &attempts].map(|text| text.as_str()), WIDTHS)
}
