//! Bringing the files of an export home: each part streamed, resumed, checked and renamed when it is whole; the manifest
//! last. The parts come at once, and what is held of them in memory is bounded whatever their size.
//!
//! No credential is known here: signed links are all that storage is asked with, and they go nowhere else.

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
pub use self::target::{FolderError, Target};

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

/// How many files come at once.
const AT_ONCE: usize = 8;

/// Why the files are not there.
#[derive(Debug)]
pub enum DownloadError {
    /// They could not be fetched.
    Defeat(Defeat),
    /// Snyk could not be asked for links that work.
    Listing(Defeat),
    /// They could not be written.
    Disk(DiskError),
    /// They cannot be put into the folder.
    Folder(FolderError),
    /// Parts that cannot be merged.
    Merge(String),
    /// They are larger than the user allows. The message says so.
    TooLarge(String),
}

/// The disk of this machine refuses something.
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
    /// Makes an error of one of the system's.
    fn because(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { doing, path, source, is_of_sync: false }
    }

    /// A sync has failed.
    fn unsynced((path, source): (PathBuf, io::Error)) -> Self {
        Self { doing: "write", path, source, is_of_sync: true }
    }

    /// The path at which somebody else has put something, if that is what is wrong.
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

/// A function that is told what happens.
pub type Tell<'a> = &'a (dyn Fn(TaskEvent) + Sync);

/// What is to be brought home.
#[derive(Debug)]
pub struct Wanted {
    /// The export.
    pub export: ExportRef,
    /// Its parts, with their links.
    pub parts: Vec<Part>,
    /// How many rows they have together, as Snyk says.
    pub row_count: Option<u64>,
    /// Where the parts are merged into one file, if anywhere.
    pub merge: Option<PathBuf>,
}

/// How much is fetched, and how slowly.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many bytes all files together may have, as they are written; any number where it is not said.
    pub max_size: Option<u64>,
    /// How long a file may come more slowly than a kibibyte a second.
    pub patience: Duration,
}

/// Everything that fetching needs.
#[derive(Debug)]
pub struct Means<'a> {
    /// Who fetches.
    pub storage: Storage,
    /// By which rules what fails is tried again.
    pub policy: &'a Policy,
    /// How much may come, and how slowly.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
}

/// Brings an export's files home into `folder`, and gives their manifest, which is there when they all are. `relist` asks
/// for the parts anew, with links that work; `tell` gets each event.
///
/// # Errors
///
/// When a file cannot be fetched or written. What is whole is kept for the next call.
pub async fn bring_home<'a>(
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
    // What is announced may be the size before it is unpacked: this refuses early, and writing refuses all the same.
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
    // In whichever order they come: one that is slow holds up no other.
    let fetched = stream::iter((0..count).map(fetch)).buffer_unordered(AT_ONCE);
    let mut files = fetched.try_collect::<Vec<Entry>>().await?;
    files.sort_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
    let downloaded_at = means.clock.now().to_string();
    let rows = files.iter().map(|entry| entry.rows).sum();
    let manifest = Manifest { schema: SCHEMA, export, downloaded_at, row_count, rows, files, merged: None };
    let folder = Arc::clone(folder);
    aside(move || folder.finish(manifest, merge.as_deref())).await
}

/// A part that Snyk lists without a link cannot be fetched, now or later.
fn missing_link(parts: &[Part]) -> Option<Defeat> {
    let index = parts.iter().position(|part| part.link.is_none())?;
    let detail = format!("part {} of {} has none that can be followed", index + 1, parts.len());
    let cure = Text::non_empty("ask again later in case Snyk lists it then, or start another export");
    let problem = Problem { cure, ..Problem::new("the results list no link", &detail) };
    Some(Defeat { outcome: Outcome::Unavailable, problem })
}

/// Does what takes the disk's time where it holds up nobody.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
