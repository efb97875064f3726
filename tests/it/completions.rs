//! Completions in the shells that use them. A shell that is not installed is left out, and says so; the gate installs all.

use std::path::Path;
use std::process::Command;

use crate::lab::Program;

/// What is typed after the program's name, and the completions of the last word.
const ROWS: [(&str, &[&str]); 7] = [
    ("wait --max-w", &["--max-wait"]),
    ("wait --api e", &["eu"]),
    ("simulate --scenario never", &["never-ready"]),
    ("run --dataset i", &["issues"]),
    ("wait --output j", &["json"]),
    ("status --log-format j", &["json"]),
    ("stat", &["status"]),
];

/// Runs a script in a shell, with the completions of that shell in `directory`. `None` if there is no such shell.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so where tests speak")]
fn in_shell(shell: &str, args: &[&str], script: &str, file: &str) -> Option<String> {
    if Command::new(shell).args(["-c", "true"]).output().is_err() {
        println!("SKIPPED: completions cannot be tried in {shell}, since it is not installed");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let completions = Program::bare("completions").arg(shell).run().exits(0).stdout.clone();
    std::fs::write(directory.path().join(file), completions).unwrap();
    let script = script.replace("DIRECTORY", &directory.path().display().to_string());
    Some(run(shell, args, &script, directory.path()))
}

fn run(shell: &str, args: &[&str], script: &str, home: &Path) -> String {
    let mut command = Command::new(shell);
    let command = command.args(args).args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin");
    let output = command.env("HOME", home).env("TERM", "dumb").output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn bash_completes_options_and_values_of_a_command() {
    // Bash takes an equals sign for a word.
    let with_equals: [(&str, &[&str]); 2] =
        [("wait --api = e", &["eu"]), ("status --log-format =", &["auto", "human", "logfmt", "json"])];
    for (typed, completed) in ROWS.into_iter().chain(with_equals) {
        // As bash itself calls it: the command, the word, and the word before it.
        let script = format!(
            "source DIRECTORY/completions
            COMP_WORDS=(snyk-export {typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            $(complete -p snyk-export | sed 's/.*-F \\([^ ]*\\).*/\\1/') snyk-export \
            \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"
            echo \"${{COMPREPLY[*]}}\""
        );
        let Some(said) = in_shell("bash", &["--norc"], &script, "completions") else { return };
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), completed, "{typed}: {said}");
    }
}

#[test]
fn hidden_options_are_not_offered() {
    let script = Program::bare("completions").arg("fish").run().exits(0).stdout.clone();
    let offered = |command: &str| {
        let of = format!("__fish_snyk_export_using_subcommand {command}\"");
        script.lines().any(|line| line.contains(&of) && line.contains(" -l token-file"))
    };
    assert!(offered("wait") && !offered("man"), "{script}");
}

#[test]
fn fish_completes_options_and_values_of_a_command() {
    for (typed, completed) in ROWS {
        let script = format!("source DIRECTORY/completions; complete -C 'snyk-export {typed}'");
        let Some(said) = in_shell("fish", &["--no-config"], &script, "completions") else { return };
        let words: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, completed, "{typed}: {said}");
    }
}

#[test]
fn zsh_completes_options_and_values_of_a_command() {
    // A shell in a terminal of its own, in which somebody types and presses Tab.
    let begin = r#"zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z "PS1=; unsetopt zle_bracketed_paste; fpath=(DIRECTORY \$fpath); autoload -Uz compinit; compinit -u -D"
        zpty -w z "snyk-export() { print -r -- \"GOT \$* END\" }; print RE''ADY"
        zpty -r z line '*READY*'"#;
    for (typed, completed) in ROWS {
        let words = format!(
            "zpty -w -n z \"snyk-export {typed}\"$'\\t\\n'; zpty -r z line '*END*'; print -r -- \"$line\""
        );
        let Some(said) = in_shell("zsh", &["-f"], &format!("{begin}\n{words}\nzpty -d z"), "_snyk-export")
        else {
            return;
        };
        let (before, _) = typed.rsplit_once(' ').map_or(("", typed), |(before, last)| (before, last));
        let expected = format!("GOT {} END", format!("{before} {}", completed[0]).trim());
        assert!(said.contains(&expected), "{typed}: {expected}: {said}");
    }
}
