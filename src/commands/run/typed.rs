//! What was typed, for the command that goes on where this one stops.

use std::ffi::OsString;
use std::path::Path;

use crate::disk;
use crate::observe::quoted;

/// Options with a value that say what to start, or that the command names itself.
const DROPPED: [&str; 18] = [
    "--group-id",
    "--org-id",
    "--dataset",
    "--format",
    "--columns",
    "--introduced-from",
    "--introduced-to",
    "--updated-from",
    "--updated-to",
    "--filter",
    "--url-expiration-seconds",
    "--url-expiration",
    "--body",
    "--time-zone",
    "--dir",
    "--merge",
    "--state",
    "--resume",
];

/// Options that are kept, and whose value is a path: they go on from anywhere.
const PATHS: [&str; 3] = ["--token-file", "--config", "--ca-cert"];

/// The like of the first without a value.
const DROPPED_FLAGS: [&str; 3] = ["--include-deleted", "--include-deactivated", "--force"];

/// All other words of a call of `run`, each as a shell takes it, with a blank before it. They still hold when it goes on.
pub(super) fn kept(args: &[OsString]) -> String {
    let mut words = args.iter().skip(1).map(|arg| arg.to_string_lossy());
    let mut kept = String::new();
    let mut keep = |word: &str| kept.extend([" ", &quoted(word)]);
    let mut is_named = false;
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if word == "--" {
            keep("--");
            words.by_ref().for_each(|word| keep(&word));
        } else if DROPPED.contains(&name) {
            if name == word {
                words.next();
            }
        } else if PATHS.contains(&name) {
            let apart = || words.next().unwrap_or_default().into_owned();
            let path = word.split_once('=').map_or_else(apart, |(_, path)| path.to_owned());
            keep(name);
            keep(&disk::absolute(Path::new(&path)).display().to_string());
        } else if word == "run" && !is_named {
            is_named = true;
        } else if !DROPPED_FLAGS.contains(&name) {
            keep(&word);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_holds_is_kept() {
        let rows = [
            ("snyk-export run --dataset issues --introduced-from -1d --dir a --force", ""),
            ("snyk-export --api eu run -q --dir=a --max-wait 2h --filter x=y", " --api eu -q --max-wait 2h"),
            ("snyk-export run --state run --log-format=json", " --log-format=json"),
            ("snyk-export run --config /a.toml --token-file=/b", " --config /a.toml --token-file /b"),
            ("snyk-export run --dir a -- ./load --dir b run", " -- ./load --dir b run"),
        ];
        for (typed, expected) in rows {
            let args: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
            assert_eq!(kept(&args), expected, "{typed}");
        }
    }

    #[test]
    fn every_option_that_is_dropped_is_one() {
        let command = crate::cli::Cli::describe();
        let run = command.find_subcommand("run").unwrap();
        let is_known = |name: &&str| {
            run.get_arguments().any(|arg| {
                let aliases = arg.get_all_aliases().unwrap_or_default();
                arg.get_long().into_iter().chain(aliases).any(|long| long == name.trim_start_matches("--"))
            })
        };
        let unknown: Vec<&str> =
            DROPPED.into_iter().chain(DROPPED_FLAGS).filter(|name| !is_known(name)).collect();
        assert_eq!(unknown, [""; 0]);
    }
}
