//! Sends an answer, complete or with its fault.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::answer::{Fault, FaultKind};
use super::http::{Framing, Response};

/// Before the next bytes of a dripping body, if the scenario does not say.
const DRIP_PAUSE: Duration = Duration::from_millis(100);
/// The size of a body of blanks or of a gigantic header, if the scenario does not say.
const BULK_BYTES: u64 = 1024 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// What happens to the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    KeepOpen,
    Close,
}

/// Sends an answer. `last`: the client wants the connection closed after it.
///
/// # Errors
///
/// If the client has closed the connection, which may be the right reaction to a fault.
pub(super) async fn send(
    stream: &mut TcpStream,
    response: &Response,
    fault: Option<&Fault>,
    last: bool,
) -> io::Result<Afterwards> {
    // Without a length or chunks, the body ends with the connection.
    let last = last || response.framing == Framing::Close;
    match fault {
        Some(fault) => break_off(stream, response, fault, last).await,
        None => {
            stream.write_all(&whole(response, last)).await?;
            Ok(afterwards(last))
        }
    }
}

/// All of an answer, in one piece.
fn whole(response: &Response, last: bool) -> Vec<u8> {
    let mut message = opening(response, response.body.len() as u64, last).into_bytes();
    message.extend_from_slice(&response.body);
    message.extend_from_slice(closing(response, response.body.len() as u64));
    message
}

/// What comes before the body: the head, and the size of its only chunk where it comes in chunks.
fn opening(response: &Response, length: u64, last: bool) -> String {
    let chunk = if response.framing == Framing::Chunked && length > 0 {
        format!("{length:x}\r\n")
    } else {
        String::new()
    };
    format!("{}\r\n{chunk}", response.head(length, last))
}

/// What comes after the body.
fn closing(response: &Response, length: u64) -> &'static [u8] {
    match response.framing {
        Framing::Length | Framing::Close => b"",
        Framing::Chunked if length > 0 => b"\r\n0\r\n\r\n",
        Framing::Chunked => b"0\r\n\r\n",
    }
}

async fn break_off(
    stream: &mut TcpStream,
    response: &Response,
    fault: &Fault,
    last: bool,
) -> io::Result<Afterwards> {
    let length = response.body.len() as u64;
    match fault.kind {
        FaultKind::Reset => {
            begin(stream, response, fault, last).await?;
            stream.set_zero_linger()?;
        }
        FaultKind::Close => {}
        FaultKind::Hang => {
            begin(stream, response, fault, last).await?;
            wait_until_gone(stream).await?;
        }
        FaultKind::Junk => stream.write_all(b"\x00\xff\x1b[31mEHLO 220 *** \r\n\r\n{]").await?,
        FaultKind::Cut => cut(stream, response, fault.bytes.unwrap_or(length / 2), last).await?,
        FaultKind::Drip => {
            stream.write_all(opening(response, length, last).as_bytes()).await?;
            drip(stream, &response.body, fault).await?;
            stream.write_all(closing(response, length)).await?;
            return Ok(afterwards(last));
        }
        FaultKind::Blanks => {
            let bytes = fault.bytes.unwrap_or(BULK_BYTES);
            stream.write_all(opening(response, bytes, last).as_bytes()).await?;
            fill(stream, b' ', bytes).await?;
            stream.write_all(closing(response, bytes)).await?;
            return Ok(afterwards(last));
        }
        FaultKind::Headers => {
            stream.write_all(format!("{}x-gigantic: ", response.head(length, last)).as_bytes()).await?;
            fill(stream, b'x', fault.bytes.unwrap_or(BULK_BYTES)).await?;
            // The rest of a whole answer, from the end of its last header on.
            let rest = &whole(response, last)[response.head(length, last).len()..];
            stream.write_all(b"\r\n").await?;
            stream.write_all(rest).await?;
            return Ok(afterwards(last));
        }
    }
    Ok(Afterwards::Close)
}

/// Sends the first `bytes` of the body, if the scenario wants the fault to strike as late as that.
async fn begin(stream: &mut TcpStream, response: &Response, fault: &Fault, last: bool) -> io::Result<()> {
    let Some(bytes) = fault.bytes else { return Ok(()) };
    stream.write_all(opening(response, response.body.len() as u64, last).as_bytes()).await?;
    stream.write_all(first(&response.body, bytes)).await
}

/// Sends the first `bytes` of the body. One that is not longer than that is not cut, only the connection ends.
async fn cut(stream: &mut TcpStream, response: &Response, bytes: u64, last: bool) -> io::Result<()> {
    let length = response.body.len() as u64;
    if length > 0 && bytes >= length {
        return stream.write_all(&whole(response, last)).await;
    }
    // One byte at least is announced, so that even an empty body is cut short.
    stream.write_all(opening(response, length.max(1), last).as_bytes()).await?;
    stream.write_all(first(&response.body, bytes)).await
}

fn first(body: &[u8], bytes: u64) -> &[u8] {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    &body[..bytes.min(body.len())]
}

fn afterwards(last: bool) -> Afterwards {
    if last { Afterwards::Close } else { Afterwards::KeepOpen }
}

/// Reads and drops data until the client closes the connection.
pub(super) async fn wait_until_gone(stream: &mut TcpStream) -> io::Result<()> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

async fn drip(stream: &mut TcpStream, body: &[u8], fault: &Fault) -> io::Result<()> {
    let at_a_time = usize::try_from(fault.bytes.unwrap_or(1).max(1)).unwrap_or(usize::MAX);
    for bytes in body.chunks(at_a_time) {
        stream.write_all(bytes).await?;
        sleep(fault.pause.unwrap_or(DRIP_PAUSE)).await;
    }
    Ok(())
}

/// Sends the same byte `bytes` times, in chunks: it may not fit into memory.
async fn fill(stream: &mut TcpStream, byte: u8, bytes: u64) -> io::Result<()> {
    let chunk = vec![byte; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        stream.write_all(&chunk[..now]).await?;
        left -= now as u64;
    }
    Ok(())
}
