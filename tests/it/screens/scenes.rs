//! The scenes: a scenario, a command, and its exit code.

use crate::lab::{NEVER, TOKEN};

/// A command against a simulated API.
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) scenario: &'static str,
    /// What stands in the settings file besides the paces.
    pub(super) settings: &'static str,
    pub(super) token: &'static str,
    pub(super) command: &'static str,
    pub(super) code: i32,
}

const fn scene(name: &'static str, scenario: &'static str, command: &'static str, code: i32) -> Scene {
    Scene { name, scenario, settings: "", token: TOKEN, command, code }
}

const START: &str = "run --group-id {group} --dataset issues --introduced-from 2026-11-27 --introduced-to 2026-11-28 --dir files --state state.json";

pub(super) const SCENES: &[Scene] = &[
    scene(
        "ready",
        "pending = '0s'\nstarted = '0s'\nanswers = [{ status = 'PENDING' }, { status-code = 503 }, { status = 'STARTED' }]",
        "wait {export}",
        0,
    ),
    scene("usage", NEVER, "wait latest", 2),
    Scene { token: "", ..scene("no-credential", NEVER, "wait {export}", 2) },
    scene(
        "failed",
        "pending = '0s'\nstarted = '0s'\nends-as = 'ERRORED'\nerror-text = 'the query took too long'\nshape = 'spec'",
        "wait {export}",
        3,
    ),
    scene("unauthorized", "token = 'another'", "wait {export}", 4),
    scene("forbidden", "[[faults]]\nprobability = 1\nstatus-code = 403", "wait {export}", 4),
    scene("not-found", "[[faults]]\nprobability = 1\nstatus-code = 404", "wait {export}", 5),
    scene("conflict", "[[faults]]\nprobability = 1\nstatus-code = 409", "wait {export}", 6),
    scene("rejected", "[[faults]]\nprobability = 1\nstatus-code = 400", "wait {export}", 7),
    scene("unknown-status", "pending = '0s'\nstarted = '0s'\nends-as = 'ODD'", "wait {export}", 8),
    scene("stalled", NEVER, "wait {export} --max-in-progress PENDING=1ms", 9),
    scene(
        "unavailable",
        "[[faults]]\nprobability = 1\nstatus-code = 503",
        "wait {export} --max-outage 1ms",
        69,
    ),
    scene("timed-out", NEVER, "wait {export} --max-wait 50ms", 124),
    scene("status", NEVER, "status {export}", 75),
    scene(
        "start",
        NEVER,
        "start --group-id {group} --dataset issues --introduced-from 2026-11-27 --introduced-to 2026-11-28",
        0,
    ),
    scene(
        "no-start",
        "token = 'another'",
        "start --group-id {group} --dataset issues --introduced-from 2026-11-27",
        4,
    ),
    scene("download", "pending = '0s'\nstarted = '0s'\nparts = 2", "download {export} --dir files", 0),
    scene("not-ready", NEVER, "download {export} --dir files", 75),
    scene("run", "pending = '0s'\nstarted = '0s'", START, 0),
    scene(
        "no-files",
        "pending = '0s'\nstarted = '0s'\n[[faults]]\non = 'storage'\nprobability = 1\nstatus-code = 404",
        START,
        5,
    ),
    Scene {
        settings: "[server]\nlisten = '127.0.0.1:0'\n[[watch]]\ngroup-id = '11111111-2222-4333-8444-555555555555'\n\
                   export-id = 'd6b6f9a4-3c1e-4f57-9a62-0b7c1d2e3f40'\n",
        ..scene(
            "watch",
            "pending = '0s'\nstarted = '0s'\nanswers = [{ status = 'PENDING' }]",
            "watch --config settings.toml --until-idle",
            0,
        )
    },
];
