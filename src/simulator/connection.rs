//! Connections: one task each, one answer after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::api::{Api, Reply};
use super::exchange::{Exchange, Journal};
use super::http::Request;
use super::wire::{self, Afterwards};

/// After a refused connection (out of file descriptors, say): trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client whose request cannot be read may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Accepts connections for ever. Dropping the future ends them all.
pub(super) async fn accept(listener: TcpListener, api: Arc<Api>, journal: Arc<Journal>) {
    let mut connections = JoinSet::new();
    let mut number = 0_u64;
    loop {
        // Otherwise the set would keep every connection.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        number += 1;
        let (api, journal) = (Arc::clone(&api), Arc::clone(&journal));
        connections.spawn(async move {
            // An error means that the client is gone.
            let _: io::Result<()> = serve(stream, number, &api, &journal).await;
        });
    }
}

async fn serve(mut stream: TcpStream, number: u64, api: &Api, journal: &Journal) -> io::Result<()> {
    // The pieces of a slow body must not be merged, and a long body must not wait for acknowledgements.
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let request = match Request::read(&mut stream, &mut buffer).await {
            Ok(request) => request,
            Err(unreadable) => {
                if let Some(response) = unreadable.response() {
                    wire::send(&mut stream, &response, None, true).await?;
                    stream.shutdown().await?;
                    // Closing a connection with unread data resets it, and the client would lose the answer.
                    let _: Result<_, _> = timeout(FAREWELL, wire::wait_until_gone(&mut stream)).await;
                }
                return Ok(());
            }
        };
        let at = api.elapsed();
        let reply: Reply = api.answer(&request, at);
        journal.record(Exchange::of(&request, &reply, number, at));
        // Even a sleep of zero takes a tick of the timer, a millisecond.
        if !reply.delay.is_zero() {
            sleep(reply.delay).await;
        }
        let afterwards = wire::send(&mut stream, &reply.response, reply.fault.as_ref(), request.last).await?;
        if afterwards == Afterwards::Close {
            return Ok(());
        }
    }
}
