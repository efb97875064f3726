//! Downloads one file: retries transient failures, resumes where the connection broke, requests another link if the link no
//! longer works, and accepts the file only if it is what was announced.

use std::sync::Arc;
use std::time::Duration;

use super::checksum::Announced;
use super::course::Course;
use super::folder::Folder;
use super::inspect::{Expected, Format};
use super::links::Links;
use super::object::Object;
use super::rate::{Rate, Speed};
use super::room::{Room, Share};
use super::setback::{Setback, misfit, no_such_range, too_slow, unwritten};
use super::storage::Body;
use super::writer::{Sent, Whole, Writer, Written};
use super::{DiskError, DownloadError, Means, Tell, aside};
use crate::event::{Task, TaskEvent};
use crate::http::{self, Encoding};
use crate::manifest::Entry;
use crate::secret::Link;
use crate::text::Text;
use crate::watch::observation::{Failure, FailureKind, Part, Problem};
use crate::watch::outcome::Outcome;
use crate::watch::tries::Defeat;

/// How many links in a row may be refused without a byte in between. The second may be refused because two clocks differ.
const REFUSALS: u32 = 3;

/// What to do if storage refuses new links.
const REFUSED_LINKS: &str = "the credential is not to blame, since links are used without it: look at what is between here and storage, \
    such as a proxy or a firewall, or start another export";

/// How many times a complete file may differ from what was announced.
const MISFITS: u32 = 2;

/// One file to download.
pub(super) struct Fetch<'a, 'links> {
    pub(super) index: usize,
    pub(super) name: String,
    /// The number of rows of the whole export, as Snyk says.
    pub(super) all_rows: Option<u64>,
    /// Whether this is the only part.
    pub(super) is_only: bool,
    pub(super) folder: &'a Arc<Folder>,
    pub(super) links: &'a Links<'links>,
    pub(super) room: &'a Arc<Room>,
    pub(super) means: &'a Means<'a>,
    pub(super) tell: Tell<'a>,
}

impl Fetch<'_, '_> {
    /// Downloads the file, unless an earlier call did.
    pub(super) async fn run(self) -> Result<Entry, DownloadError> {
        let mut course = Course::begin(self.means.clock.now());
        let mut may_be_kept = true;
        loop {
            let (part, link, generation) = self.links.of(self.index).await?;
            if std::mem::take(&mut may_be_kept)
                && let Some(whole) = self.kept(&part).await
            {
                self.room.take(whole.written.file_size)?;
                (self.tell)(TaskEvent::Received(whole.written.file_size));
                return Ok(self.entry(whole, &part));
            }
            match self.attempt(&link, &part, &mut course).await {
                Ok(whole) => {
                    // The writer has released the room that it took.
                    self.room.take(whole.written.file_size)?;
                    self.folder.keep(&self.name, &part, &whole)?;
                    return Ok(self.entry(whole, &part));
                }
                Err(setback) => self.recover(setback, generation, &mut course).await?,
            }
        }
    }

    /// The file, if an earlier call has downloaded it.
    async fn kept(&self, part: &Part) -> Option<Whole> {
        let (folder, name, part) = (Arc::clone(self.folder), self.name.clone(), part.clone());
        aside(move || folder.whole(&name, &part)).await
    }

    fn entry(&self, Whole { written, rows }: Whole, part: &Part) -> Entry {
        let Written { file_size, sha256 } = written;
        let entry = Entry { name: self.name.clone(), file_size, row_count: part.row_count, rows, sha256 };
        (self.tell)(TaskEvent::FileDownloaded(Box::new(entry.clone())));
        entry
    }

    async fn attempt(&self, link: &Link, part: &Part, course: &mut Course) -> Result<Whole, Setback> {
        let address = link.object();
        if course.address != address || !course.object.is_known() {
            self.begin_anew(course).await;
            course.address = address;
        }
        let from = course.received();
        let Some(body) = self.means.storage.get(link, from, course.object.etag()).await? else {
            // The connection may have been cut after the last byte.
            let is_all = from > 0 && course.expected(part) == Some(from);
            return if is_all { self.finish(part, course).await } else { Err(no_such_range(from)) };
        };
        if !course.goes_on_with(&body) {
            self.begin_anew(course).await;
            if body.from != 0 {
                let title = "storage sent another part of the file than it was asked for";
                return Err(Failure::transient(title, "").into());
            }
        }
        self.receive(body, part, course).await?;
        self.finish(part, course).await
    }

    /// Receives the rest of the file.
    async fn receive(&self, body: Body, part: &Part, course: &mut Course) -> Result<(), Setback> {
        let Body { mut response, encoding, object, .. } = body;
        course.object.add(object);
        let object = &course.object;
        let (writer, _) =
            course.writer.get_or_insert_with(|| (self.writer(encoding, object, part), encoding));
        let (clock, patience) = (self.means.clock, self.means.limits.patience);
        let mut rate = Rate::new(patience);
        let mut asked = clock.now();
        while let Some(chunk) = response.chunk().await.map_err(|error| http::cut_off(&error))? {
            let now = clock.now();
            let speed = rate.came(chunk.len(), now.since(asked));
            (self.tell)(TaskEvent::Received(chunk.len() as u64));
            let is_taken = writer.take(chunk).await;
            if writer.received > course.reached {
                course.reached = writer.received;
                course.refusals = 0;
                // A trickle does not count as progress: it could go on for ever.
                if speed == Speed::Enough {
                    course.tries.advance(now);
                }
            }
            if speed == Speed::TooSlow {
                return Err(too_slow(patience));
            }
            asked = clock.now();
            // Finishing the file returns the error.
            if !is_taken || part.file_size.is_some_and(|size| writer.is_beyond(size)) {
                course.object.total = None;
                break;
            }
        }
        Ok(())
    }

    /// A writer for the file, from its first byte.
    fn writer(&self, encoding: Encoding, object: &Object, part: &Part) -> Writer {
        if object.checksum == Announced::OfOtherBytes {
            (self.tell)(TaskEvent::Unchecked { file: self.name.clone() });
        }
        // A file that was announced as empty may be one of several.
        let rows = part.row_count.or(self.all_rows.filter(|_| part.file_size != Some(0)));
        let is_of_part = part.row_count.is_some() || self.is_only;
        let expected = Expected { format: Format::of(part), rows, is_of_part };
        let sent = Sent { encoding, checksum: object.checksum.checksum() };
        // If as many bytes are sent as were announced, that was the compressed size, and the other one is not known.
        let is_of_unpacked =
            encoding == Encoding::Gzip && object.total.is_some() && object.total != part.file_size;
        let most = part.file_size.filter(|_| is_of_unpacked);
        let share = Share::new(Arc::clone(self.room), most);
        Writer::start(self.folder.partial(&self.name), sent, expected, share)
    }

    /// Finishes the file, if it is complete.
    async fn finish(&self, part: &Part, course: &mut Course) -> Result<Whole, Setback> {
        let expected = course.expected(part);
        let Some((writer, encoding)) = course.writer.take() else { return Err(misfit(0, part)) };
        let received = writer.received;
        if expected.is_some_and(|expected| received < expected) && writer.settles().await {
            // If the answer has no length, this is how a broken connection looks.
            course.writer = Some((writer, encoding));
            let detail = format!("after {received} of {} bytes", expected.unwrap_or_default());
            return Err(Failure::transient("the answer was cut off", &detail).into());
        }
        let is_beyond = part.file_size.is_some_and(|size| writer.is_beyond(size));
        let whole = writer.finish().await;
        let is_more = course.object.total.is_some_and(|total| received > total);
        course.object = Object::default();
        let misfit = match whole.map_err(unwritten) {
            Ok(Whole { written, rows }) => {
                let is_as_announced = |size| written.file_size == size || received == size;
                if part.file_size.is_none_or(is_as_announced) && !is_more {
                    return Ok(Whole { written, rows });
                }
                misfit(written.file_size, part)
            }
            // The rest of the file was not read, so that its checksum does not count.
            Err(Setback::Misfit(_)) if is_beyond => misfit(received, part),
            Err(setback) => setback,
        };
        (self.tell)(TaskEvent::Discarded(received));
        Err(misfit)
    }

    /// Discards what has arrived.
    async fn begin_anew(&self, course: &mut Course) {
        course.object = Object::default();
        if let Some((writer, _)) = course.writer.take() {
            (self.tell)(TaskEvent::Discarded(writer.received));
            // Its thread must end before another one writes to the same file. Its result does not matter.
            let _ = writer.finish().await;
        }
    }

    /// Prepares the next attempt, if there may be one.
    async fn recover(
        &self,
        setback: Setback,
        generation: u32,
        course: &mut Course,
    ) -> Result<(), DownloadError> {
        match setback {
            Setback::Disk(error) => {
                Err(DiskError::because("write", &self.folder.partial(&self.name).path())(error).into())
            }
            Setback::TooLarge(overflow) => Err(overflow.into()),
            Setback::Failed(failure, hint) => self.pause(&failure, hint, course).await,
            Setback::Misfit(failure) => {
                self.begin_anew(course).await;
                course.misfits += 1;
                if course.misfits >= MISFITS {
                    return Err(Defeat { outcome: Outcome::Unavailable, problem: failure.problem }.into());
                }
                self.pause(&failure, None, course).await?;
                // A new link may lead to another object.
                self.links.renew(generation, || ()).await
            }
            Setback::Refused(failure) => {
                course.refusals += 1;
                if course.refusals >= REFUSALS {
                    return Err(refused(failure).into());
                }
                if course.refusals > 1 {
                    let passing = Failure { kind: FailureKind::Transient, problem: failure.problem.clone() };
                    self.pause(&passing, None, course).await?;
                }
                let tell = || (self.tell)(TaskEvent::LinksExpired { problem: failure.problem.clone() });
                self.links.renew(generation, tell).await
            }
        }
    }

    async fn pause(
        &self,
        failure: &Failure,
        hint: Option<Duration>,
        course: &mut Course,
    ) -> Result<(), DownloadError> {
        let Means { policy, clock, .. } = self.means;
        let now = clock.now();
        let delay = course.tries.failed(failure, hint, policy, now, &mut fastrand::Rng::new())?;
        let (file, problem) = (Some(self.name.clone()), failure.problem.clone());
        (self.tell)(TaskEvent::Retrying { task: Task::Download, file, problem, delay });
        clock.sleep_until(now.plus(delay)).await;
        Ok(())
    }
}

/// Storage refuses even new links. The credential is not sent there: it may be good.
fn refused(Failure { kind, problem }: Failure) -> Defeat {
    let outcome = match kind {
        FailureKind::NotFound => Outcome::NotFound,
        FailureKind::Unauthorized | FailureKind::Forbidden => {
            let cure = Text::non_empty(REFUSED_LINKS);
            return Defeat { outcome: Outcome::Unavailable, problem: Problem { cure, ..problem } };
        }
        FailureKind::Conflict
        | FailureKind::Rejected
        | FailureKind::Gateway
        | FailureKind::Unrecoverable
        | FailureKind::Throttled
        | FailureKind::Transient => Outcome::Rejected,
    };
    Defeat { outcome, problem }
}
