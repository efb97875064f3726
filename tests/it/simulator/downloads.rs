//! Downloads, and how they end.

use std::time::Duration;

use snyk_export::simulator::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Client, PATIENCE};
use super::{link_of, results_path};

/// How long nothing comes from a server that hangs.
const SILENCE: Duration = Duration::from_millis(500);

/// No server is taken for one that hangs.
pub(super) const NEVER: usize = usize::MAX;

/// What one download brought, whatever became of it.
pub(super) struct Download {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    pub(super) ended: Ended,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The server closed the connection, with or without a reset.
    Closed,
    Reset,
    Silent,
}

/// Downloads from the byte `from` on, on a connection of its own, and takes all that comes. Once there are `hangs_after`
/// bytes, a server that sends nothing hangs; before, the machine may just be slow.
pub(super) async fn download(simulator: &Simulator, link: &str, from: usize, hangs_after: usize) -> Download {
    let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
    let range = if from > 0 { format!("Range: bytes={from}-\r\n") } else { String::new() };
    let host = simulator.address();
    let request = format!("GET {link} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{range}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let body = |all: &[u8]| all.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4);
    let ended = loop {
        let length = body(&all).map_or(0, |from| all.len() - from);
        let silence = if length >= hangs_after { SILENCE } else { PATIENCE };
        match timeout(silence, stream.read_buf(&mut all)).await {
            Err(_) => break Ended::Silent,
            Ok(Err(_)) => break Ended::Reset,
            Ok(Ok(0)) => break Ended::Closed,
            Ok(Ok(_)) => {}
        }
    };
    let end = body(&all).unwrap_or(all.len());
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    Download { head, body: all[end..].to_vec(), ended }
}

/// Downloads a file in the way of a good client: again and again, from where it stopped, with a new link where one
/// is refused.
pub(super) async fn persist(simulator: &Simulator, part: usize) -> Vec<u8> {
    let mut client = Client::connect(simulator).await;
    let mut fresh = async || {
        let document = client.get(&results_path()).await.json();
        let file = document["data"]["attributes"]["results"][part].clone();
        (link_of(&file), file["file_size"].as_u64().unwrap())
    };
    let (mut link, size) = fresh().await;
    let mut file = Vec::new();
    while (file.len() as u64) < size {
        let download = download(simulator, &link, file.len(), 0).await;
        match download.head.get(9..12) {
            Some("200" | "206") => file.extend_from_slice(&download.body),
            Some("403") => link = fresh().await.0,
            _ => {}
        }
    }
    file
}
