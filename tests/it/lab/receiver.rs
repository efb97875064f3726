//! A receiver of notifications with scripted answers: plain HTTP/1.1 in its own thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

use super::Watched;

/// A notification that was received.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// The path and the query.
    pub(crate) target: String,
    /// The headers, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The status of the answer. `None` if the connection was cut, or before the answer.
    pub(crate) answered: Option<u16>,
}

impl Notice {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Listens on loopback for as long as the test runs.
pub(crate) struct Receiver {
    address: SocketAddr,
    notices: Watched<Vec<Notice>>,
}

impl Receiver {
    /// `answer` returns the status for the n-th attempt of a notification, counted from 0. `None` cuts the connection.
    pub(crate) fn start(answer: impl Fn(usize) -> Option<u16> + Send + Sync + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let notices: Watched<Vec<Notice>> = Watched::default();
        let (kept, answer) = (notices.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (kept.clone(), Arc::clone(&answer));
                thread::spawn(move || converse(stream, &kept, &*answer));
            }
        });
        Receiver { address, notices }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Waits until the notices are as wanted.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&[Notice]) -> bool) -> Vec<Notice> {
        self.notices.until(|notices| wanted(notices))
    }
}

/// Reads one request after the other until the connection ends.
fn converse(stream: TcpStream, kept: &Watched<Vec<Notice>>, answer: &dyn Fn(usize) -> Option<u16>) {
    let mut reader = BufReader::new(stream);
    while let Some(notice) = read(&mut reader) {
        let (mut at, mut times) = (0, 0);
        kept.change(|notices| {
            let is_same = |other: &&Notice| other.header("webhook-id") == notice.header("webhook-id");
            (at, times) = (notices.len(), notices.iter().filter(is_same).count());
            notices.push(notice);
        });
        // This may block.
        let answered = answer(times);
        kept.change(|notices| notices[at].answered = answered);
        let Some(code) = answered else { return };
        let reply = format!("HTTP/1.1 {code} As told\r\ncontent-length: 0\r\n\r\n");
        if reader.get_mut().write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Notice> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Notice { target, headers, body: String::from_utf8(body).ok()?, answered: None })
}
