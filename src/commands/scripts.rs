//! `completions` and `man`: what the program writes for shells and for `man`.

use std::path::Path;

use super::{CommandError, Session};
use crate::cli::Cli;
use crate::disk::{self, Readers};
use crate::exit::ExitCode;
use crate::simulator::Scenario;
use crate::text::Text;

/// Where the script for bash has the last two words.
const BASH_WORDS: &str = "    prev=\"$3\"\n";

const BASH_EQUALS: &str = r#"    if [[ "${cur}" == "=" ]]; then
        cur=""
        prev="${COMP_WORDS[COMP_CWORD-1]}"
    elif [[ "${prev}" == "=" ]]; then
        prev="${COMP_WORDS[COMP_CWORD-2]}"
    fi
"#;

pub(super) fn completions(shell: clap_complete::Shell, session: &Session) -> Result<ExitCode, CommandError> {
    let scenarios: Vec<&str> = Scenario::names().map(|(name, _)| name).collect();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::completed(&scenarios), "snyk-export", &mut text);
    let script = String::from_utf8(text).unwrap_or_default();
    // The generator takes the hyphen of the program's name for a subcommand in one of two places (clap #6421).
    let script = script.replace("snyk__subcmd__export", "snyk__export");
    // Bash takes the equals sign of `--api=eu` for a word.
    let script = script.replacen(BASH_WORDS, &format!("{BASH_WORDS}{BASH_EQUALS}"), 1);
    session.console.data(script.as_bytes()).map(|()| ExitCode::SUCCESS)
}

pub(super) fn manual(dir: Option<&Path>, session: &Session) -> Result<ExitCode, CommandError> {
    let pages = Cli::manual();
    let Some(dir) = dir else {
        let first = pages.first().map(|(_, page)| page.as_bytes());
        return session.console.data(first.unwrap_or_default()).map(|()| ExitCode::SUCCESS);
    };
    let failed =
        |error: std::io::Error| CommandError::Usage(format!("--dir {}: {error}", Text::of_path(dir)));
    disk::create_directories_durably(dir, Readers::Umask).map_err(failed)?;
    for (name, page) in pages {
        disk::replace_durably(&dir.join(name), page.as_bytes(), Readers::Umask).map_err(failed)?;
    }
    Ok(ExitCode::SUCCESS)
}
