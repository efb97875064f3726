//! Values that tests wait for, with a limit.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// After this long a test hangs. No test that passes needs nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Watched<T>(Arc<(Mutex<T>, Condvar)>);

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Watched(Arc::clone(&self.0))
    }
}

impl<T: Clone> Watched<T> {
    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) {
        let (value, changed) = &*self.0;
        change(&mut value.lock().unwrap());
        changed.notify_all();
    }

    pub(crate) fn get(&self) -> T {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until `wanted` holds, and returns the value. `None` after [`PATIENCE`].
    pub(crate) fn try_until(&self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let (value, changed) = &*self.0;
        let guard = value.lock().unwrap();
        let (value, waited) = changed.wait_timeout_while(guard, PATIENCE, |value| !wanted(value)).unwrap();
        (!waited.timed_out()).then(|| value.clone())
    }

    /// Waits until `wanted` holds, and returns the value.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&T) -> bool) -> T {
        self.try_until(wanted).unwrap_or_else(|| panic!("nothing after {PATIENCE:?}"))
    }
}

/// Blocks threads until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Watched<(bool, bool)>);

impl Gate {
    /// Waits until it is open.
    pub(crate) fn pass(&self) {
        self.0.change(|(is_reached, _)| *is_reached = true);
        self.0.until(|(_, is_open)| *is_open);
    }

    /// Waits until a thread waits here.
    #[track_caller]
    pub(crate) fn until_reached(&self) {
        self.0.until(|(is_reached, _)| *is_reached);
    }

    pub(crate) fn open(&self) {
        self.0.change(|(_, is_open)| *is_open = true);
    }
}

/// Waits for a condition that has to be polled.
#[track_caller]
pub(crate) fn until(is_so: impl Fn() -> bool) {
    const EVERY: Duration = Duration::from_millis(20);
    let looks = PATIENCE.as_millis() / EVERY.as_millis();
    let so = (0..looks).any(|_| {
        is_so() || {
            std::thread::park_timeout(EVERY);
            false
        }
    });
    assert!(so, "nothing after {PATIENCE:?}");
}
