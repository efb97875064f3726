//! Writes a file while it is received: a thread of its own checks, decompresses, counts, hashes and writes it.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use super::checksum::{Check, Checksum};
use super::inspect::{Expected, Inspected};
use super::room::Share;
use crate::disk::{Directory, Readers};
use crate::http::Encoding;
use crate::manifest::hexadecimal;

/// How many chunks, of some hundred kilobytes each, may wait to be written. More do not help (docs/PERFORMANCE.md).
const WAITING: usize = 1;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    chunks: Sender<Bytes>,
    writing: JoinHandle<io::Result<Whole>>,
    /// How many bytes were received, as they were sent.
    pub(super) received: u64,
    /// The room that the file takes.
    share: Arc<Share>,
}

/// The place of a file until it is complete.
#[derive(Debug, Clone)]
pub(super) struct Partial {
    pub(super) directory: Arc<Directory>,
    pub(super) name: String,
}

impl Partial {
    /// Creates the file. A leftover of an earlier attempt is replaced.
    fn create(&self) -> io::Result<File> {
        self.directory.create_anew(self.name.as_ref(), Readers::Umask)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path(self.name.as_ref())
    }
}

/// What was written to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// Its size in bytes.
    pub(super) file_size: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub(super) sha256: String,
}

/// A complete file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    pub(super) written: Written,
    /// The number of its rows, counted, if it is CSV.
    pub(super) rows: Option<u64>,
}

/// How a file is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) encoding: Encoding,
    /// The checksum of its bytes, as they are sent.
    pub(super) checksum: Option<Checksum>,
}

impl Writer {
    /// Starts a file. It may have as many bytes as it finds room for.
    pub(super) fn start(partial: Partial, sent: Sent, expected: Expected, share: Share) -> Self {
        let (chunks, waiting) = channel(WAITING);
        let share = Arc::new(share);
        let own = Arc::clone(&share);
        let writing = tokio::task::spawn_blocking(move || {
            let sink = Sink::new(partial.create()?);
            write(Inspected::new(sink, expected, own), sent, waiting)
        });
        Self { chunks, writing, received: 0, share }
    }

    /// Waits until all chunks are written. Returns `false` if that failed; then [`Writer::finish`] returns the error.
    pub(super) async fn settles(&self) -> bool {
        // The last one is accepted only when the thread has finished all chunks before.
        for _ in 0..=WAITING {
            if self.chunks.send(Bytes::new()).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Whether more was received than a file of this size can have, compressed or not.
    pub(super) fn is_beyond(&self, file_size: u64) -> bool {
        self.received > file_size && self.share.written() > file_size
    }

    /// Takes a chunk. Returns `false` if the file cannot be written; then [`Writer::finish`] returns the error.
    pub(super) async fn take(&mut self, chunk: Bytes) -> bool {
        self.received += chunk.len() as u64;
        self.chunks.send(chunk).await.is_ok()
    }

    /// Finishes the file.
    pub(super) async fn finish(self) -> io::Result<Whole> {
        drop(self.chunks);
        self.writing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// A file that is counted and hashed while it is written.
pub(super) struct Sink<W> {
    file: W,
    file_size: u64,
    digest: Context,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(file: W) -> Self {
        Self { file, file_size: 0, digest: Context::new(&SHA256) }
    }

    pub(super) fn done(mut self) -> io::Result<Written> {
        self.file.flush()?;
        Ok(Written { file_size: self.file_size, sha256: hexadecimal(self.digest.finish().as_ref()) })
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.file_size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn write(file: Inspected<File>, sent: Sent, mut chunks: Receiver<Bytes>) -> io::Result<Whole> {
    let mut check = sent.checksum.map(Check::begin);
    let mut take = |file: &mut dyn Write| {
        while let Some(chunk) = chunks.blocking_recv() {
            check.iter_mut().for_each(|check| check.take(&chunk));
            file.write_all(&chunk)?;
        }
        Ok::<_, io::Error>(())
    };
    let file = match sent.encoding {
        Encoding::Plain => {
            let mut file = file;
            take(&mut file)?;
            file
        }
        Encoding::Gzip => {
            let mut decoder = MultiGzDecoder::new(file);
            take(&mut decoder)?;
            decoder.finish()?
        }
    };
    check.map_or(Ok(()), Check::end)?;
    let (written, rows) = file.done()?;
    Ok(Whole { written, rows })
}

#[cfg(test)]
mod tests {
    use super::super::inspect::{Format, Unfit};
    use super::super::room::{Overflow, Room};
    use super::*;

    fn partial(folder: &std::path::Path) -> Partial {
        Partial { directory: Arc::new(Directory::open(folder).unwrap()), name: "a".to_owned() }
    }

    async fn written(sent: Sent, expected: Expected, chunks: &[&[u8]]) -> (io::Result<Whole>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let partial = partial(folder.path());
        let path = partial.path();
        let mut writer = Writer::start(partial, sent, expected, any_size());
        for chunk in chunks {
            writer.take(Bytes::copy_from_slice(chunk)).await;
        }
        (writer.finish().await, std::fs::read(path).unwrap())
    }

    fn any_size() -> Share {
        Share::new(Arc::new(Room::new(None)), None)
    }

    const ANY: Expected = Expected { format: Format::Csv, rows: None, is_of_part: true };
    const PLAIN: Sent = Sent { encoding: Encoding::Plain, checksum: None };
    const GZIP: Sent = Sent { encoding: Encoding::Gzip, checksum: None };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    #[tokio::test]
    async fn a_file_is_counted_and_hashed() {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        let whole = Whole { written: Written { file_size: 3, sha256 }, rows: Some(0) };
        let (done, bytes) = written(PLAIN, ANY, &[b"ab", b"c"]).await;
        assert_eq!((done.unwrap(), bytes), (whole.clone(), b"abc".to_vec()));
        let gzip = gzip(b"abc");
        let (head, tail) = gzip.split_at(7);
        let (done, bytes) = written(GZIP, ANY, &[head, tail]).await;
        assert_eq!((done.unwrap(), bytes), (whole, b"abc".to_vec()));
    }

    #[tokio::test]
    async fn rows_are_the_records_below_the_header_whatever_the_chunks() {
        for (text, rows) in [
            ("", 0),
            ("a,b\n", 0),
            ("a,b\n1,2", 1),
            ("\u{feff}a,b\r\n1,\"x\r\ny\"\r\n", 1),
            ("\u{feff}", 0),
            ("a\n1\n2\n", 2),
        ] {
            for size in [1, 2, 100] {
                let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                let whole = written(PLAIN, ANY, &chunks).await.0.unwrap();
                assert_eq!(whole.rows, Some(rows), "{text:?} by {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_csv_is_refused() {
        let other = Expected { format: Format::Other, rows: Some(2), is_of_part: true };
        let unsaid = Expected { format: Format::Unsaid, rows: Some(2), is_of_part: true };
        let said = Expected { format: Format::Csv, rows: Some(2), is_of_part: true };
        let rows: [(&[u8], Expected, &str); 22] = [
            (b"<!DOCTYPE html><title>Login</title>", said, "it begins as an HTML page"),
            (b"<html>", unsaid, "it begins as an HTML page"),
            (b"\xef\xbb\xbf \r\n\t<HTML lang=en>", said, "it begins as an HTML page"),
            (b"<?xml version='1.0'?><Error/>", said, "it begins as an XML document"),
            (b"<Error><Code>AccessDenied</Code></Error>", said, "it begins as an XML or HTML document"),
            (b"<html>", other, ""),
            (b"\x1f\x8b\x08\0\0\0\0\0", said, "it begins as gzip data that storage does not declare"),
            (b"PK\x03\x04", unsaid, "it begins as a ZIP archive"),
            (b"{\"error\":1}", said, "it begins as a JSON document"),
            (b"{\"error\":1}", unsaid, ""),
            (b"", said, "2 rows were announced"),
            (b"A,B\n", said, "2 rows were announced"),
            (b"upstream connect error", unsaid, "2 rows were announced"),
            (b"\xff\xfe<\0h\0t\0m\0l\0", said, "it begins as text in UTF-16"),
            (b"\0\0\0\0", unsaid, "it begins as binary data"),
            (b"\xef\xbb\xbf\n\n", unsaid, "2 rows were announced"),
            (b"", other, "2 rows were announced"),
            (b"", ANY, ""),
            (b"a,b\n", ANY, ""),
            (b"\"<html>\",b\n1,2\n", said, ""),
            (b"a<html>,b\n1,2\n", said, ""),
            (b"a,b\n<html>,\x1f\x8b\n", said, ""),
        ];
        for (bytes, expected, why) in rows {
            let packed = gzip(bytes);
            for (sent, bytes) in [(PLAIN, bytes), (GZIP, &packed)] {
                for size in [1, 100] {
                    let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
                    let error = written(sent, expected, &chunks).await.0.err();
                    let unfit =
                        error.as_ref().map(|error| error.get_ref().unwrap().downcast_ref::<Unfit>().unwrap());
                    let said = unfit.map(ToString::to_string).unwrap_or_default();
                    assert_eq!(said, why, "{bytes:?} {sent:?} {expected:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_checksum_is_of_the_bytes_as_they_are_sent() {
        let packed = gzip(b"a,b\n1,2\n");
        let right = Some(Checksum::Crc32c(crc32c::crc32c(&packed)));
        let sent = Sent { checksum: right, ..GZIP };
        assert_eq!(written(sent, ANY, &[&packed]).await.0.unwrap().rows, Some(1));
        let sent = Sent { checksum: Some(Checksum::Crc32c(crc32c::crc32c(b"a,b\n1,2\n"))), ..GZIP };
        let error = written(sent, ANY, &[&packed]).await.0.unwrap_err();
        assert_eq!(error.to_string(), "its CRC-32C is not what storage says");
    }

    #[tokio::test]
    async fn a_writer_that_has_settled_knows_whether_the_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (text, is_well) in [("a,b\n1,2\n3,4\n5,6\n", true), ("<html><title>Login</title>", false)] {
            let mut writer = Writer::start(partial(folder.path()), PLAIN, ANY, any_size());
            writer.take(text.into()).await;
            assert_eq!(writer.settles().await, is_well, "{text}");
            assert_eq!(writer.finish().await.is_ok(), is_well);
        }
    }

    #[tokio::test]
    async fn a_file_that_unpacks_to_more_than_there_is_room_for_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let bomb = gzip(&vec![b'a'; 4_000_000]);
        assert!(bomb.len() < 40_000);
        for (room, most) in [(Some(100_000), None), (None, Some(100_000))] {
            let share = Share::new(Arc::new(Room::new(room)), most);
            let mut writer = Writer::start(partial(folder.path()), GZIP, ANY, share);
            writer.take(Bytes::from(bomb.clone())).await;
            let error = writer.finish().await.unwrap_err();
            assert!(error.get_ref().unwrap().is::<Overflow>(), "{error:?}");
            assert!(std::fs::metadata(folder.path().join("a")).unwrap().len() <= 100_000);
        }
    }

    #[tokio::test]
    async fn damaged_gzip_is_not_an_error_of_the_disk() {
        for chunk in [b"not gzip at all".as_slice(), &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]] {
            let error = written(GZIP, ANY, &[chunk]).await.0.unwrap_err();
            assert_eq!(error.raw_os_error(), None, "{error:?}");
        }
    }
}
