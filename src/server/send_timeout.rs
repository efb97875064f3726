//! A limit on how long a client may take to receive what is sent to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use super::limits;
use super::places::Place;

/// Fails when the client takes nothing of what is sent to it for [`limits::STALL`], or not all of an answer within
/// [`limits::TAKE`]. The client's place is told when it stalls.
pub(super) struct SendTimeout<'a, W> {
    writer: W,
    place: &'a Place,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs while a part of an answer is not sent.
    late: Option<Pin<Box<Sleep>>>,
}

impl<'a, W> SendTimeout<'a, W> {
    pub(super) const fn new(writer: W, place: &'a Place) -> Self {
        Self { writer, place, stalled: None, late: None }
    }

    /// Passes `sent` on, unless nothing could be sent for too long.
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

    /// Is called when all is sent.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.late = None;
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
    use crate::server::places::{Places, Seat};

    fn place() -> Place {
        let places = Arc::new(Places::default());
        let Seat::Taken(place) = places.take([127, 0, 0, 1].into(), Moment::default()) else {
            unreachable!("it is the first")
        };
        place
    }

    /// Sends to `client` without an end until that fails; says how long it took.
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

    // Sockets would not do: time that stands still runs ahead of what the system has under way.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (place, (_client, ours)) = (place(), duplex(4096));
        let waited = given_up_after(SendTimeout::new(ours, &place)).await;
        assert!((limits::STALL..2 * limits::STALL).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_now_and_then_is_given_up_too() {
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
