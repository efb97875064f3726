//! Sending an answer, whole or broken as its fault says.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::answer::{Fault, FaultKind};
use super::http::Response;

/// Between two bytes of a dripping body, if the scenario does not say.
const DRIP_PAUSE: Duration = Duration::from_millis(100);
/// The size of a body of blanks or of a gigantic header, if the scenario does not say.
const BULK_BYTES: u64 = 1024 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// What becomes of the connection when the answer is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    KeepOpen,
    Close,
}

/// Sends an answer. `last` says that the client wants the connection closed behind it.
///
/// # Errors
///
/// If the client went away, which may well be its right reaction to a fault.
pub(super) async fn send(
    stream: &mut TcpStream,
    response: &Response,
    fault: Option<&Fault>,
    last: bool,
) -> io::Result<Afterwards> {
    match fault {
        Some(fault) => break_off(stream, response, fault, last).await,
        None => {
            let mut message = response.head(response.body.len() as u64, last).into_bytes();
            message.extend_from_slice(b"\r\n");
            message.extend_from_slice(&response.body);
            stream.write_all(&message).await?;
            Ok(afterwards(last))
        }
    }
}

async fn break_off(
    stream: &mut TcpStream,
    response: &Response,
    fault: &Fault,
    last: bool,
) -> io::Result<Afterwards> {
    let length = response.body.len() as u64;
    let head = |length| response.head(length, last);
    match fault.kind {
        FaultKind::Reset => stream.set_zero_linger()?,
        FaultKind::Close => {}
        FaultKind::Hang => wait_until_gone(stream).await?,
        FaultKind::Junk => stream.write_all(b"\x00\xff\x1b[31mEHLO 220 *** \r\n\r\n{]").await?,
        FaultKind::Cut => {
            // Announce one byte at least, so that even an empty body is cut short.
            let sent = fault.bytes.unwrap_or(length / 2).min(length);
            stream.write_all(format!("{}\r\n", head(length.max(sent + 1))).as_bytes()).await?;
            let sent = usize::try_from(sent).unwrap_or(usize::MAX);
            stream.write_all(&response.body[..sent]).await?;
        }
        FaultKind::Drip => {
            stream.write_all(format!("{}\r\n", head(length)).as_bytes()).await?;
            drip(stream, &response.body, fault.pause.unwrap_or(DRIP_PAUSE)).await?;
            return Ok(afterwards(last));
        }
        FaultKind::Blanks => {
            let bytes = fault.bytes.unwrap_or(BULK_BYTES);
            stream.write_all(format!("{}\r\n", head(bytes)).as_bytes()).await?;
            fill(stream, b' ', bytes).await?;
            return Ok(afterwards(last));
        }
        FaultKind::Headers => {
            stream.write_all(format!("{}x-gigantic: ", head(length)).as_bytes()).await?;
            fill(stream, b'x', fault.bytes.unwrap_or(BULK_BYTES)).await?;
            stream.write_all(b"\r\n\r\n").await?;
            stream.write_all(&response.body).await?;
            return Ok(afterwards(last));
        }
    }
    Ok(Afterwards::Close)
}

fn afterwards(last: bool) -> Afterwards {
    if last { Afterwards::Close } else { Afterwards::KeepOpen }
}

/// Reads and forgets until the client closes the connection.
pub(super) async fn wait_until_gone(stream: &mut TcpStream) -> io::Result<()> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

async fn drip(stream: &mut TcpStream, body: &[u8], pause: Duration) -> io::Result<()> {
    for byte in body {
        stream.write_all(&[*byte]).await?;
        sleep(pause).await;
    }
    Ok(())
}

/// Sends `bytes` times the same byte, in chunks: it may be more than fits into memory.
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
