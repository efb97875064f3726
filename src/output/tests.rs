use std::io::{ErrorKind, Read as _};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::writer::write_all;
use super::*;

/// A place that nobody reads, until the other end is dropped.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // It fails when it is let go.
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stuck() -> (Sender<()>, Box<dyn Write + Send>) {
    let (hold, held) = channel();
    (hold, Box::new(Stuck(held)))
}

fn pipe() -> (io::PipeReader, Box<dyn Write + Send>) {
    let (reader, writer) = io::pipe().unwrap();
    (reader, Box::new(writer))
}

/// Reads what is wanted, which has to come.
#[track_caller]
fn read(reader: &mut io::PipeReader, wanted: &str) {
    let mut read = vec![0; wanted.len()];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), wanted);
}

#[tokio::test]
async fn what_is_said_first_is_written_first() {
    let (mut reader, writer) = io::pipe().unwrap();
    let other = writer.try_clone().unwrap();
    let output = Output::over(Box::new(writer), Box::new(other), false);
    let mut expected = String::new();
    for n in 0..100 {
        output.log(format!("log {n}\n").as_bytes());
        output.data(format!("data {n}\n").as_bytes());
        output.say(format!("word {n}\n").as_bytes());
        expected += &format!("log {n}\ndata {n}\nword {n}\n");
    }
    read(&mut reader, &expected);
    output.flush(std::future::pending::<()>()).await.unwrap();
}

#[tokio::test]
async fn data_is_written_though_nobody_reads_the_words() {
    let ((mut reader, data), (hold, words)) = (pipe(), stuck());
    let output = Output::over(data, words, false);
    output.say(b"word\n");
    output.data(b"data\n");
    read(&mut reader, "data\n");
    // Whoever asks to end is not kept waiting, and nothing that matters was lost.
    output.flush(std::future::ready(())).await.unwrap();
    drop(hold);
    output.flush(std::future::pending::<()>()).await.unwrap();
}

#[tokio::test]
async fn data_that_nobody_reads_holds_up_the_end_until_that_is_asked_for() {
    let ((hold, data), (mut reader, words)) = (stuck(), pipe());
    let output = Output::over(data, words, false);
    output.data(b"data\n");
    output.say(b"word\n");
    read(&mut reader, "word\n");
    let waiting = output.flush(std::future::pending::<()>());
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
    assert!(matches!(output.flush(std::future::ready(())).await, Err(Unwritten::Unread)));
    drop(hold);
    output.flush(std::future::pending::<()>()).await.unwrap();
}

#[tokio::test]
async fn of_a_log_that_nobody_reads_some_is_lost_and_the_rest_is_late() {
    const LINES: usize = 100;
    let ((hold, words), (_reader, data)) = (stuck(), pipe());
    let output = Output::over(data, words, false);
    let line = vec![b'x'; MAX_WAITING / LINES];
    for _ in 0..LINES {
        output.log(&line);
    }
    assert_eq!(output.0.lock().lost, 0);
    for _ in 0..37 {
        output.log(&line);
    }
    output.say(b"word\n");
    assert_eq!(output.0.lock().lost, 37);
    drop(hold);
    output.flush(std::future::pending::<()>()).await.unwrap();
    let state = output.0.lock();
    assert_eq!((state.lost, state.waiting), (0, 0), "it was told of");
}

#[tokio::test]
async fn a_place_that_is_full_or_closed_is_told_apart() {
    let full = || Box::new(File::options().write(true).open("/dev/full").unwrap());
    let output = Output::over(full(), full(), false);
    output.say(b"word\n");
    output.data(b"data\n");
    let flushed = output.flush(std::future::pending::<()>()).await;
    assert!(matches!(flushed, Err(Unwritten::Failed(error)) if error.kind() == ErrorKind::StorageFull));

    let ((reader, data), (other, words)) = (pipe(), pipe());
    drop((reader, other));
    let output = Output::over(data, words, false);
    output.say(b"word\n");
    output.data(b"data\n");
    output.flush(std::future::pending::<()>()).await.unwrap();
}

#[test]
fn a_place_that_would_block_is_tried_again() {
    struct Busy(u32, Vec<u8>);
    impl Write for Busy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 % 2 == 1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.1.extend_from_slice(&bytes[..1]);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut busy = Busy(0, Vec::new());
    write_all(&mut busy, b"word").unwrap();
    assert_eq!(busy.1, b"word");
}
