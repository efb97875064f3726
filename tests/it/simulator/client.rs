//! An HTTP client by hand, which shows broken answers as they are.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use snyk_export::simulator::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The credential that [`Client::get`] sends.
pub(super) const TOKEN: &str = "77777777-2222-4333-8444-555555555555";

/// Far longer than anything here takes, even on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a simulator.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer that came whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status_code: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(simulator: &Simulator) -> Client {
        Client::try_connect(simulator.address()).await.unwrap()
    }

    pub(super) async fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Ok(Client { stream: TcpStream::connect(address).await?, buffer: Vec::new() })
    }

    /// A GET with a credential.
    pub(super) async fn get(&mut self, target: &str) -> Answer {
        self.try_get(target).await.unwrap()
    }

    pub(super) async fn try_get(&mut self, target: &str) -> io::Result<Answer> {
        self.ask("GET", target, &[("Authorization", &format!("token {TOKEN}"))], "").await
    }

    /// A GET without a credential.
    pub(super) async fn get_bare(&mut self, target: &str) -> Answer {
        self.get_with(target, &[]).await
    }

    pub(super) async fn get_with(&mut self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", target, headers, "").await.unwrap()
    }

    /// A POST of a JSON document with a credential.
    pub(super) async fn post(&mut self, target: &str, document: &Value) -> Answer {
        let credential = format!("token {TOKEN}");
        let headers = [("Authorization", credential.as_str()), ("Content-Type", "application/vnd.api+json")];
        self.ask("POST", target, &headers, &document.to_string()).await.unwrap()
    }

    /// Any request. An answer that ends too early is an `UnexpectedEof`.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nAccept: */*\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str(&format!("Host: {}\r\n", self.stream.peer_addr()?));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.stream.write_all(request.as_bytes()).await?;
        tokio::time::timeout(PATIENCE, self.receive()).await?
    }

    /// Whatever comes until the server closes the connection.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.buffer);
        soon(self.stream.read_to_end(&mut all)).await.unwrap();
        all
    }

    pub(super) async fn receive(&mut self) -> io::Result<Answer> {
        let head_length = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_length]).into_owned();
        let mut lines = head.lines();
        let status_line = lines.next().unwrap_or_default();
        let status_code = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer =
            Answer { status_code: status_code.ok_or(io::ErrorKind::InvalidData)?, headers, body: Vec::new() };
        let length: usize = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while self.buffer.len() < head_length + length {
            self.read_more().await?;
        }
        answer.body = self.buffer[head_length..head_length + length].to_vec();
        self.buffer.drain(..head_length + length);
        Ok(answer)
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The status word of an export.
    #[track_caller]
    pub(super) fn status(&self) -> String {
        self.json()["data"]["attributes"]["status"].as_str().unwrap_or_default().to_owned()
    }

    /// The code of the first error.
    #[track_caller]
    pub(super) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The outcome of something that must end, or a failed test if it does not.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// Waits until the simulator has a request that it never answers.
pub(super) async fn hanging(simulator: &Simulator) {
    let hangs = || simulator.exchanges().iter().any(|exchange| exchange.to_string().contains("[hang]"));
    let waiting = async {
        while !hangs() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(waiting).await;
}
