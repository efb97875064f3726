//! Fetching one file: tried again when it fails in passing, resumed where it was cut, with another link when the one it had
//! does not work any more, and believed only if it is what was announced.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::checksum::Announced;
use super::course::Course;
use super::folder::Folder;
use super::inspect::{Expected, Format, Unfit};
use super::links::{Link, Links, object};
use super::rate::{Rate, SLOWEST, Speed};
use super::room::{Overflow, Room, Share};
use super::storage::{Body, Encoding, Trouble, broken};
use super::writer::{Sent, Whole, Writer, Written};
use super::{DiskError, DownloadError, Means, aside};
use crate::event::{Task, TaskEvent};
use crate::manifest::Entry;
use crate::watch::observation::{Failure, FailureKind, Part, Problem};
use crate::watch::outcome::Outcome;
use crate::watch::tries::Defeat;

/// How many links in a row may be refused without a byte between: the second may have been refused because the first
/// had just run out, or since two clocks differ.
const REFUSALS: u32 = 3;

/// How many times a file may come whole and be another than announced.
const MISFITS: u32 = 2;

/// One file to be fetched.
pub(super) struct Fetch<'a, R, T> {
    pub(super) index: usize,
    pub(super) name: String,
    /// How many rows the whole export has, as Snyk says.
    pub(super) all_rows: Option<u64>,
    /// Whether this is the only part.
    pub(super) is_only: bool,
    pub(super) folder: &'a Arc<Folder>,
    pub(super) links: &'a Links<R>,
    pub(super) room: &'a Arc<Room>,
    pub(super) means: &'a Means<'a>,
    pub(super) tell: &'a T,
}

/// Why a try did not bring the whole file.
enum Setback {
    /// It may be better the next time.
    Passing(Failure, Option<Duration>),
    /// The link does not work.
    Refused(Failure),
    /// What came is not what was announced: it is of no use.
    Misfit(Failure),
    /// It cannot be written.
    Disk(io::Error),
    /// It is larger than the user allows.
    TooLarge(Overflow),
}

impl<R: AsyncFn() -> Result<Vec<Part>, Defeat>, T: Fn(TaskEvent)> Fetch<'_, R, T> {
    /// Fetches the file, unless it is there from an earlier call.
    pub(super) async fn run(self) -> Result<Entry, DownloadError> {
        let mut course = Course::begin(self.means.clock.now());
        let mut may_be_kept = true;
        loop {
            let (link, part) = self.links.of(self.index).await?;
            if std::mem::take(&mut may_be_kept)
                && let Some(whole) = self.kept(&part).await
            {
                self.room.take(whole.written.file_size)?;
                (self.tell)(TaskEvent::Received(whole.written.file_size));
                return Ok(self.entry(whole, &part));
            }
            match self.attempt(&link, &part, &mut course).await {
                Ok(whole) => {
                    // Its writer has given it back.
                    self.room.take(whole.written.file_size)?;
                    self.folder.keep(&self.name, &part, &whole)?;
                    return Ok(self.entry(whole, &part));
                }
                Err(setback) => self.recover(setback, &link, &mut course).await?,
            }
        }
    }

    /// The file, if it was whole at the end of an earlier call.
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
        let object = object(part);
        if course.object != object || !course.can_go_on() {
            self.begin_anew(course).await;
            course.object = object;
        }
        let from = course.received();
        let body = match self.means.storage.get(&link.url, from, course.etag.as_ref()).await {
            Ok(body) => body,
            Err(Trouble::Refused(failure)) => return Err(Setback::Refused(failure)),
            // It was cut behind its last byte.
            Err(Trouble::NoSuchRange) if from > 0 && course.expected(part) == Some(from) => {
                return self.finish(part, course).await;
            }
            Err(Trouble::NoSuchRange) => return Err(Setback::Misfit(no_such_range(from))),
            Err(Trouble::Failed(failure, hint)) => return Err(Setback::Passing(failure, hint)),
        };
        if !course.goes_on_with(&body) {
            self.begin_anew(course).await;
            if body.from != 0 {
                let title = "storage sent another part of the file than it was asked for";
                return Err(passing(Problem::new(title, "")));
            }
        }
        self.receive(body, part, course).await?;
        self.finish(part, course).await
    }

    /// Takes what comes of the file, to its end.
    async fn receive(&self, body: Body, part: &Part, course: &mut Course) -> Result<(), Setback> {
        let Body { mut response, encoding, etag, marks, checksum, total, .. } = body;
        course.etag = etag.or(course.etag.take());
        course.marks.add(marks);
        course.total = total.or(course.total);
        let total = course.total;
        let (writer, _) =
            course.writer.get_or_insert_with(|| (self.writer(encoding, checksum, part, total), encoding));
        course.checksum = course.checksum.or(checksum.checksum());
        let (clock, patience) = (self.means.clock, self.means.limits.patience);
        let mut rate = Rate::new(patience);
        let mut asked = clock.now();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| Setback::Passing(broken(&error), None))?
        {
            let now = clock.now();
            let speed = rate.came(chunk.len(), now.since(asked));
            (self.tell)(TaskEvent::Received(chunk.len() as u64));
            let is_taken = writer.take(chunk).await;
            if writer.received > course.reached {
                course.reached = writer.received;
                course.refusals = 0;
                // A trickle is no progress, or it would keep us here for ever.
                if speed == Speed::Enough {
                    course.tries.advance(now);
                }
            }
            if speed == Speed::TooSlow {
                return Err(passing(too_slow(patience)));
            }
            asked = clock.now();
            // Finishing it says what is wrong.
            if !is_taken || part.file_size.is_some_and(|size| writer.is_beyond(size)) {
                course.total = None;
                break;
            }
        }
        Ok(())
    }

    /// What writes the file from its beginning on.
    fn writer(&self, encoding: Encoding, checksum: Announced, part: &Part, total: Option<u64>) -> Writer {
        if checksum == Announced::OfOtherBytes {
            (self.tell)(TaskEvent::Unchecked { file: self.name.clone() });
        }
        // An empty file that was announced as one may be one of several.
        let rows = part.row_count.or(self.all_rows.filter(|_| part.file_size != Some(0)));
        let is_of_part = part.row_count.is_some() || self.is_only;
        let expected = Expected { format: Format::of(part), rows, is_of_part };
        let sent = Sent { encoding, checksum: checksum.checksum() };
        // Where as many bytes are sent as are announced, nothing is announced of what they unpack to.
        let is_of_unpacked = encoding == Encoding::Gzip && total.is_some() && total != part.file_size;
        let most = part.file_size.filter(|_| is_of_unpacked);
        let share = Share::new(Arc::clone(self.room), most);
        Writer::start(self.folder.partial(&self.name), sent, expected, share)
    }

    /// Ends the file, if it is all there.
    async fn finish(&self, part: &Part, course: &mut Course) -> Result<Whole, Setback> {
        let expected = course.expected(part);
        let Some((writer, encoding)) = course.writer.take() else { return Err(misfit(0, part)) };
        let received = writer.received;
        if expected.is_some_and(|expected| received < expected) && writer.settles().await {
            // Where no length comes with it, this is what a cut connection looks like.
            course.writer = Some((writer, encoding));
            let detail = format!("after {received} of {} bytes", expected.unwrap_or_default());
            return Err(passing(Problem::new("the answer was cut off", &detail)));
        }
        let is_beyond = part.file_size.is_some_and(|size| writer.is_beyond(size));
        let whole = writer.finish().await;
        let is_more = course.total.is_some_and(|total| received > total);
        course.forget();
        let misfit = match whole.map_err(unwritten) {
            Ok(Whole { written, rows }) => {
                let is_as_announced = |size| written.file_size == size || received == size;
                if part.file_size.is_none_or(is_as_announced) && !is_more {
                    return Ok(Whole { written, rows });
                }
                misfit(written.file_size, part)
            }
            // The rest of it was left, and so its checksum says nothing.
            Err(Setback::Misfit(_)) if is_beyond => misfit(received, part),
            Err(setback) => setback,
        };
        (self.tell)(TaskEvent::Discarded(received));
        Err(misfit)
    }

    /// Forgets what has come.
    async fn begin_anew(&self, course: &mut Course) {
        course.forget();
        if let Some((writer, _)) = course.writer.take() {
            (self.tell)(TaskEvent::Discarded(writer.received));
            // Its thread must be done before another writes to the same file; what it says does not matter any more.
            let _ = writer.finish().await;
        }
    }

    /// Gets ready for another try, if there may be one.
    async fn recover(&self, setback: Setback, link: &Link, course: &mut Course) -> Result<(), DownloadError> {
        match setback {
            Setback::Disk(error) => {
                Err(DiskError::because("write", &self.folder.partial(&self.name).path())(error).into())
            }
            Setback::TooLarge(overflow) => Err(overflow.into()),
            Setback::Passing(failure, hint) => self.pause(&failure, hint, course).await,
            Setback::Misfit(failure) => {
                self.begin_anew(course).await;
                course.misfits += 1;
                if course.misfits >= MISFITS {
                    return Err(Defeat { outcome: Outcome::Unavailable, problem: failure.problem }.into());
                }
                self.pause(&failure, None, course).await?;
                // Where another link leads, something else may be.
                self.links.renew(link.generation, || ()).await
            }
            Setback::Refused(failure) => {
                course.refusals += 1;
                if course.refusals >= REFUSALS {
                    let outcome = outcome_of_refusal(failure.kind);
                    return Err(Defeat { outcome, problem: failure.problem }.into());
                }
                if course.refusals > 1 {
                    let passing = Failure { kind: FailureKind::Transient, problem: failure.problem.clone() };
                    self.pause(&passing, None, course).await?;
                }
                let tell = || (self.tell)(TaskEvent::LinksExpired { problem: failure.problem.clone() });
                self.links.renew(link.generation, tell).await
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

/// How it counts that storage refuses links that are new.
const fn outcome_of_refusal(kind: FailureKind) -> Outcome {
    match kind {
        FailureKind::Unauthorized | FailureKind::Forbidden => Outcome::Forbidden,
        FailureKind::NotFound => Outcome::NotFound,
        FailureKind::Conflict
        | FailureKind::Rejected
        | FailureKind::Gateway
        | FailureKind::Unrecoverable
        | FailureKind::Throttled
        | FailureKind::Transient => Outcome::Rejected,
    }
}

fn passing(problem: Problem) -> Setback {
    Setback::Passing(Failure { kind: FailureKind::Transient, problem }, None)
}

fn too_slow(patience: Duration) -> Problem {
    let patience = humantime::format_duration(patience);
    Problem::new("storage is too slow", &format!("fewer than {SLOWEST} bytes a second for {patience}"))
}

fn no_such_range(from: u64) -> Failure {
    let problem = Problem::new("storage has another file than before", &format!("without a byte {from}"));
    Failure { kind: FailureKind::Transient, problem }
}

fn misfit(came: u64, part: &Part) -> Setback {
    let announced = part.file_size.map_or_else(|| "another number".to_owned(), |size| size.to_string());
    let detail = format!("{came} bytes where {announced} were announced");
    let problem = Problem::new("the file is not as announced", &detail);
    Setback::Misfit(Failure { kind: FailureKind::Transient, problem })
}

/// A file that could not be written, or that is not what it was said to be.
fn unwritten(error: io::Error) -> Setback {
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
