//! Why an attempt did not download the whole file.

use std::io;
use std::time::Duration;

use super::inspect::Unfit;
use super::rate::SLOWEST;
use super::room::Overflow;
use crate::watch::observation::{Failure, FailureKind, Part, Problem};

/// Why an attempt did not download the whole file.
#[derive(Debug)]
pub(super) enum Setback {
    /// Storage did not send it. The rules of polls say whether it is tried again; storage may ask for a pause.
    Failed(Failure, Option<Duration>),
    /// The link does not work, or does not work any more.
    Refused(Failure),
    /// The file is not what was announced. What has arrived is of no use.
    Misfit(Failure),
    /// It cannot be written.
    Disk(io::Error),
    /// It is larger than the user allows.
    TooLarge(Overflow),
}

/// A failure that a retry cannot heal.
pub(super) fn rejected(title: &str, detail: &str) -> Setback {
    Failure::new(FailureKind::Rejected, title, detail).into()
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure, None)
    }
}

pub(super) fn too_slow(patience: Duration) -> Setback {
    let patience = humantime::format_duration(patience);
    let detail = format!("fewer than {SLOWEST} bytes a second for {patience}");
    Failure::transient("storage is too slow", &detail).into()
}

/// Storage does not have the byte at `from`, though it had more than that before.
pub(super) fn no_such_range(from: u64) -> Setback {
    let detail = format!("without a byte {from}");
    Setback::Misfit(Failure::transient("storage has another file than before", &detail))
}

pub(super) fn misfit(received: u64, part: &Part) -> Setback {
    let announced = part.file_size.map_or_else(|| "another number".to_owned(), |size| size.to_string());
    let detail = format!("{received} bytes where {announced} were announced");
    Setback::Misfit(Failure::transient("the file is not as announced", &detail))
}

/// Why a file was not written in full.
pub(super) fn unwritten(error: io::Error) -> Setback {
    if error.raw_os_error().is_some() {
        return Setback::Disk(error);
    }
    let cause = error.get_ref();
    let overflow = cause.and_then(|cause| cause.downcast_ref::<Overflow>());
    let problem = match (overflow, cause.and_then(|cause| cause.downcast_ref::<Unfit>())) {
        (Some(overflow @ Overflow::All(_)), _) => return Setback::TooLarge(*overflow),
        (Some(overflow @ Overflow::File(_)), _) => {
            Problem::new("the file is not as announced", &overflow.to_string())
        }
        (None, Some(unfit)) => unfit.problem(),
        (None, None) => Problem::new("the file cannot be decompressed", &error.to_string()),
    };
    Setback::Misfit(Failure { kind: FailureKind::Transient, problem })
}
