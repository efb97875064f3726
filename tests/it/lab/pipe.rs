//! Pipes that block.

use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::path::Path;
use std::process::Command;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// A full pipe: a write blocks until somebody reads.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    // The last byte fills what is left of the last page.
    for bytes in [&[b' '; 4096][..], b" "] {
        while let Err(error) = fill(&mut writer, bytes) {
            assert_eq!(error, ErrorKind::Interrupted);
        }
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

fn fill(writer: &mut PipeWriter, bytes: &[u8]) -> Result<(), ErrorKind> {
    loop {
        match writer.write(bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.kind()),
        }
    }
}

/// Makes a FIFO: opening one end blocks until the other is opened.
#[track_caller]
pub(crate) fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}
