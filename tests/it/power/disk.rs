//! The files that result from traced system calls: as processes see them, and as they are on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::trace::Call;

/// A file, or a directory where there is none.
pub(super) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

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
            Node::File { .. } => panic!("that is not a directory"),
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
