//! HTTP/1.1 requests and responses, written by hand because a real server cannot send broken ones.

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The longest body of a request, in bytes.
const MAX_BODY: usize = 1024 * 1024;
const MAX_HEADERS: usize = 64;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query, also if the client sent an absolute URL as to a proxy.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether the client wants the connection closed after the answer.
    pub(super) last: bool,
}

/// How a client learns where the body of an answer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Framing {
    /// By its announced length.
    #[default]
    Length,
    /// By the end of the connection: a cut body looks complete.
    Close,
    /// By the last chunk.
    Chunked,
}

/// An answer before it is sent; the framing headers are added later.
#[derive(Clone, Debug, Default)]
pub(super) struct Response {
    pub(super) status_code: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) framing: Framing,
    /// What the answer says, for the people who watch the log: a status word, an error code.
    pub(super) note: String,
}

/// Why there is no request to answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The connection ended.
    Gone,
    /// The request is not HTTP/1; it may be TLS.
    Malformed,
    /// The head is longer than 16 KiB or has more than 64 headers.
    HeadTooLarge,
    /// The body is longer than 1 MiB.
    BodyTooLarge,
    /// The body comes in chunks, which this server does not read.
    LengthRequired,
}

impl Request {
    /// Reads the next request. Data after it stays in `buffer`.
    pub(super) async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Request, Unreadable> {
        let (mut request, head_length) = loop {
            if let Some(parsed) = parse_head(buffer)? {
                break parsed;
            }
            if buffer.len() > MAX_HEAD {
                return Err(Unreadable::HeadTooLarge);
            }
            read_more(stream, buffer).await?;
        };
        let body_length = request.body_length()?;
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            let continued = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            continued.map_err(|_| Unreadable::Gone)?;
        }
        while buffer.len() < head_length + body_length {
            read_more(stream, buffer).await?;
        }
        request.body = buffer[head_length..head_length + body_length].to_vec();
        buffer.drain(..head_length + body_length);
        Ok(request)
    }

    /// The first header of this name, which is given in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The decoded parameters of the query, in their order.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters().into_iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    fn body_length(&self) -> Result<usize, Unreadable> {
        if self.header("transfer-encoding").is_some() {
            return Err(Unreadable::LengthRequired);
        }
        let Some(value) = self.header("content-length") else { return Ok(0) };
        let length: usize = value.trim().parse().map_err(|_| Unreadable::Malformed)?;
        if length > MAX_BODY { Err(Unreadable::BodyTooLarge) } else { Ok(length) }
    }
}

impl Response {
    pub(super) fn new(status_code: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Response { status_code, headers, body: body.into(), ..Response::default() }
    }

    pub(super) fn with_header(mut self, name: &str, value: impl Into<String>) -> Response {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn with_note(mut self, note: impl Into<String>) -> Response {
        self.note = note.into();
        self
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Sets a header, and removes others of the same name.
    pub(super) fn set_header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
    }

    /// The head as it goes on the wire, without the empty line at its end. It announces `body_length` bytes, if
    /// it announces a length.
    pub(super) fn head(&self, body_length: u64, last: bool) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status_code, reason(self.status_code));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // These codes have no body. With a length, clients would read the next answer as the body.
        if self.status_code != 204 && self.status_code != 304 {
            match self.framing {
                Framing::Length => head.push_str(&format!("content-length: {body_length}\r\n")),
                Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
                Framing::Close => {}
            }
        }
        if last {
            head.push_str("connection: close\r\n");
        }
        head
    }
}

impl Unreadable {
    /// The answer that goes out before the connection is closed.
    pub(super) fn response(&self) -> Option<Response> {
        let (status_code, text) = match self {
            Unreadable::Gone => return None,
            Unreadable::Malformed => (400, "this is a plain HTTP/1.1 server"),
            Unreadable::HeadTooLarge => (431, "the head of a request may have 16 KiB and 64 headers"),
            Unreadable::BodyTooLarge => (413, "the body of a request may have 1 MiB"),
            Unreadable::LengthRequired => (411, "the body of a request needs a content-length"),
        };
        Some(Response::new(status_code, "text/plain; charset=utf-8", text))
    }
}

fn parse_head(buffer: &[u8]) -> Result<Option<(Request, usize)>, Unreadable> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) if length > MAX_HEAD => return Err(Unreadable::HeadTooLarge),
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Unreadable::HeadTooLarge),
        Err(_) => return Err(Unreadable::Malformed),
    };
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: origin_form(parsed.path.unwrap_or_default()).to_owned(),
        headers,
        ..Request::default()
    };
    let connection = request.header("connection").unwrap_or_default().to_ascii_lowercase();
    request.last =
        connection.contains("close") || (parsed.version == Some(0) && !connection.contains("keep-alive"));
    Ok(Some((request, head_length)))
}

/// Path and query of a target that may be a whole URL.
fn origin_form(target: &str) -> &str {
    let Some(rest) = target.strip_prefix("http://") else { return target };
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Unreadable> {
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(Unreadable::Gone),
        Ok(_) => Ok(()),
    }
}

fn reason(status_code: u16) -> &'static str {
    match status_code {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unnamed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        assert!(parse_head(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap().is_none());
        let whole = b"GET http://x:1/a?b=c%20d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nrest";
        let (request, length) = parse_head(whole).unwrap().unwrap();
        assert_eq!(length, whole.len() - 4);
        assert_eq!((request.path(), request.parameter("b").as_deref()), ("/a", Some("c d")));
        assert!(request.last);
        assert_eq!(request.header("host"), Some("x"));
    }

    #[test]
    fn a_head_that_is_not_http_or_too_large_is_refused() {
        assert_eq!(parse_head(b"\x16\x03\x01\x02\x00\x01").unwrap_err(), Unreadable::Malformed);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(parse_head(many.as_bytes()).unwrap_err(), Unreadable::HeadTooLarge);
    }

    #[test]
    fn http_1_0_ends_the_connection_unless_it_asks_to_keep_it() {
        let last = |head: &[u8]| parse_head(head).unwrap().unwrap().0.last;
        assert!(last(b"GET / HTTP/1.0\r\n\r\n"));
        assert!(!last(b"GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n"));
        assert!(!last(b"GET / HTTP/1.1\r\n\r\n"));
    }
}
