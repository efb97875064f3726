//! Reads the output of `strace`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is traced.
pub(super) const CALLS: &str = "openat,open,creat,write,pwrite64,writev,sendto,fsync,fdatasync,rename,renameat,renameat2,\
    unlink,unlinkat,mkdir,mkdirat,rmdir,execve,ftruncate";

/// The command that traces another one. All texts are in hexadecimal digits, so that they hold nothing that has to be parsed.
pub(super) fn strace(log: &Path) -> String {
    format!("strace -f -y -xx -s 1000000 -o {} -e trace={CALLS}", log.display())
}

/// A system call that went well.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    /// Its arguments. Those that are files are paths: what they lead to, or what they say.
    args: Vec<Arg>,
}

#[derive(Debug, Clone)]
struct Arg {
    raw: String,
    /// The text in it, be it a string or the path of an open file.
    text: Option<Vec<u8>>,
}

impl Call {
    /// The calls in a log, in the order in which they ended.
    pub(super) fn all(log: &str) -> Vec<Call> {
        let mut unfinished: BTreeMap<&str, &str> = BTreeMap::new();
        let mut calls = Vec::new();
        for line in log.lines() {
            let (id, rest) = line.split_once(' ').unwrap_or_default();
            let rest = rest.trim_start();
            if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
                unfinished.insert(id, begun);
            } else if let Some((_, end)) =
                rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>"))
            {
                let begun = unfinished.remove(id).unwrap_or_default();
                calls.extend(Call::of(&format!("{begun}{end}")));
            } else {
                calls.extend(Call::of(rest));
            }
        }
        calls
    }

    /// The call on a line, if it went well.
    fn of(line: &str) -> Option<Call> {
        let (name, rest) = line.split_once('(')?;
        let (args, result) = rest.rsplit_once(" = ")?;
        if result.starts_with('-') || result.starts_with('?') {
            return None;
        }
        let args = args.trim_end().trim_end_matches(')').split(", ").map(|raw| {
            let begin = raw.find(['"', '<']).map(|at| at + 1);
            let text = begin.and_then(|begin| decode(&raw[begin..]));
            Arg { raw: raw.to_owned(), text }
        });
        Some(Call { name: name.to_owned(), args: args.collect() })
    }

    pub(super) fn text(&self, index: usize) -> &[u8] {
        self.args.get(index).and_then(|arg| arg.text.as_deref()).unwrap_or_default()
    }

    /// The path that an argument is, behind the open directory before it.
    pub(super) fn path(&self, index: usize) -> PathBuf {
        let own = PathBuf::from(String::from_utf8_lossy(self.text(index)).into_owned());
        match index.checked_sub(1) {
            Some(before) if self.name.contains("at") => {
                PathBuf::from(String::from_utf8_lossy(self.text(before)).into_owned()).join(own)
            }
            _ => own,
        }
    }

    pub(super) fn has_flag(&self, flag: &str) -> bool {
        self.args.iter().any(|arg| arg.raw.split('|').any(|word| word == flag))
    }

    /// What is sent to somebody begins like this.
    pub(super) fn sends(&self, beginning: &str) -> bool {
        let is_sending = matches!(self.name.as_str(), "sendto" | "writev" | "write");
        is_sending
            && self
                .args
                .iter()
                .any(|arg| arg.text.as_deref().is_some_and(|text| text.starts_with(beginning.as_bytes())))
    }

    /// The name that a rename gives.
    pub(super) fn renamed_to(&self) -> PathBuf {
        self.path(if self.name == "rename" { 1 } else { 3 })
    }

    /// The directory that a call has made.
    pub(super) fn made(&self) -> PathBuf {
        self.path(usize::from(self.name == "mkdirat"))
    }

    /// Whether a call has opened this file to create it.
    pub(super) fn has_created(&self, path: &Path) -> bool {
        self.name == "openat" && self.has_flag("O_CREAT") && self.path(1) == path
    }

    /// The file that a call is about.
    pub(super) fn file(&self) -> PathBuf {
        PathBuf::from(String::from_utf8_lossy(self.text(0)).into_owned())
    }
}

/// The bytes that stand there as `\x61\x62`, up to the closing quote.
fn decode(text: &str) -> Option<Vec<u8>> {
    let end = text.find(['"', '>'])?;
    text[..end].split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).ok()).collect()
}
