//! Downloads the files of an export. Each part is streamed, resumed if the connection breaks, checked, and renamed when it is
//! complete; the manifest is written last. Parts are downloaded in parallel, and their memory is bounded, whatever their size.
//!
//! No credential is known here: storage is asked with signed links only, and those are sent nowhere else.

mod checksum;
mod course;
mod fetch;
mod folder;
mod inspect;
mod links;
mod merge;
mod object;
mod rate;
mod records;
mod room;
mod setback;
mod storage;
mod target;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

pub use self::folder::{Folder, Left};
pub use self::links::Relist;
pub use self::storage::Storage;
pub use self::target::{FolderError, Held, Target, behind_links};

use self::fetch::Fetch;
use self::links::Links;
use self::room::{Overflow, Room};
use crate::clock::Clock;
pub use crate::disk::Safety;
use crate::event::TaskEvent;
use crate::export::ExportRef;
use crate::manifest::{Entry, Manifest, SCHEMA};
use crate::text::Text;
use crate::watch::Policy;
use crate::watch::observation::{Part, Problem};
use crate::watch::outcome::Outcome;
use crate::watch::tries::Defeat;

/// How many files are downloaded in parallel.
const AT_ONCE: usize = 8;

/// Why the files were not downloaded.
#[derive(Debug)]
pub enum DownloadError {
    /// Storage did not send them.
    Defeat(Defeat),
    /// Snyk did not list links that work.
    Listing(Defeat),
    /// The disk refused them.
    Disk(DiskError),
    /// They cannot be put into the folder.
    Folder(FolderError),
    /// The parts cannot be merged.
    Merge(String),
    /// They are larger than the user allows. The message says so.
    TooLarge(String),
}

/// The disk refuses an operation.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing} {}", Text::of_path(path))]
pub struct DiskError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
    /// Whether it is a sync that failed. Repeating it may seem to succeed though the data is lost.
    is_of_sync: bool,
}

impl DiskError {
    /// Turns an error of the system into this one.
    fn because(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { doing, path, source, is_of_sync: false }
    }

    /// A sync has failed.
    fn unsynced((path, source): (PathBuf, io::Error)) -> Self {
        Self { doing: "write", path, source, is_of_sync: true }
    }

    /// The path, if the error is that somebody else has put something there.
    fn taken(&self) -> Option<&PathBuf> {
        (self.source.kind() == io::ErrorKind::AlreadyExists).then_some(&self.path)
    }
}

impl From<DiskError> for DownloadError {
    fn from(error: DiskError) -> Self {
        match error.taken() {
            Some(path) => Self::Folder(FolderError::Taken(path.clone())),
            None => Self::Disk(error),
        }
    }
}

impl From<FolderError> for DownloadError {
    fn from(error: FolderError) -> Self {
        Self::Folder(error)
    }
}

impl From<Overflow> for DownloadError {
    fn from(overflow: Overflow) -> Self {
        Self::TooLarge(overflow.to_string())
    }
}

impl From<Defeat> for DownloadError {
    fn from(defeat: Defeat) -> Self {
        Self::Defeat(defeat)
    }
}

/// A function that is called with each event.
pub type Tell<'a> = &'a (dyn Fn(TaskEvent) + Sync);

/// What to download.
#[derive(Debug)]
pub struct Wanted {
    /// The export.
    pub export: ExportRef,
    /// Its parts, with their links.
    pub parts: Vec<Part>,
    /// The number of rows of all parts, as Snyk says.
    pub row_count: Option<u64>,
    /// The file to merge the parts into, if any.
    pub merge: Option<PathBuf>,
}

/// How large the files may be, and how slow storage.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes that all files together may have on the disk. `None` for no limit.
    pub max_size: Option<u64>,
    /// How long a file may arrive more slowly than a kibibyte a second.
    pub patience: Duration,
}

/// What downloading needs.
#[derive(Debug)]
pub struct Means<'a> {
    /// Storage.
    pub storage: Storage,
    /// The rules of retries.
    pub policy: &'a Policy,
    /// The limits.
    pub limits: Limits,
    /// The clock.
    pub clock: Clock,
}

/// Downloads the files of an export into `folder`, and returns their manifest, which is written last. `relist` requests the
/// parts again, with new links. `tell` is called with each event.
///
/// # Errors
///
/// If a file cannot be downloaded or written. Complete files are kept for the next call.
pub async fn download_all<'a>(
    wanted: Wanted,
    folder: &Arc<Folder>,
    means: &Means<'_>,
    relist: &'a Relist<'a>,
    tell: Tell<'_>,
) -> Result<Manifest, DownloadError> {
    let Wanted { export, parts, row_count, merge } = wanted;
    let count = parts.len();
    if let Some(defeat) = missing_link(&parts) {
        return Err(defeat.into());
    }
    let room = Arc::new(Room::new(means.limits.max_size));
    // This fails early. The announced size may be that of compressed files, so that writing is limited as well.
    let announced = parts.iter().filter_map(|part| part.file_size).fold(0, u64::saturating_add);
    Room::new(means.limits.max_size).take(announced)?;
    let links = Links::new(parts, relist);
    let fetch = |index: usize| {
        let fetch = Fetch {
            index,
            name: target::part_name(index),
            all_rows: row_count,
            is_only: count == 1,
            folder,
            links: &links,
            room: &room,
            means,
            tell,
        };
        fetch.run()
    };
    // Unordered, so that a slow file does not hold up the others.
    let fetched = stream::iter((0..count).map(fetch)).buffer_unordered(AT_ONCE);
    let mut files = fetched.try_collect::<Vec<Entry>>().await?;
    files.sort_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
    let downloaded_at = means.clock.now().to_string();
    let rows = files.iter().map(|entry| entry.rows).sum();
    let manifest = Manifest { schema: SCHEMA, export, downloaded_at, row_count, rows, files, merged: None };
    let folder = Arc::clone(folder);
    aside(move || folder.finish(manifest, merge.as_deref())).await
}

/// Fails if Snyk lists a part without a link.
fn missing_link(parts: &[Part]) -> Option<Defeat> {
    let index = parts.iter().position(|part| part.link.is_none())?;
    let detail = format!("part {} of {} has none that can be followed", index + 1, parts.len());
    let cure = Text::non_empty("ask again later in case Snyk lists it then, or start another export");
    let problem = Problem { cure, ..Problem::new("the results list no link", &detail) };
    Some(Defeat { outcome: Outcome::Unavailable, problem })
}

/// Runs blocking work on the disk in a thread of its own.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
