//! No core dumps: what this process holds in its memory are secrets.
//!
//! A process that is not dumpable writes no core, whatever its limits say, and other processes of the same user can read
//! neither its memory nor its environment (`/proc/PID/environ`): a command of `[[notify]]` is one of these.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::platform;

/// The limit of cores that was set when we were started.
static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// From now on this process leaves no core behind, and its memory is its own.
///
/// # Errors
///
/// When the system refuses.
pub fn forbid() -> io::Result<()> {
    let inherited = *INHERITED.get_or_init(|| getrlimit(Resource::Core));
    // A sandbox may refuse it, as our units do, which set it themselves. What comes below is enough on Linux.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..inherited });
    platform::guard_memory()
}

/// Gives a command that takes our place the limit that we were started with. It becomes dumpable by itself, as it has
/// nothing of our memory.
pub(crate) fn restore_limit() {
    if let Some(inherited) = INHERITED.get() {
        // A command without cores is better than none.
        let _ = setrlimit(Resource::Core, *inherited);
    }
}
