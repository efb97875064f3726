//! What `strace` has written down, and the directories that come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is traced.
pub(super) const CALLS: &str = "openat,open,creat,write,pwrite64,writev,sendto,fsync,fdatasync,rename,renameat,renameat2,\
    unlink,unlinkat,mkdir,mkdirat,rmdir,execve,ftruncate";

/// A file, or a directory where there is none.
pub(super) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

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

    fn text(&self, index: usize) -> &[u8] {
        self.args.get(index).and_then(|arg| arg.text.as_deref()).unwrap_or_default()
    }

    /// The path that an argument is, behind the open directory before it.
    fn path(&self, index: usize) -> PathBuf {
        let own = PathBuf::from(String::from_utf8_lossy(self.text(index)).into_owned());
        match index.checked_sub(1) {
            Some(before) if self.name.contains("at") => {
                PathBuf::from(String::from_utf8_lossy(self.text(before)).into_owned()).join(own)
            }
            _ => own,
        }
    }

    fn has_flag(&self, flag: &str) -> bool {
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

#[derive(Debug, Clone)]
enum Node {
    File { now: Vec<u8>, synced: Vec<u8> },
    Directory { now: Entries, synced: Entries },
}

type Entries = BTreeMap<String, usize>;

/// What a directory holds, as processes see it and as the disk has it.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
}

impl Disk {
    /// A directory that has been there for ever, with all that is in it.
    pub(super) fn of(root: &Path) -> Disk {
        let directory = Node::Directory { now: Entries::new(), synced: Entries::new() };
        let mut disk = Disk { root: root.to_owned(), nodes: vec![directory.clone()] };
        let tree = Disk::read(root);
        for (path, text) in &tree {
            let node = match text {
                Some(text) => Node::File { now: text.clone(), synced: text.clone() },
                None => directory.clone(),
            };
            assert!(disk.add(&root.join(path), node));
        }
        disk.sync(root);
        for path in tree.keys() {
            assert!(disk.sync(&root.join(path)));
        }
        disk
    }

    /// The same, found at another place.
    pub(super) fn at(self, root: &Path) -> Disk {
        Disk { root: root.to_owned(), ..self }
    }

    fn read(root: &Path) -> Tree {
        let mut tree = Tree::new();
        let mut waiting = vec![root.to_owned()];
        while let Some(directory) = waiting.pop() {
            for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.strip_prefix(root).unwrap().to_owned();
                match path.is_dir() {
                    true => {
                        tree.insert(name, None);
                        waiting.push(path);
                    }
                    false => drop(tree.insert(name, Some(std::fs::read(&path).unwrap()))),
                }
            }
        }
        tree
    }

    /// Does what a call has done; says whether that was anything.
    pub(super) fn apply(&mut self, call: &Call) -> bool {
        match call.name.as_str() {
            "openat" | "open" | "creat" => self.open(call),
            "write" => self.write(call),
            "fsync" | "fdatasync" => self.sync(&call.file()),
            "mkdir" => {
                self.add(&call.path(0), Node::Directory { now: Entries::new(), synced: Entries::new() })
            }
            "mkdirat" => {
                self.add(&call.path(1), Node::Directory { now: Entries::new(), synced: Entries::new() })
            }
            "unlink" | "rmdir" => self.take(&call.path(0)).is_some(),
            "unlinkat" => self.take(&call.path(1)).is_some(),
            "rename" => self.rename(&call.path(0), &call.path(1)),
            "renameat" | "renameat2" => self.rename(&call.path(1), &call.path(3)),
            "pwrite64" | "ftruncate" => {
                assert!(self.find(&call.file()).is_none(), "this is not rebuilt here: {call:?}");
                false
            }
            _ => false,
        }
    }

    fn open(&mut self, call: &Call) -> bool {
        let path = call.path(usize::from(call.name == "openat"));
        match self.find(&path) {
            Some(index) if call.has_flag("O_TRUNC") => {
                if let Node::File { now, .. } = &mut self.nodes[index] {
                    now.clear();
                }
                true
            }
            None if call.has_flag("O_CREAT") => {
                self.add(&path, Node::File { now: Vec::new(), synced: Vec::new() })
            }
            _ => false,
        }
    }

    fn write(&mut self, call: &Call) -> bool {
        let Some(index) = self.find(&call.file()) else { return false };
        let Node::File { now, .. } = &mut self.nodes[index] else { return false };
        now.extend_from_slice(call.text(1));
        true
    }

    fn sync(&mut self, path: &Path) -> bool {
        let Some(index) = self.find(path) else { return false };
        match &mut self.nodes[index] {
            Node::File { now, synced } => synced.clone_from(now),
            Node::Directory { now, synced } => synced.clone_from(now),
        }
        true
    }

    fn rename(&mut self, from: &Path, to: &Path) -> bool {
        let Some(index) = self.take(from) else { return false };
        let (parent, name) = self.parent(to).unwrap();
        self.entries(parent).insert(name, index);
        true
    }

    fn add(&mut self, path: &Path, node: Node) -> bool {
        let Some((parent, name)) = self.parent(path) else { return false };
        self.nodes.push(node);
        let index = self.nodes.len() - 1;
        self.entries(parent).insert(name, index);
        true
    }

    fn take(&mut self, path: &Path) -> Option<usize> {
        let (parent, name) = self.parent(path)?;
        self.entries(parent).remove(&name)
    }

    fn parent(&self, path: &Path) -> Option<(usize, String)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_str()?.to_owned()))
    }

    fn entries(&mut self, index: usize) -> &mut Entries {
        match &mut self.nodes[index] {
            Node::Directory { now, .. } => now,
            Node::File { .. } => panic!("that is no directory"),
        }
    }

    /// What a path below the root leads to.
    fn find(&self, path: &Path) -> Option<usize> {
        let path = path.strip_prefix(&self.root).ok()?;
        path.iter().try_fold(0, |index, name| match &self.nodes[index] {
            Node::Directory { now, .. } => now.get(name.to_str()?).copied(),
            Node::File { .. } => None,
        })
    }

    /// What a power cut leaves where only what was synced is on the disk: names and contents.
    pub(super) fn only_synced(&self) -> Tree {
        self.tree(true)
    }

    /// What a power cut leaves where names are on the disk, and only those contents that were synced.
    pub(super) fn names_without_data(&self) -> Tree {
        self.tree(false)
    }

    fn tree(&self, only_synced_names: bool) -> Tree {
        let mut tree = Tree::new();
        let mut waiting = vec![(PathBuf::new(), 0)];
        let mut seen = BTreeSet::new();
        while let Some((path, index)) = waiting.pop() {
            match &self.nodes[index] {
                Node::File { synced, .. } => drop(tree.insert(path, Some(synced.clone()))),
                Node::Directory { now, synced } => {
                    assert!(seen.insert(index), "a directory has two places: {}", path.display());
                    let entries = if only_synced_names { synced } else { now };
                    waiting.extend(entries.iter().map(|(name, index)| (path.join(name), *index)));
                    if !path.as_os_str().is_empty() {
                        tree.insert(path, None);
                    }
                }
            }
        }
        tree
    }
}

/// Puts a tree into the place of all that a directory holds.
pub(super) fn materialize(tree: &Tree, root: &Path) {
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).unwrap(),
            false => std::fs::remove_file(path).unwrap(),
        }
    }
    for (path, text) in tree {
        match text {
            None => std::fs::create_dir(root.join(path)).unwrap(),
            Some(text) => std::fs::write(root.join(path), text).unwrap(),
        }
    }
}
