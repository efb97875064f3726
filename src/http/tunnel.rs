//! Why a proxy did not open a tunnel: the HTTP client says only that it did not.

use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{Network, Proxy};

/// How long to wait for a proxy: it has just answered the same request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of an answer that are read: more than any first line.
const MAX_LINE: u64 = 1024;

/// The answer of a proxy to a request for a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// This status code.
    Code(u16),
    /// Something that is not HTTP.
    NoHttp,
}

/// Requests a tunnel to the host of `url` and closes it at once. Returns `None` if there is no answer.
pub(super) async fn ask(proxy: &Proxy, url: &Url, network: &Network) -> Option<Answered> {
    tokio::time::timeout(PATIENCE, connect_and_ask(proxy, url, network)).await.ok().flatten()
}

async fn connect_and_ask(proxy: &Proxy, url: &Url, network: &Network) -> Option<Answered> {
    let host = proxy.url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, proxy.url.port_or_known_default()?)).await.ok()?;
    if proxy.url.scheme() != "https" {
        return ask_over(stream, proxy, url).await;
    }
    let tls = TlsConnector::from(std::sync::Arc::new(network.trust.config().ok()?));
    let name = host.to_owned().try_into().ok()?;
    ask_over(tls.connect(name, stream).await.ok()?, proxy, url).await
}

async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    proxy: &Proxy,
    url: &Url,
) -> Option<Answered> {
    let place = place(url);
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n").into_bytes();
    if let Some(credentials) = credentials(proxy, url) {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(&credentials);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.ok()?;
    let mut line = Vec::new();
    let mut answer = stream.take(MAX_LINE);
    while !line.contains(&b'\n') && answer.read_buf(&mut line).await.ok()? > 0 {}
    (!line.is_empty()).then(|| status(&line).map_or(Answered::NoHttp, Answered::Code))
}

/// The host and port that a tunnel leads to.
pub(super) fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// The credentials for the proxy, as the client sends them.
fn credentials(proxy: &Proxy, url: &Url) -> Option<Vec<u8>> {
    let matcher = Matcher::builder().all(proxy.url.as_str()).build();
    let intercept = matcher.intercept(&url.origin().ascii_serialization().parse().ok()?)?;
    intercept.basic_auth().map(|credentials| credentials.as_bytes().to_vec())
}

/// The code in `HTTP/1.1 403 Forbidden`.
fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.split(|byte| *byte == b'\n').next()?).ok()?;
    let (_, rest) = line.strip_prefix("HTTP/")?.split_once(' ')?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_holds_the_code() {
        let rows: [(&[u8], _); 6] = [
            (b"HTTP/1.1 403 Forbidden\r\nx: y\r\n", Some(403)),
            (b"HTTP/1.0 502\r\n", Some(502)),
            (b"HTTP/1.1 2\r\n", None),
            (b"\x15\x03\x01\x00\x02\x02\x16", None),
            (b"SSH-2.0-x\r\n", None),
            (b"", None),
        ];
        for (line, code) in rows {
            assert_eq!(status(line), code, "{line:?}");
        }
    }

    #[test]
    fn the_credentials_are_decoded_as_the_client_decodes_them() {
        let proxy = |text: &str| Proxy::new(Url::parse(text).unwrap(), "HTTPS_PROXY");
        let url = Url::parse("https://api.snyk.io/rest").unwrap();
        let sent = |text: &str| credentials(&proxy(text), &url).map(|sent| String::from_utf8(sent).unwrap());
        // user:p@ss
        assert_eq!(sent("http://user:p%40ss@p.example:3128").as_deref(), Some("Basic dXNlcjpwQHNz"));
        assert_eq!(sent("http://p.example:3128"), None);
        assert_eq!(place(&url), "api.snyk.io:443");
    }
}
