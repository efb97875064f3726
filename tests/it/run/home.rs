//! A home in which `run` is called again and again, with its API and its state file.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab::{GROUP, Lab, NEVER, Program, SECOND_ID, Watched};
use snyk_export::simulator::Exchange;

/// Does not answer the first poll: a run that is killed then has started its export, and nothing else.
pub(super) const HANGS_ONCE: &str = "pending = '0s'\nstarted = '0s'\n\
    [[faults]]\non = 'status'\nprobability = 1\nat-most = 1\nfault = 'hang'\n";

pub(super) struct RunHome {
    pub(super) lab: Lab,
    pub(super) home: tempfile::TempDir,
    /// The record as it was at the last poll.
    recorded: Watched<Value>,
}

impl RunHome {
    pub(super) fn new(scenario: &str) -> Self {
        Self::hearing(scenario, |_| {})
    }

    /// As [`RunHome::new`]; `hear` is called with each request before it is answered.
    pub(super) fn hearing(scenario: &str, hear: impl Fn(&Exchange) + Send + Sync + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        let recorded: Watched<Value> = Watched::default();
        let (state, kept) = (home.path().join("state.json"), recorded.clone());
        let lab = Lab::hearing(scenario, move |exchange| {
            // It is written before the first poll, and not again before there are results.
            if let Some(record) = is_poll(exchange).then(|| std::fs::read(&state).ok()).flatten() {
                kept.change(|kept| *kept = serde_json::from_slice(&record).unwrap_or_default());
            }
            hear(exchange);
        });
        Self { lab, home, recorded }
    }

    pub(super) fn run(&self) -> Program {
        Program::whole_run(&self.lab).living_in(self.home.path()).args("--state state.json")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(super) fn record(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("state.json")).unwrap()).unwrap()
    }

    /// Changes what is recorded.
    pub(super) fn tamper(&self, member: &str, value: Value) {
        let mut record = self.record();
        record[member] = value;
        std::fs::write(self.path("state.json"), record.to_string()).unwrap();
    }

    /// A run that is killed at its first poll, which must not be answered with an end.
    pub(super) fn killed(&self) -> Value {
        self.killed_into("files")
    }

    pub(super) fn killed_into(&self, dir: &str) -> Value {
        self.killed_at_its_poll(self.run().no_arg("--dir files").args("--dir").arg(dir), 1);
        self.record()
    }

    /// Runs a program, and kills it at its n-th poll.
    pub(super) fn killed_at_its_poll(&self, program: Program, nth: usize) {
        let polls = |exchanges: &[Exchange]| exchanges.iter().filter(|exchange| is_poll(exchange)).count();
        let before = polls(&self.lab.exchanges());
        let running = program.spawn();
        self.lab.until_heard(|exchanges| polls(exchanges) >= before + nth);
        running.signal("KILL");
        running.end();
    }

    /// As [`RunHome::killed`], on an earlier day.
    pub(super) fn killed_earlier(&self) -> Value {
        let record = self.killed_into("earlier");
        self.tamper("date", "2001-01-01".into());
        record
    }

    /// The record of another export, of an earlier day, and of the same call.
    pub(super) fn left_by_yesterday(&self, date: &str, dir: &str) {
        let lab = Lab::start(NEVER);
        let running = self.run().env("SNYK_API", &lab.url()).spawn();
        running.until_stderr_has("status changed");
        running.signal("KILL");
        running.end();
        self.tamper("api", self.lab.url().into());
        self.tamper("date", date.into());
        self.tamper("dir", self.path(dir).display().to_string().into());
        let mut export = self.record()["export"].clone();
        export["export_id"] = SECOND_ID.into();
        self.tamper("export", export);
        std::fs::remove_dir_all(self.path("files")).unwrap();
    }

    /// A run that was killed when all was done but to forget it.
    pub(super) fn killed_late(&self) -> Value {
        self.killed_late_with("")
    }

    pub(super) fn killed_late_with(&self, args: &str) -> Value {
        self.run().args(args).run().exits(0);
        let record = self.recorded.get();
        std::fs::write(self.path("state.json"), record.to_string()).unwrap();
        record
    }
}

pub(super) fn is_poll(exchange: &Exchange) -> bool {
    exchange.method == "GET" && exchange.target.contains(&format!("/groups/{GROUP}/jobs/export/"))
}

pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Faults that meet the export of the day before only.
pub(super) fn broken(faults: &[&str]) -> String {
    let fault = |fault: &&str| format!("[[faults]]\nprobability = 1\npath-has = '{SECOND_ID}'\n{fault}\n");
    crate::lab::READY.to_owned() + "inline-results = false\n" + &faults.iter().map(fault).collect::<String>()
}
