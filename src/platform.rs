//! What only Linux has, and what other systems do without: the rest of the program is the same on all of them.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::SocketAddr;

/// Keeps other processes of the same user from reading our memory and our environment, and the system from writing a core.
/// Elsewhere only the limit of cores does that.
pub(crate) fn guard_memory() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// The signals that this process ignores, one bit each. Elsewhere none is known to be: what `nohup` ignores ends us there.
pub(crate) fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// The children of PID 1 that have ended and were not waited for. Elsewhere there are no containers, where we can be PID 1.
pub(crate) fn dead_children() -> BTreeSet<i32> {
    let is_dead_child = |id: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name, in parentheses, may contain anything.
        let (_, after_name) = stat.rsplit_once(") ").unwrap_or_default();
        let mut fields = after_name.split(' ');
        fields.next() == Some("Z") && fields.next() == Some("1")
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(is_dead_child).collect()
}

/// The address of a socket: a path, or `@` and a name in Linux's abstract namespace.
pub(crate) fn socket_address(socket: &str) -> io::Result<SocketAddr> {
    match socket.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => SocketAddr::from_pathname(socket),
    }
}
