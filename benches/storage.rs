//! Exports of any size on loopback: an API that lists their parts, and storage that serves them.
//!
//! The server shares the processors with the download, and must not slow it down: it has a thread for each connection, and sends
//! bodies from the page cache to the socket without a copy (sendfile).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};
use uuid::Uuid;

pub(crate) const MIB: u64 = 1024 * 1024;

/// The size of the block that is served repeatedly: larger than any cache of a processor.
const BLOCK: u64 = 128 * MIB;

/// The length of each row, with its line break.
const ROW: u64 = 128;

const HEADER: &str = "ISSUE_URL,ISSUE_SEVERITY,PROBLEM_TITLE";

/// A finished export with `parts` parts of `part_bytes` bytes. Its id encodes both, so that the server needs no list.
#[derive(Clone, Copy)]
pub(crate) struct Export {
    pub(crate) parts: u64,
    pub(crate) part_bytes: u64,
}

impl Export {
    /// The path that names it on the command line.
    pub(crate) fn path(self) -> String {
        let id = Uuid::from_u64_pair(self.parts, self.part_bytes);
        format!("/groups/11111111-2222-4333-8444-555555555555/jobs/export/{id}")
    }

    /// Its name in tables.
    pub(crate) fn name(self) -> String {
        format!("{} × {} MiB", self.parts, self.part_bytes / MIB)
    }

    fn of_id(id: &str) -> Option<Self> {
        let (parts, part_bytes) = Uuid::parse_str(id).ok()?.as_u64_pair();
        Some(Self { parts, part_bytes })
    }

    /// The links to its parts.
    fn links(self, storage: &str) -> impl Iterator<Item = String> {
        (1..=self.parts).map(move |n| format!("{storage}/storage/{}/{n}", self.part_bytes))
    }

    /// The results document.
    fn document(self, storage: &str) -> String {
        let (size, rows) = (self.part_bytes, self.part_bytes / ROW - 1);
        let part = |url| format!(r#"{{"url":"{url}","file_size":{size},"row_count":{rows}}}"#);
        let results: Vec<String> = self.links(storage).map(part).collect();
        format!(
            r#"{{"data":{{"type":"export","id":"{}","attributes":{{"status":"FINISHED","row_count":{},"results":[{}]}}}}}}"#,
            Uuid::from_u64_pair(self.parts, self.part_bytes),
            rows * self.parts,
            results.join(","),
        )
    }
}

/// The server. It runs until the process ends.
pub(crate) struct Storage {
    address: SocketAddr,
    content: Arc<Content>,
}

impl Storage {
    pub(crate) fn start() -> Self {
        let content = Arc::new(Content::write());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::clone(&content);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let content = Arc::clone(&served);
                // The client reports a connection that ends.
                std::thread::spawn(move || serve(socket, &content, &format!("http://{address}")));
            }
        });
        Self { address, content }
    }

    /// The base URL of the API and of storage.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The links to the parts of an export.
    pub(crate) fn links(&self, export: Export) -> Vec<String> {
        export.links(&self.url()).collect()
    }

    /// The SHA-256 of each part of an export.
    pub(crate) fn sha256(&self, export: Export) -> String {
        self.content.sha256(export.part_bytes).expect("a part")
    }
}

/// The content of parts, in a file without a name, which is removed when the process ends.
struct Content {
    file: File,
    /// The checksum of a part of each size, as Google's storage writes it. It is computed when a part is first requested.
    hashes: Mutex<BTreeMap<u64, String>>,
}

impl Content {
    fn write() -> Self {
        let mut file = tempfile::tempfile().expect("a file");
        let mut text = String::with_capacity(usize::try_from(BLOCK).expect("a small block"));
        let width = usize::try_from(ROW - 1).expect("a short row");
        text += &format!("{HEADER:<width$}\n");
        for n in 1..BLOCK / ROW {
            let title = n.wrapping_mul(0x9e37_79b9_7f4a_7c15); // no row is like another
            let row = format!("https://app.snyk.io/{n},high,\"Issue {title:016x}\"");
            text += &format!("{row:<width$}\n");
        }
        file.write_all(text.as_bytes()).expect("a disk");
        Self { file, hashes: Mutex::default() }
    }

    fn hash(&self, length: u64) -> Option<String> {
        let mut hashes = self.hashes.lock().ok()?;
        if let Some(hash) = hashes.get(&length) {
            return Some(hash.clone());
        }
        let mut sum = 0;
        self.read(length, |bytes| sum = crc32c::crc32c_append(sum, bytes)).ok()?;
        let hash = format!("crc32c={}", STANDARD.encode(u32::to_be_bytes(sum)));
        hashes.insert(length, hash.clone());
        Some(hash)
    }

    /// Reads a part of `length` bytes.
    fn read(&self, length: u64, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        for (mut from, mut left) in Self::stretches(0, length) {
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                let read = self.file.read_at(&mut buffer[..most], from)?;
                take(&buffer[..read]);
                from += read as u64;
                left -= read as u64;
            }
        }
        Ok(())
    }

    /// The ranges of the file (start and length) that make up `length` bytes of a part from `offset` on.
    fn stretches(offset: u64, length: u64) -> impl Iterator<Item = (u64, u64)> {
        let end = offset + length;
        std::iter::successors(Some(offset), |offset| Some(offset - offset % BLOCK + BLOCK))
            .take_while(move |offset| *offset < end)
            .map(move |offset| (offset % BLOCK, (BLOCK - offset % BLOCK).min(end - offset)))
    }

    fn send(&self, offset: u64, length: u64, socket: &TcpStream) -> std::io::Result<()> {
        for (mut from, mut left) in Self::stretches(offset, length) {
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                let sent = rustix::fs::sendfile(socket, &self.file, Some(&mut from), most)?;
                left -= sent as u64;
            }
        }
        Ok(())
    }

    fn sha256(&self, length: u64) -> std::io::Result<String> {
        let mut hasher = Hasher::new();
        self.read(length, |bytes| hasher.0.update(bytes))?;
        Ok(hasher.finish())
    }
}

/// Answers the requests of one connection until it ends.
fn serve(socket: TcpStream, content: &Content, url: &str) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    loop {
        let request = Request::read(&mut reader)?;
        answer(&request, &socket, content, url)?;
    }
}

fn answer(request: &Request, mut socket: &TcpStream, content: &Content, url: &str) -> Option<()> {
    let segments: Vec<&str> = request.path.split('/').skip(1).collect();
    match segments[..] {
        ["rest", "groups", _, "jobs", "export", id] | ["rest", "groups", _, "export", id] => {
            let document = Export::of_id(id)?.document(url);
            let head = head("200 OK", "application/vnd.api+json", document.len() as u64, "");
            socket.write_all((head + &document).as_bytes()).ok()
        }
        ["storage", size, _] => {
            let size: u64 = size.parse().ok()?;
            let (start, end) = request.range.unwrap_or((0, size - 1));
            let length = end.min(size - 1).checked_sub(start)? + 1;
            let hash = content.hash(size)?;
            let more = format!("etag: \"{size}\"\r\naccept-ranges: bytes\r\nx-goog-hash: {hash}\r\n");
            let head = match request.range {
                None => head("200 OK", "text/csv", length, &more),
                Some(_) => {
                    let range = format!("content-range: bytes {start}-{}/{size}\r\n", start + length - 1);
                    head("206 Partial Content", "text/csv", length, &(more + &range))
                }
            };
            socket.write_all(head.as_bytes()).ok()?;
            content.send(start, length, socket).ok()
        }
        _ => socket.write_all(head("404 Not Found", "text/plain", 0, "").as_bytes()).ok(),
    }
}

fn head(status: &str, kind: &str, length: u64, more: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{more}\r\n")
}

/// A request.
struct Request {
    path: String,
    /// The first and the last byte of the requested range.
    range: Option<(u64, u64)>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut lines = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let first = lines.next()?;
        let target = first.split(' ').nth(1)?;
        let path = target.split('?').next()?.to_owned();
        let ranges = lines.filter_map(|line| range(&line));
        Some(Self { path, range: ranges.last() })
    }
}

/// The range that a header line requests.
fn range(line: &str) -> Option<(u64, u64)> {
    let (name, value) = line.split_once(':')?;
    let (start, end) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    let end = if end.is_empty() { u64::MAX } else { end.parse().ok()? };
    name.eq_ignore_ascii_case("range").then_some((start.parse().ok()?, end))
}

/// Computes the SHA-256 of what is written to it.
pub(crate) struct Hasher(Context);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// The digest in hexadecimal.
    pub(crate) fn finish(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
