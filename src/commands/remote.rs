//! A client of the API of a running daemon, for `healthcheck`, `watches` and `deliveries`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{CommandError, Session, aside};
use crate::cli::DaemonArgs;
use crate::exit::ExitCode;
use crate::http::{self, Network, is_loopback, parse_url};
use crate::secret::Secret;
use crate::settings::daemon::{Reached, reached, token_of};
use crate::text::Text;
use crate::watch::outcome::Outcome;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes. A page has about 1 MiB.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// A daemon that is asked.
pub(super) struct Remote<'a> {
    session: &'a Session,
    base: String,
    token: Option<Secret>,
    client: reqwest::Client,
}

/// What it answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Where the settings say that the daemon is.
pub(super) async fn by_settings(session: &Session) -> Result<Reached, CommandError> {
    let (file, environment) = (session.settings_file.clone(), session.environment.clone());
    Ok(aside(&session.signals, move || reached(file.as_deref(), &environment)).await??)
}

/// The address at which this machine reaches a server that listens on `address`: for all addresses, loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback = match address.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
    };
    let ip = if address.ip().is_unspecified() { loopback } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

impl<'a> Remote<'a> {
    /// The daemon that the flags name, else the settings.
    pub(super) async fn find(args: &DaemonArgs, session: &'a Session) -> Result<Self, CommandError> {
        let Reached { listen, token, .. } = by_settings(session).await?;
        let url = match &args.url {
            Some(text) => checked(text, session)?,
            None => parse(&format!("http://{}", reachable(listen.first())))?,
        };
        let token = match args.api_token_file.clone() {
            Some(path) => Some(aside(&session.signals, move || token_of(&path)).await??),
            // A token of the settings is for their daemon.
            None if args.url.is_some() => None,
            None => token?,
        };
        let network = if is_loopback(&url) { Network::default() } else { session.settings.network()? };
        let client = http::client(&url, &network, |builder| builder)?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { session, base, token, client })
    }

    /// Sends one request. A refusal is an error with an exit code of its own.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, CommandError> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let asking = tokio::time::timeout(PATIENCE, answered(request));
        let answered =
            self.session.signals.unless_interrupted(asking).await.map_err(CommandError::Interrupted)?;
        let silent = || format!("no answer within {}", humantime::format_duration(PATIENCE));
        let (status, bytes) =
            answered.unwrap_or_else(|_| Err(silent())).map_err(|why| self.unreachable(&why))?;
        let body: Option<Value> =
            if bytes.is_empty() { Some(Value::Null) } else { serde_json::from_slice(&bytes).ok() };
        match body {
            Some(body) if (200..300).contains(&status) => Ok(Answer { status, body }),
            body => Err(self.refusal(status, body.as_ref())),
        }
    }

    /// Writes all items of a list as `line` says, a page at a time, under a title. Returns whether there are any.
    pub(super) async fn list(
        &self,
        path: &str,
        filter: &str,
        mut title: Option<String>,
        line: impl Fn(&Value) -> String,
    ) -> Result<bool, CommandError> {
        let mut after = String::new();
        loop {
            let path = format!("{path}?limit=1000{filter}{after}");
            let Answer { body, .. } = self.ask(Method::GET, &path, None).await?;
            let items = body["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            let Some(last) = items.last() else { return Ok(!after.is_empty()) };
            let text: String = title.take().into_iter().chain(items.iter().map(&line)).collect();
            self.session.console.data(text.as_bytes())?;
            let last = last["id"].as_str().filter(|_| body["next"].is_string());
            let Some(last) = last else { return Ok(true) };
            after = format!("&after={}", last.replace('%', "%25"));
        }
    }

    fn unreachable(&self, why: &str) -> CommandError {
        let base = &self.base;
        let message = format!(
            "no daemon answers at {base}: {why}; start it with `snyk-export watch`, or name another address by --config or --url"
        );
        CommandError::Refused(ExitCode::UNAVAILABLE, message)
    }

    fn refusal(&self, status: u16, body: Option<&Value>) -> CommandError {
        let first = body.map(|body| &body["errors"][0]);
        let said = |member: &str| first.and_then(|error| error[member].as_str()).map(Text::new);
        let detail =
            said("detail").unwrap_or_else(|| Text::new(&format!("it answered {status}, without a reason")));
        let is_known = said("code").is_some_and(|code| code.as_str() != "no-such-path");
        let base = &self.base;
        let (code, message) = match status {
            401 | 403 if self.token.is_none() => (
                ExitCode::of_end(Outcome::Unauthorized),
                format!(
                    "the daemon at {base} wants a token: {detail}; name its file by --api-token-file, or a settings file that names it by --config"
                ),
            ),
            401 | 403 => (
                ExitCode::of_end(Outcome::Unauthorized),
                format!("the daemon at {base} refuses the token: {detail}"),
            ),
            404 if is_known => {
                // The detail names a request of the API.
                let ours = "`snyk-export watches list` lists";
                let detail = detail.as_str().replace("GET /v1/watches lists", ours);
                (ExitCode::of_end(Outcome::NotFound), detail)
            }
            400..500 if is_known => (ExitCode::USAGE, detail.to_string()),
            500.. => (ExitCode::UNAVAILABLE, format!("the daemon at {base}: {detail}")),
            _ => (
                ExitCode::UNAVAILABLE,
                format!("{base} does not answer as a daemon of this version does: {detail}"),
            ),
        };
        CommandError::Refused(code, message)
    }
}

/// The status and the body of the answer.
async fn answered(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), String> {
    let failed = |error: &reqwest::Error| http::cut_off(error).problem.to_string();
    let mut response = request.send().await.map_err(|error| failed(&error))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err("its answer has more than 16 MiB".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status().as_u16(), body))
}

fn parse(text: &str) -> Result<Url, CommandError> {
    let wrong = || {
        CommandError::Usage(format!(
            "--url {}: expected a URL such as http://127.0.0.1:8686",
            Text::of_input(text)
        ))
    };
    let url = parse_url(text).map_err(|_| wrong())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if url.host().is_some() && is_plain { Ok(url) } else { Err(wrong()) }
}

/// The URL of a flag. A token must not go over plain http to other machines.
fn checked(text: &str, session: &Session) -> Result<Url, CommandError> {
    let text = text.trim();
    let url = parse(&if text.contains("://") { text.to_owned() } else { format!("http://{text}") })?;
    if url.scheme() == "http" && !is_loopback(&url) && !session.settings.allows_http() {
        return Err(CommandError::Usage(format!(
            "--url {}: others could read the token over plain http: use https, or --allow-http if nobody else can listen",
            Text::of_input(text)
        )));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        let rows = [
            ("127.0.0.1:8686", "127.0.0.1:8686"),
            ("0.0.0.0:8686", "127.0.0.1:8686"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.7:8686", "192.0.2.7:8686"),
        ];
        for (listen, asked) in rows {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
