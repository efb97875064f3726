//! Reads the code of `src`, and finds what each file imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module by its path from the crate's root, such as `["server", "api"]`.
pub(super) type Module = Vec<String>;

/// Modules, with those that they import.
pub(super) type Edges = BTreeMap<String, BTreeSet<String>>;

/// The files below `src` by their paths in it, in order, without comments and tests.
pub(super) fn sources() -> Vec<(PathBuf, String)> {
    let root = root().join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.extend(Some(path).filter(|path| !path.ends_with("tests")));
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                found.push((path.strip_prefix(&root).unwrap().to_owned(), code_of(&read(&path))));
            }
        }
    }
    let for_tests = modules_for_tests(&read(&root.join("lib.rs")));
    found.retain(|(path, _)| module_of(path).first().is_none_or(|top| !for_tests.contains(top)));
    found.sort();
    found
}

/// The modules that `lib.rs` has for tests only.
fn modules_for_tests(lib: &str) -> BTreeSet<String> {
    let declared =
        lib.split("#[cfg(test)]").skip(1).filter_map(|item| item.trim_start().strip_prefix("mod "));
    declared.map(word).collect()
}

/// The code of a file without its comments, and without items for tests.
pub(super) fn code_of(source: &str) -> String {
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.map(|line| line.split(" // ").next().unwrap()).collect::<Vec<_>>().join("\n");
    let mut items = code.split("#[cfg(test)]");
    let first = items.next().unwrap().to_owned();
    items.fold(first, |code, item| code + after_item(item))
}

/// The text after the item at the start of `text`.
fn after_item(text: &str) -> &str {
    let mut depth = 0;
    for (index, char) in text.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && (char == ';' || char == '}') {
            return &text[index + 1..];
        }
    }
    ""
}

/// The module of a file below `src`.
pub(super) fn module_of(path: &Path) -> Module {
    let module = path.with_extension("");
    let module = module.iter().map(|part| part.to_str().unwrap().to_owned());
    module.filter(|part| part != "lib").collect()
}

/// The modules that the code of `module` imports by paths that start with `crate`, `super` or `self`: for each path, the longest
/// part that is a module in `all`.
pub(super) fn named(code: &str, module: &[String], all: &BTreeSet<Module>) -> BTreeSet<Module> {
    paths(code).into_iter().map(|path| resolve(&path, module, all)).collect()
}

fn resolve(path: &[String], module: &[String], all: &BTreeSet<Module>) -> Module {
    let mut at = if path[0] == "crate" { Vec::new() } else { module.to_vec() };
    for word in path {
        match word.as_str() {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            name => {
                at.push(name.to_owned());
                if !all.contains(&at) {
                    at.pop();
                    break;
                }
            }
        }
    }
    at
}

/// All paths that start with `crate`, `super` or `self`. Trees in `use` are expanded.
pub(super) fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (index, _) in code.match_indices(start) {
            let is_inside = |char: char| char.is_alphanumeric() || "_:$".contains(char);
            if !code[..index].ends_with(is_inside) {
                read_tree(&code[index..], &[], &mut found);
            }
        }
    }
    found
}

/// Reads the path or tree of paths at the start of `text`, and returns the rest.
fn read_tree<'a>(text: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let (mut path, mut rest) = (prefix.to_vec(), text.trim_start());
    if let Some(mut list) = rest.strip_prefix('{') {
        while !list.is_empty() {
            list = read_tree(list, prefix, found).trim_start_matches(|char| char != ',' && char != '}');
            match list.strip_prefix('}') {
                Some(rest) => return rest,
                None => list = list.strip_prefix(',').unwrap_or_default(),
            }
        }
        return list;
    }
    let word = word(rest);
    rest = &rest[word.len()..];
    if word.is_empty() {
        found.push(path);
        return rest;
    }
    path.push(word);
    match rest.strip_prefix("::") {
        Some(more) => read_tree(more, &path, found),
        None => {
            found.push(path);
            rest
        }
    }
}

/// The identifier at the start of a text.
fn word(text: &str) -> String {
    text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

/// For each module with children, which children import which others, including the modules below them.
pub(super) fn between_siblings(files: &[(Module, String)]) -> BTreeMap<Module, Edges> {
    let all: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
    let mut levels: BTreeMap<Module, Edges> = BTreeMap::new();
    for (module, code) in files {
        for named in named(code, module, &all) {
            let common = module.iter().zip(&named).take_while(|(ours, theirs)| ours == theirs).count();
            if let (Some(one), Some(other)) = (module.get(common), named.get(common)) {
                let edges = levels.entry(module[..common].to_vec()).or_default();
                edges.entry(one.clone()).or_default().insert(other.clone());
            }
        }
    }
    levels
}

/// The part of `edges` that is on circles, or between circles.
pub(super) fn circles(mut edges: Edges) -> Edges {
    loop {
        let names: BTreeSet<String> = edges.keys().cloned().collect();
        let named: BTreeSet<String> = edges.values().flatten().cloned().collect();
        let before: usize = edges.values().map(BTreeSet::len).sum();
        edges.retain(|name, others| {
            others.retain(|other| names.contains(other));
            named.contains(name) && !others.is_empty()
        });
        if edges.values().map(BTreeSet::len).sum::<usize>() == before {
            return edges;
        }
    }
}

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
