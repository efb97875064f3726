//! What is said while an export is started and while its files come.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use indicatif::BinaryBytes;
use tracing::{debug, error, info, warn};

use super::log::text;
use super::{HEARTBEAT, keep_ticking};
use crate::clock::Clock;
use crate::duration::{in_ms, to_the_second};
use crate::exit::ExitCode;
use crate::export::ExportRef;
use crate::manifest::Manifest;
use crate::moment::Moment;
use crate::output::ProgressLine;
use crate::watch::observation::Problem;

/// After how long it can be said how fast it goes.
const RATED_AFTER: Duration = Duration::from_millis(500);

/// What is being tried that is no poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trying {
    /// Starting an export.
    Start,
    /// Asking how it stands.
    Poll,
    /// Asking for the list of its files.
    Listing,
    /// Fetching a file.
    Download,
}

impl Trying {
    /// The constant sentence of a log line.
    const fn sentence(self) -> &'static str {
        match self {
            Self::Start => "start failed, retrying",
            Self::Poll => "poll failed, retrying",
            Self::Listing => "listing the results failed, retrying",
            Self::Download => "download failed, retrying",
        }
    }
}

/// Logs a failure. The message is part of the call's static data, so that each needs a call of its own.
macro_rules! log_failed {
    ($failed:expr, $message:literal) => {{
        let Failed { export, outcome, exit_code, problem, reason, hint } = $failed;
        let Problem { http_status, code, title, detail, request_id, cure: _ } = problem;
        error!(
            export.id = export.map(|export| display(export.export_id)),
            outcome,
            exit_code = exit_code.code(),
            http.response.status_code = http_status,
            error.code = text(code),
            error.title = text(title),
            error.detail = text(detail),
            snyk.request_id = text(request_id),
            reason,
            hint,
            $message
        );
    }};
}

/// Logs which files are there. The message is part of the call's static data, so that each needs a call of its own.
macro_rules! log_files {
    ($manifest:expr, $dir:expr, $took:expr, $message:literal) => {{
        let Manifest { export, files, row_count, merged, .. } = $manifest;
        info!(
            export.id = %export.export_id,
            download.dir = $dir,
            download.files = files.len(),
            download.bytes = files.iter().map(|entry| entry.file_size).sum::<u64>(),
            download.merged = merged.as_ref().map(|merged| merged.path.as_str()),
            row_count,
            waited_ms = $took,
            $message
        );
    }};
}

/// Logs that an earlier call has brought the files.
pub fn log_downloaded_before(manifest: &Manifest, dir: &str) {
    log_files!(manifest, dir, None::<u64>, "downloaded before");
}

/// A start or a download that failed for good, as a machine is told of it.
#[derive(Debug)]
pub struct Failed<'a> {
    /// The export, where there is one.
    pub export: Option<&'a ExportRef>,
    /// How it ended, in a word.
    pub outcome: &'a str,
    /// The exit code that follows from it.
    pub exit_code: ExitCode,
    /// What went wrong.
    pub problem: &'a Problem,
    /// The same in words.
    pub reason: &'a str,
    /// What to do now.
    pub hint: Option<&'a str>,
}

impl Failed<'_> {
    /// Logs a start that failed.
    pub fn log_start(&self) {
        log_failed!(self, "the export was not started");
    }

    /// Logs a download that failed.
    pub fn log_download(&self) {
        log_failed!(self, "the files were not downloaded");
    }
}

/// Tells of a start, and of files as they come.
#[derive(Debug)]
pub struct Transfer {
    clock: Clock,
    line: ProgressLine,
    since: Moment,
    polls: Cell<u32>,
    spoke_at: Cell<Moment>,
    /// How many bytes there will be, where that is known of all files.
    total: Cell<Option<u64>>,
    files: Cell<usize>,
    came: Cell<u64>,
    whole: Cell<usize>,
    /// What stands in the way at this moment.
    trouble: RefCell<Option<String>>,
}

impl Transfer {
    /// Begins to tell on `line`.
    #[must_use]
    pub fn new(clock: Clock, line: ProgressLine) -> Self {
        let now = clock.now();
        Self {
            clock,
            line,
            since: now,
            polls: Cell::default(),
            spoke_at: Cell::new(now),
            total: Cell::default(),
            files: Cell::default(),
            came: Cell::default(),
            whole: Cell::default(),
            trouble: RefCell::default(),
        }
    }

    /// So many files are to come, of so many bytes together as far as that is known.
    pub fn expect(&self, files: usize, total: Option<u64>) {
        self.files.set(files);
        self.total.set(total);
        self.spoke();
        info!(download.files = files, download.bytes = total, "downloading");
    }

    /// Bytes have come.
    pub fn came(&self, bytes: u64) {
        self.came.set(self.came.get() + bytes);
        if self.trouble.borrow().is_some() {
            self.trouble.take();
        }
    }

    /// Bytes that had come are of no use.
    pub fn lost(&self, bytes: u64) {
        self.came.set(self.came.get().saturating_sub(bytes));
    }

    /// A file is whole.
    pub fn whole(&self, name: &str, bytes: u64) {
        self.whole.set(self.whole.get() + 1);
        debug!(file.name = name, file.bytes = bytes, "file downloaded");
    }

    /// The rows of a file, or of all of them, were counted where so many were announced.
    pub fn counted(&self, file: Option<&str>, rows: Option<u64>, announced: Option<u64>) {
        match (rows, announced) {
            (Some(rows), Some(announced)) if rows != announced => {
                warn!(
                    file.name = file,
                    rows,
                    row_count = announced,
                    "the rows that were counted are not as many as Snyk announced"
                );
            }
            (None, Some(announced)) => {
                warn!(file.name = file, row_count = announced, "rows were not counted: this is not CSV");
            }
            (Some(_), Some(_)) | (_, None) => {}
        }
    }

    /// The checksum of a file cannot be checked.
    pub fn unchecked(&self, file: &str) {
        info!(
            file.name = file,
            "the checksum was not checked: it is of the file as storage keeps it, in another encoding than it is sent in"
        );
    }

    /// Something failed in passing, and is tried again.
    pub fn retrying(&self, trying: Trying, file: Option<&str>, problem: &Problem, delay: Duration) {
        let Problem { http_status, code, title, detail, request_id, cure: _ } = problem;
        warn!(
            file.name = file,
            http.response.status_code = http_status,
            error.code = text(code),
            error.title = text(title),
            error.detail = text(detail),
            snyk.request_id = text(request_id),
            delay_ms = in_ms(delay),
            "{}",
            trying.sentence()
        );
        self.spoke();
        self.trouble.replace(Some(format!("retrying: {problem}")));
        self.tick();
    }

    /// The links did not work any more.
    pub fn renewing(&self, problem: &Problem) {
        self.spoke();
        info!(
            http.response.status_code = problem.http_status,
            error.code = text(&problem.code),
            "a link does not work any more, asking for new ones"
        );
    }

    /// All files are in their directory.
    pub fn done(&self, manifest: &Manifest, dir: &str) {
        log_files!(manifest, dir, Some(in_ms(self.took())), "downloaded");
    }

    /// How many files are whole.
    #[must_use]
    pub fn files_whole(&self) -> usize {
        self.whole.get()
    }

    /// The status is asked for.
    pub fn polls(&self) {
        self.polls.set(self.polls.get() + 1);
    }

    /// How often the status was asked for.
    #[must_use]
    pub fn polled(&self) -> u32 {
        self.polls.get()
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.clock.now().since(self.since)
    }

    /// How many files there are.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.get()
    }

    fn spoke(&self) {
        self.spoke_at.set(self.clock.now());
    }

    /// Redraws the line; without one, says that we are alive if nothing was said for a minute. Returns how long it has
    /// nothing to say.
    fn tick(&self) -> Duration {
        let now = self.clock.now();
        if self.line.is_shown() {
            self.draw(now);
            return ProgressLine::REDRAW_EVERY;
        }
        let quiet = now.since(self.spoke_at.get());
        if quiet < HEARTBEAT {
            return HEARTBEAT - quiet;
        }
        self.spoke();
        info!(
            download.files_whole = self.whole.get(),
            download.files = self.files.get(),
            download.bytes_received = self.came.get(),
            download.bytes = self.total.get(),
            error.title = self.trouble.borrow().as_deref(),
            waited_ms = in_ms(now.since(self.since)),
            "still at it"
        );
        HEARTBEAT
    }

    /// Does something while it is told that we are at it.
    pub async fn ticking<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = keep_ticking(|| self.tick()) => match never {},
        }
    }

    fn draw(&self, now: Moment) {
        let mut parts = Vec::new();
        if let Some(trouble) = &*self.trouble.borrow() {
            parts.push(trouble.chars().take(60).collect());
        }
        if self.files.get() == 0 {
            self.line.draw(parts.pop().unwrap_or_else(|| "asking".to_owned()));
            return;
        }
        let (came, took) = (self.came.get(), now.since(self.since));
        parts.push(match self.total.get() {
            Some(total) => format!("{} of {}", BinaryBytes(came), BinaryBytes(total)),
            None => BinaryBytes(came).to_string(),
        });
        // Of the first moments nothing can be said.
        if came > 0 && took > RATED_AFTER {
            let rate = came as f64 / took.as_secs_f64();
            parts.push(format!("{}/s", BinaryBytes(rate as u64)));
            let left = self.total.get().map(|total| total.saturating_sub(came) as f64 / rate);
            parts.extend(
                left.map(|left| format!("{} left", to_the_second(Duration::from_secs_f64(left.min(1e6))))),
            );
        }
        parts.push(format!("{} of {} files", self.whole.get(), self.files.get()));
        self.line.draw_bar(came, self.total.get(), parts.join(" · "));
    }
}
