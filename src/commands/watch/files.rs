//! Notices that the settings file, or a file that it names, has changed, so that no signal is needed.
//!
//! It looks at inode, size and modification time, and follows links: Kubernetes replaces a link to a directory. A file that
//! has changed may be half written, so it counts only when it looks the same for a second time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::commands::blocking;
use crate::disk::Look;
use crate::moment::Moment;
use crate::text::Text;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);

/// How each file looks.
pub(super) type Looks = BTreeMap<PathBuf, Look>;

/// Watches files.
#[derive(Debug)]
pub(super) struct Files {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next_look: Moment,
    /// The files as they were read.
    read: Looks,
    /// The files at the last look, if they had changed.
    changed: Option<Looks>,
}

impl Files {
    /// Watches files that looked like this when they were read.
    pub(super) fn new(clock: Clock, read: Looks) -> Self {
        let next_look = clock.now().plus(EVERY);
        Self { clock, state: Mutex::new(State { next_look, read, changed: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that are watched.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.state().read.keys().cloned().collect()
    }

    /// Watches these files from now on. They looked like this just before they were read.
    pub(super) fn have_been_read(&self, read: Looks) {
        let mut state = self.state();
        (state.read, state.changed) = (read, None);
    }

    /// Waits until some have changed and looked the same twice. If it is dropped meanwhile, a later call goes on.
    pub(super) async fn changed(&self) {
        loop {
            let next_look = self.state().next_look;
            self.clock.sleep_until(next_look).await;
            let paths = self.paths();
            let now = blocking(move || look_at(paths)).await;
            if self.compare(now) {
                return;
            }
        }
    }

    /// Whether the files have changed since they were read, but not since the last look.
    fn compare(&self, now: Looks) -> bool {
        let mut state = self.state();
        state.next_look = self.clock.now().plus(EVERY);
        if now == state.read {
            state.changed = None;
            return false;
        }
        if state.changed.as_ref() != Some(&now) {
            state.changed = Some(now);
            return false;
        }
        let is_new = |path: &&PathBuf| state.read.get(*path) != now.get(*path);
        let paths: Vec<_> = now.keys().filter(is_new).map(|path| Text::of_path(path).to_string()).collect();
        tracing::info!(files = paths.join(", "), "files have changed, reading the settings again");
        (state.read, state.changed) = (now, None);
        true
    }
}

/// Looks at files.
pub(super) fn look_at(paths: Vec<PathBuf>) -> Looks {
    paths.into_iter().map(|path| (path.clone(), Look::at(&path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bed {
        directory: tempfile::TempDir,
        files: Files,
    }

    impl Bed {
        /// A directory like a volume of Kubernetes: `token` leads through the link `..data`.
        async fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = |name: &str| directory.path().join(name);
            std::fs::write(path("settings.toml"), "one").unwrap();
            let bed_paths = vec![path("settings.toml"), path("token")];
            std::os::unix::fs::symlink("..data/token", path("token")).unwrap();
            let clock = Clock::start();
            let bed = Self { files: Files::new(clock, Looks::new()), directory };
            bed.swap("first");
            bed.files.have_been_read(look_at(bed_paths));
            tokio::time::sleep(EVERY / 2).await;
            bed
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.directory.path().join(name), text).unwrap();
        }

        /// Replaces the directory of the token, as Kubernetes does.
        fn swap(&self, name: &str) {
            let path = |name: &str| self.directory.path().join(name);
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("token"), "same").unwrap();
            std::os::unix::fs::symlink(name, path("..tmp")).unwrap();
            std::fs::rename(path("..tmp"), path("..data")).unwrap();
        }

        /// Whether a change is reported within so many looks. It starts and ends in the middle between two of them.
        async fn reports_within(&self, looks: u32) -> bool {
            let reports = tokio::time::timeout(EVERY * looks, self.files.changed()).await.is_ok();
            if reports {
                tokio::time::sleep(EVERY / 2).await;
            }
            reports
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_has_changed_is_reported_once_it_rests() {
        let bed = Bed::new().await;
        assert!(!bed.reports_within(3).await);
        bed.write("settings.toml", "half");
        assert!(!bed.reports_within(1).await, "it may be half written");
        bed.write("settings.toml", "the whole");
        assert!(!bed.reports_within(1).await);
        assert!(bed.reports_within(1).await);
        assert!(!bed.reports_within(3).await);
        // As it was before: nothing to report.
        std::fs::rename(bed.directory.path().join("settings.toml"), bed.directory.path().join("away"))
            .unwrap();
        assert!(!bed.reports_within(1).await);
        std::fs::rename(bed.directory.path().join("away"), bed.directory.path().join("settings.toml"))
            .unwrap();
        assert!(!bed.reports_within(3).await);
        std::fs::remove_file(bed.directory.path().join("settings.toml")).unwrap();
        assert!(bed.reports_within(2).await, "a file that is gone is an error that is logged");
        assert!(!bed.reports_within(3).await, "once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_swapped_link_is_a_change_and_a_pipe_is_none() {
        let bed = Bed::new().await;
        bed.swap("second");
        assert!(bed.reports_within(2).await);
        // What a signal has read is not a change.
        bed.swap("third");
        assert!(!bed.reports_within(1).await);
        bed.files.have_been_read(look_at(bed.files.paths()));
        assert!(!bed.reports_within(3).await);
        let null = PathBuf::from("/dev/null");
        assert_eq!(look_at(vec![null.clone()]), Looks::from([(null, Look::NotAFile)]));
        // A call goes on where one before it was dropped.
        bed.swap("fourth");
        let mut was_reported = false;
        for _ in 0..7 {
            was_reported |= tokio::time::timeout(EVERY / 3, bed.files.changed()).await.is_ok();
        }
        assert!(was_reported);
    }
}
