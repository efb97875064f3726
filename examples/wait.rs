//! Waits for an export: `SNYK_TOKEN=… cargo run --example wait -- eu /groups/ID/jobs/export/ID`.

use std::error::Error;

use futures_util::StreamExt as _;
use snyk_export::{Client, Outcome, Policy, What, follow};

#[expect(clippy::print_stdout, reason = "an example speaks to the one who runs it")]
pub(crate) async fn wait(
    api: &str,
    token: &str,
    export: &str,
    http: Option<reqwest::Client>,
) -> Result<Option<Outcome>, Box<dyn Error>> {
    let client = Client::with_token(api.parse()?, token, http).await?;
    let mut events = follow(client, vec![export.parse()?], Policy::default());
    while let Some(event) = events.next().await {
        println!("{} {}", event.at, event.name());
        if let What::Finished(ending) = event.what {
            return Ok(Some(ending.outcome));
        }
    }
    Ok(None)
}

#[expect(clippy::disallowed_methods, reason = "the library reads no variable, but its caller may")]
#[expect(clippy::print_stdout, reason = "an example speaks to the one who runs it")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(api), Some(export)) = (args.next(), args.next()) else {
        return Err("usage: wait API EXPORT".into());
    };
    println!("{:?}", wait(&api, &std::env::var("SNYK_TOKEN")?, &export, None).await?);
    Ok(())
}
