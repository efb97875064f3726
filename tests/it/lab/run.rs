//! A running program, and its result.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tempfile::TempDir;

use super::Watched;

/// A running program. It is killed when dropped.
pub(crate) struct Spawned {
    id: u32,
    stdout: Watched<String>,
    stderr: Watched<String>,
    status: Watched<Option<ExitStatus>>,
    readers: Vec<JoinHandle<()>>,
    home: Option<TempDir>,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code. `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Kept so that tests can look at its files.
    home: Option<TempDir>,
}

impl Spawned {
    pub(super) fn start(mut command: Command, input: Vec<u8>, home: TempDir) -> Spawned {
        let mut child = command.spawn().unwrap();
        // The command may have the other end of a pipe.
        drop(command);
        let (stdout, stderr, status) = (Watched::default(), Watched::default(), Watched::default());
        if let Some(mut stdin) = child.stdin.take() {
            // The program need not read it.
            thread::spawn(move || stdin.write_all(&input));
        }
        let mut readers = Vec::new();
        readers.extend(child.stderr.take().map(|pipe| gather(pipe, &stderr)));
        readers.extend(child.stdout.take().map(|pipe| gather(pipe, &stdout)));
        let id = child.id();
        let ended: Watched<Option<ExitStatus>> = Watched::clone(&status);
        readers.push(thread::spawn(move || {
            let status = child.wait().unwrap();
            ended.change(|ended| *ended = Some(status));
        }));
        Spawned { id, stdout, stderr, status, readers, home: Some(home) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.status.get().is_some()
    }

    /// Waits until a line of standard error contains `text`. Returns standard error so far.
    #[track_caller]
    pub(crate) fn until_stderr_has(&self, text: &str) -> String {
        self.stderr.until(|stderr| {
            stderr.split_inclusive('\n').any(|line| line.contains(text) && line.ends_with('\n'))
        })
    }

    /// Waits until this many lines of a JSON log are as wanted. Returns these lines.
    #[track_caller]
    pub(crate) fn until_logged(&self, times: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let logged = |stderr: &String| -> Vec<Value> {
            let lines = stderr.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            lines.filter_map(|line| serde_json::from_str(line).ok()).filter(|line| wanted(line)).collect()
        };
        match self.stderr.try_until(|stderr| logged(stderr).len() >= times) {
            Some(stderr) => logged(&stderr),
            None => panic!("there were not {times} such lines:\n{}", self.stderr.get()),
        }
    }

    /// Waits until it has logged an event this many times.
    #[track_caller]
    pub(crate) fn until_told(&self, event: &str, times: usize) -> Vec<Value> {
        self.until_logged(times, |line| line["event"] == event)
    }

    /// Waits until it has logged a message this many times that is not an event.
    #[track_caller]
    pub(crate) fn until_said(&self, message: &str, times: usize) -> Vec<Value> {
        self.until_logged(times, |line| line["message"] == message)
    }

    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.id);
    }

    /// As [`Spawned::signal`], but it may have ended already.
    pub(crate) fn signal_if_alive(&self, name: &str) {
        if self.status.get().is_none() {
            let _ = send(name, self.id);
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Run {
        let Some(Some(status)) = self.status.try_until(Option::is_some) else {
            let said = self.stdout.get() + &self.stderr.get();
            let lines: Vec<&str> = said.lines().collect();
            panic!("it hangs; its last words:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"));
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let (stdout, stderr) = (self.stdout.get(), self.stderr.get());
        Run { code: status.code(), signal: status.signal(), stdout, stderr, home: self.home.take() }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if self.status.get().is_none() {
            // It may have ended just now.
            let _ = send("KILL", self.id);
        }
    }
}

/// Sends a signal to a process that this test has started.
#[track_caller]
pub(crate) fn signal(name: &str, id: u32) {
    assert!(send(name, id).unwrap().success(), "no {name} for {id}");
}

fn send(name: &str, id: u32) -> std::io::Result<ExitStatus> {
    Command::new("kill").args(["-s", name, &id.to_string()]).status()
}

fn gather(mut pipe: impl Read + Send + 'static, text: &Watched<String>) -> JoinHandle<()> {
    let text = text.clone();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..length]);
            let so_far = String::from_utf8_lossy(&bytes).into_owned();
            text.change(|text| *text = so_far);
        }
    })
}

impl Run {
    /// Its home directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.as_ref().unwrap().path()
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Run {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn stderr_has(&self, text: &str) -> &Run {
        assert!(self.stderr.contains(text), "standard error should have {text:?}:\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn stderr_lacks(&self, text: &str) -> &Run {
        assert!(!self.stderr.contains(text), "standard error should not have {text:?}:\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn stderr_is(&self, text: &str) -> &Run {
        assert_eq!(self.stderr, text, "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn stdout_is(&self, text: &str) -> &Run {
        assert_eq!(self.stdout, text, "{self}");
        self
    }

    /// The single line of standard output.
    #[track_caller]
    pub(crate) fn document(&self) -> Value {
        let documents = self.documents();
        assert_eq!(documents.len(), 1, "there should be one document:\n{self}");
        documents[0].clone()
    }

    /// The lines of standard output.
    #[track_caller]
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| self.json(line)).collect()
    }

    /// The lines of standard error, each of which must be a JSON object.
    #[track_caller]
    pub(crate) fn logs(&self) -> Vec<Value> {
        let lines: Vec<Value> = self.stderr.lines().map(|line| self.json(line)).collect();
        assert!(lines.iter().all(Value::is_object), "{self}");
        lines
    }

    /// The names of the events in a log in JSON.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<String> {
        self.logs().iter().filter_map(|line| line["event"].as_str().map(str::to_owned)).collect()
    }

    /// The document, with `*` for values that differ from run to run. Their form is checked.
    #[track_caller]
    pub(crate) fn settled(&self) -> Value {
        let mut document = self.document();
        // The document and standard error say the same about what to do next.
        let hint =
            document.as_object_mut().and_then(|members| members.remove("hint")).expect("a member hint");
        assert!(hint.as_str().is_none_or(|hint| self.stderr.contains(hint)), "{self}");
        assert_eq!(hint.is_string(), self.stderr.contains("\n  next    "), "{self}");
        assert!(document["waited_seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{self}");
        document["waited_seconds"] = "*".into();
        let moments = document["timeline"].as_array().into_iter().flatten().map(|change| &change["at"]);
        for moment in moments.chain([&document["created"]]).filter_map(Value::as_str) {
            assert!(moment.ends_with('Z') && moment.parse::<jiff::Timestamp>().is_ok(), "{moment}\n{self}");
        }
        for change in document["timeline"].as_array_mut().unwrap() {
            change["at"] = "*".into();
        }
        for pointer in ["/created", "/error/request_id"] {
            let value = document.pointer_mut(pointer).filter(|value| value.is_string());
            value.into_iter().for_each(|value| *value = "*".into());
        }
        document
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is not JSON ({error}):\n{self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Run { code, signal, stdout, stderr, .. } = self;
        write!(f, "--- exit code {code:?}, signal {signal:?}; stdout:\n{stdout}\n--- stderr:\n{stderr}\n---")
    }
}
