//! A limit on how long a client may take to receive what is sent to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use super::limits;
use super::places::Place;

/// Fails if the client receives nothing for [`limits::STALL`], or does not receive a whole answer within [`limits::TAKE`]. It
/// tells the connection's place when the client stalls, and when everything is sent.
pub(super) struct SendTimeout<'a, W> {
    writer: W,
    place: &'a Place,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs while a part of an answer waits to be sent.
    late: Option<Pin<Box<Sleep>>>,
}

impl<'a, W> SendTimeout<'a, W> {
    pub(super) const fn new(writer: W, place: &'a Place) -> Self {
        Self { writer, place, stalled: None, late: None }
    }

    /// Returns `sent`, or a timeout if nothing could be sent for too long.
    fn within_limit<T>(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            if self.stalled.take().is_some() {
                self.place.stalls(false);
            }
            return sent;
        }
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::TAKE)));
        if late.as_mut().poll(context).is_pending() {
            let stalled = self.stalled.get_or_insert_with(|| {
                self.place.stalls(true);
                Box::pin(tokio::time::sleep(limits::STALL))
            });
            ready!(stalled.as_mut().poll(context));
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SendTimeout<'_, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.writer).poll_write(context, bytes);
        self.within_limit(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.writer).poll_write_vectored(context, bytes);
        self.within_limit(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    /// Is called when everything is sent that was ready.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.late = None;
        self.place.sent();
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::clock::Clock;
    use crate::moment::Moment;
    use crate::server::places::Places;

    fn place() -> Place {
        let places = Arc::new(Places::default());
        let (place, _) = places.take([127, 0, 0, 1].into(), Moment::default()).unwrap();
        place
    }

    /// Sends until that fails, and returns how long it took.
    async fn given_up_after(mut client: SendTimeout<'_, DuplexStream>) -> Duration {
        let clock = Clock::start();
        let start = clock.now();
        let error = loop {
            if let Err(error) = client.write_all(&[0; 4096]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        clock.now().since(start)
    }

    // Not with sockets: a paused clock does not wait for them.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_receives_nothing_times_out() {
        let (place, (_client, ours)) = (place(), duplex(4096));
        let waited = given_up_after(SendTimeout::new(ours, &place)).await;
        assert!((limits::STALL..2 * limits::STALL).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_receives_a_little_now_and_then_times_out_later() {
        let (place, (mut client, ours)) = (place(), duplex(4096));
        let taking = tokio::spawn(async move {
            while client.read_exact(&mut [0; 1024]).await.is_ok() {
                tokio::time::sleep(limits::STALL / 3).await;
            }
        });
        let waited = given_up_after(SendTimeout::new(ours, &place)).await;
        assert!((limits::TAKE..limits::TAKE + limits::STALL).contains(&waited), "{waited:?}");
        taking.abort();
    }
}
