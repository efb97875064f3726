//! Connections: how they are taken, how many, and how long they may keep us waiting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::limits;

/// How long to leave a system alone that has no connection to give, as when it is out of file descriptors.
const BREATHER: Duration = Duration::from_millis(500);

/// Answers what comes in on `listener` until `stop` is done, and then what has come in before.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (stream, permit) = accept(&listener, &room) => {
                connections.spawn(answer(stream, router.clone(), stopped.clone(), permit));
            }
        }
    }
    drop((listener, stopping));
    while connections.join_next().await.is_some() {}
}

/// The next connection for which there is room. Those for which there is none wait in the system's queue.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .unwrap_or_else(|_| unreachable!("nobody closes the semaphore"));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            // The client was faster than we were.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(error.title = %error, "failed to accept a connection, trying again");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

async fn answer(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<()>,
    permit: OwnedSemaphorePermit,
) {
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::ARRIVAL)
        .max_buf_size(limits::HEAD)
        .serve_connection(TokioIo::new(Taken::new(stream)), TowerToHyperService::new(router));
    tokio::pin!(connection);
    // How a connection ends is its client's affair: what broke off is known where it was worked on.
    tokio::select! {
        _ = connection.as_mut() => {}
        // The sender is gone: that is the sign.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    drop(permit);
}

/// A connection that breaks when its client takes nothing of what is sent to it for [`limits::STALL`].
struct Taken {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Taken {
    const fn new(stream: TcpStream) -> Self {
        Self { stream, stalled: None }
    }

    /// Lets `sent` through, unless nothing could be sent for too long.
    fn within_limit<T>(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::STALL)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Taken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Taken {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within_limit(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.within_limit(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::clock::Clock;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut taken = Taken::new(listener.accept().await.unwrap().0);
        let clock = Clock::start();
        let start = clock.now();
        let error = loop {
            if let Err(error) = taken.write_all(&[0; 65536]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let waited = clock.now().since(start);
        assert!((limits::STALL..2 * limits::STALL).contains(&waited), "{waited:?}");
        drop(client);
    }
}
