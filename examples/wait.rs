//! Waits for an export: `SNYK_TOKEN=… cargo run --example wait -- eu /groups/ID/jobs/export/ID`.

use std::error::Error;

use futures_util::StreamExt as _;
use snyk_export::{Client, Outcome, Policy, What, follow};

async fn wait(api: &str, token: &str, export: &str) -> Result<Option<Outcome>, Box<dyn Error>> {
    let client = Client::with_token(api.parse()?, token, None).await?;
    let mut events = follow(client, vec![export.parse()?], Policy::default());
    let mut outcome = None;
    while let Some(event) = events.next().await {
        println!("{}", event.name());
        if let What::Finished(ending) = event.what {
            outcome = Some(ending.outcome);
        }
    }
    Ok(outcome)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(api), Some(export)) = (args.next(), args.next()) else {
        return Err("usage: wait API EXPORT".into());
    };
    println!("{:?}", wait(&api, &std::env::var("SNYK_TOKEN")?, &export).await?);
    Ok(())
}
