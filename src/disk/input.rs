//! Files that the user names. One may be a pipe, and reading it ends in bounded time.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};

use super::Look;

/// The pause before an empty pipe is read again.
const PAUSE: Duration = Duration::from_millis(20);

/// How many pauses to wait until a writer opens the pipe.
const FOR_A_WRITER: u32 = 5 * 50;

/// How many pauses to wait in all. The writer may be a command that asks its user something.
const FOR_ALL: u32 = 60 * 50;

/// The most that is read, in bytes. A device may never end.
const LIMIT: u64 = 64 * 1024 * 1024;

/// A file that is open for reading. Reading from a pipe fails after a minute.
pub(crate) struct Input {
    file: File,
    is_regular: bool,
    has_begun: bool,
    pauses: u32,
    left: u64,
}

impl Input {
    /// Opens a file. Does not wait for the other end of a pipe.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(open(path, flags, Mode::empty())?);
        let is_regular = file.metadata()?.is_file();
        Ok(Self { file, is_regular, has_begun: false, pauses: 0, left: LIMIT })
    }

    /// How the file looks now.
    pub(super) fn look(&self) -> io::Result<Look> {
        self.file.metadata().map(|metadata| Look::of(&metadata))
    }

    fn pause(&mut self, at_most: u32, trouble: &'static str) -> io::Result<()> {
        if self.pauses >= at_most {
            return Err(io::Error::new(ErrorKind::TimedOut, trouble));
        }
        self.pauses += 1;
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                // A pipe without a writer looks like the end of a file.
                Ok(0) if !self.is_regular && !self.has_begun && !buffer.is_empty() => {
                    self.pause(FOR_A_WRITER, "it is a pipe, and nobody wrote to it within 5s")?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.pause(FOR_ALL, "it is a pipe, and its writer did not finish within 1m")?;
                }
                Ok(length) => {
                    self.has_begun = true;
                    let left = self.left.checked_sub(length as u64);
                    self.left = left.ok_or_else(|| io::Error::other("it has more than 64 MiB"))?;
                    return Ok(length);
                }
                error @ Err(_) => return error,
            }
        }
    }
}

/// Whether a file is a pipe or a device, such as `/dev/stdin` or a shell's `<(…)`: a second reader would wait, and get nothing.
pub(crate) fn can_be_read_once(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Reads a file as text.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    Input::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}
