//! A server that sends back what it was sent: as the API, as the token endpoint, as storage and as a receiver, in whichever
//! encoding its path names.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::encodings::ENCODINGS;
use crate::lab::Watched;

/// How an answer repeats a secret; the status code, and what is around it.
pub(super) const PLACES: [&str; 10] = [
    "status-word",
    "detail",
    "title",
    "code",
    "html",
    "plain",
    "nested",
    "request-id",
    "location",
    "excerpt",
];

/// What the API asks of a client: who has no token gets one, and the first of each is refused.
pub(super) struct Echo {
    address: SocketAddr,
    /// The bodies of notifications.
    pub(super) told: Watched<Vec<String>>,
}

struct Request {
    method: String,
    path: String,
    credential: String,
    body: String,
}

impl Echo {
    pub(super) fn start() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told: Watched<Vec<String>> = Watched::default();
        let kept = told.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream, address, &kept));
            }
        });
        Echo { address, told }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The id of an export whose answers repeat a secret in this place and encoding.
pub(super) fn export_id(place: usize, encoding: usize) -> String {
    format!("7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e{place:02}{encoding:02}00")
}

fn serve(mut stream: TcpStream, address: SocketAddr, told: &Watched<Vec<String>>) {
    let Some(request) = read(&mut stream) else { return };
    let head_and_body = answer(&request, address, told);
    // Who asked may have had enough.
    let _ = stream.write_all(head_and_body.as_bytes());
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut credential, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => credential = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, credential, body: String::from_utf8(body).ok()? })
}

fn answer(request: &Request, address: SocketAddr, told: &Watched<Vec<String>>) -> String {
    let Request { method, path, credential, body } = request;
    let token = credential.split_once(' ').map_or("", |(_, token)| token);
    if path.starts_with("/hook/") {
        let mut count = 0;
        told.change(|told| {
            told.push(body.clone());
            count = told.len();
        });
        // Some of them are never told again, and why is kept.
        let (_, encode) = ENCODINGS[count % ENCODINGS.len()];
        let said = format!("no {} for {credential}, {}", encode(path), encode(credential));
        return if count.is_multiple_of(3) {
            reply("410 Gone", "", &said)
        } else {
            reply("204 No Content", "", "")
        };
    }
    if let Some(rest) = path.strip_prefix("/storage/") {
        let (index, signature) = rest.split_once("?X-Goog-Signature=").unwrap();
        let (_, encode) = ENCODINGS[index.parse::<usize>().unwrap()];
        let xml = format!("<Error><Code>AccessDenied</Code><Message>{}</Message></Error>", encode(signature));
        return reply("403 Forbidden", "content-type: application/xml\r\n", &xml);
    }
    if path.contains("/oauth2/token") {
        return exchange(path, body);
    }
    if path.contains("/renewing/") && token.starts_with("first") {
        return reply("401 Unauthorized", "", r#"{"errors":[{"status":"401"}]}"#);
    }
    assert_eq!(method, "GET");
    if path.contains("/files/") {
        let link =
            |index| format!("\"http://{address}/storage/{index}?X-Goog-Signature={}\"", super::SIGNATURE);
        let links: Vec<String> = (0..ENCODINGS.len()).map(link).collect();
        let status =
            format!(r#"{{"data":{{"attributes":{{"status":"FINISHED","results":[{}]}}}}}}"#, links.join(","));
        return reply("200 OK", "", &status);
    }
    let id = path.split(['?', '/']).find(|part| part.starts_with("7f2c1a9e-3b4d")).unwrap_or_default();
    let digits =
        |from: usize| id.get(from..from + 2).and_then(|digits| digits.parse::<usize>().ok()).unwrap();
    let (_, encode) = ENCODINGS[digits(32)];
    // Of a client that has renewed its token, the one before.
    let secret = if path.contains("/renewing/") { super::FIRST_ACCESS_TOKEN } else { token };
    echo(PLACES[digits(30)], &encode(secret))
}

/// The answer of the token endpoint: it repeats the client's secret, or gives one token after the other.
fn exchange(path: &str, body: &str) -> String {
    if path.starts_with("/renewing/") {
        static GIVEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let is_first = GIVEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let token = if is_first { super::FIRST_ACCESS_TOKEN } else { super::SECOND_ACCESS_TOKEN };
        return reply("200 OK", "", &format!(r#"{{"access_token":"{token}","expires_in":3600}}"#));
    }
    let index: usize =
        path.split('/').nth(1).and_then(|word| word.strip_prefix("client")?.parse().ok()).unwrap();
    let form = url::form_urlencoded::parse(body.as_bytes());
    let secret = form.into_owned().find(|(name, _)| name == "client_secret").unwrap().1;
    let said = ENCODINGS[index].1(&secret);
    reply("400 Bad Request", "", &format!(r#"{{"error":"invalid_client","error_description":"got {said}"}}"#))
}

fn echo(place: &str, said: &str) -> String {
    let error = |member: &str| format!(r#"{{"errors":[{{"status":"400","{member}":"x {said} y"}}]}}"#);
    // What is not JSON as it is gets a form that is.
    let fits = serde_json::from_str::<serde_json::Value>(&error("detail")).is_ok();
    let quoted = if fits {
        said.to_owned()
    } else {
        serde_json::to_string(said).unwrap().trim_matches('"').to_owned()
    };
    let error = |member: &str| format!(r#"{{"errors":[{{"status":"400","{member}":"x {quoted} y"}}]}}"#);
    match place {
        "status-word" => {
            reply("200 OK", "", &format!(r#"{{"data":{{"attributes":{{"status":"ODD {quoted}"}}}}}}"#))
        }
        "detail" | "title" | "code" => reply("400 Bad Request", "", &error(place)),
        "html" => reply(
            "400 Bad Request",
            "snyk-request-id: 1\r\n",
            &format!("<!DOCTYPE html><html><title>no {said}</title>"),
        ),
        "plain" => reply("400 Bad Request", "snyk-request-id: 1\r\n", &format!("{}{said}", " ".repeat(4090))),
        "nested" => {
            let detail = format!(r#"{{"headers":{{"Authorization":"token {quoted}"}}}}"#);
            reply("400 Bad Request", "", &format!(r#"{{"errors":[{{"status":"400","detail":{detail}}}]}}"#))
        }
        "request-id" => {
            reply("400 Bad Request", &format!("snyk-request-id: x {}\r\n", header(said)), &error("x"))
        }
        "location" => {
            let is_host = said.chars().all(|char| char.is_ascii_alphanumeric() || "-._~".contains(char));
            let host = if is_host { said } else { "elsewhere" };
            reply("302 Found", &format!("location: https://{host}.evil.example/{}\r\n", header(said)), "")
        }
        _ => reply("200 OK", "content-type: text/plain\r\n", &format!("you sent {said}")),
    }
}

fn header(said: &str) -> String {
    said.chars().filter(|char| !char.is_control() && char.is_ascii()).collect()
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
}
