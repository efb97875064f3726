//! Writing a file as it comes: on a thread of its own, which decompresses, counts and hashes it on the way.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use super::storage::Encoding;
use crate::manifest::hexadecimal;

/// How many chunks may wait to be written, of some hundred kilobytes each. More make nothing faster (docs/PERFORMANCE.md).
const WAITING: usize = 1;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    chunks: Sender<Bytes>,
    writing: JoinHandle<io::Result<Written>>,
    /// How many bytes came, as they were sent.
    pub(super) received: u64,
    /// How many bytes were written of them.
    written: Arc<AtomicU64>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// Its size in bytes.
    pub(super) file_size: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub(super) sha256: String,
}

impl Writer {
    /// Begins a file anew.
    pub(super) fn start(path: PathBuf, encoding: Encoding) -> Self {
        let (chunks, waiting) = channel(WAITING);
        let written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written);
        let writing = tokio::task::spawn_blocking(move || write(path, encoding, waiting, count));
        Self { chunks, writing, received: 0, written }
    }

    /// Whether it can still be written. If not, [`Writer::finish`] says why.
    pub(super) fn takes(&self) -> bool {
        !self.chunks.is_closed()
    }

    /// Whether more has come than a file of this size can have, however it was counted.
    pub(super) fn is_beyond(&self, file_size: u64) -> bool {
        self.received > file_size && self.written.load(Ordering::Relaxed) > file_size
    }

    /// Takes what came; says whether it can be written. If not, [`Writer::finish`] says why.
    pub(super) async fn take(&mut self, chunk: Bytes) -> bool {
        self.received += chunk.len() as u64;
        self.chunks.send(chunk).await.is_ok()
    }

    /// Ends the file.
    pub(super) async fn finish(self) -> io::Result<Written> {
        drop(self.chunks);
        self.writing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// What is written to a file, counted and hashed.
pub(super) struct Sink<W> {
    file: W,
    file_size: u64,
    digest: Context,
    /// Where others see how much it is.
    count: Arc<AtomicU64>,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(file: W) -> Self {
        Self::counting(file, Arc::default())
    }

    fn counting(file: W, count: Arc<AtomicU64>) -> Self {
        Self { file, file_size: 0, digest: Context::new(&SHA256), count }
    }

    pub(super) fn done(mut self) -> io::Result<Written> {
        self.file.flush()?;
        Ok(Written { file_size: self.file_size, sha256: hexadecimal(self.digest.finish().as_ref()) })
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.file_size += written as u64;
        self.count.store(self.file_size, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn write(
    path: PathBuf,
    encoding: Encoding,
    mut chunks: Receiver<Bytes>,
    count: Arc<AtomicU64>,
) -> io::Result<Written> {
    let mut sink = Sink::counting(File::create(path)?, count);
    match encoding {
        Encoding::Plain => {
            while let Some(chunk) = chunks.blocking_recv() {
                sink.write_all(&chunk)?;
            }
            sink.done()
        }
        Encoding::Gzip => {
            let mut decoder = MultiGzDecoder::new(sink);
            while let Some(chunk) = chunks.blocking_recv() {
                decoder.write_all(&chunk)?;
            }
            decoder.finish()?.done()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(encoding: Encoding, chunks: &[&[u8]]) -> (io::Result<Written>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut writer = Writer::start(path.clone(), encoding);
        for chunk in chunks {
            writer.take(Bytes::copy_from_slice(chunk)).await;
        }
        (writer.finish().await, std::fs::read(path).unwrap())
    }

    #[tokio::test]
    async fn a_file_is_counted_and_hashed() {
        let (done, bytes) = written(Encoding::Plain, &[b"ab", b"c"]).await;
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        assert_eq!(
            (done.unwrap(), bytes),
            (Written { file_size: 3, sha256: sha256.clone() }, b"abc".to_vec())
        );
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"abc").unwrap();
        let gzip = gzip.finish().unwrap();
        let (head, tail) = gzip.split_at(7);
        let (done, bytes) = written(Encoding::Gzip, &[head, tail]).await;
        assert_eq!((done.unwrap(), bytes), (Written { file_size: 3, sha256 }, b"abc".to_vec()));
    }

    #[tokio::test]
    async fn what_is_no_gzip_or_cut_off_is_no_fault_of_the_disk() {
        for chunk in [b"not gzip at all".as_slice(), &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]] {
            let error = written(Encoding::Gzip, &[chunk]).await.0.unwrap_err();
            assert_eq!(error.raw_os_error(), None, "{error:?}");
        }
    }
}
