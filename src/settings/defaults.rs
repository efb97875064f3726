//! The defaults for Rust programs: those of `config/default.toml`.

use super::{CommandLine, Environment, Settings};
use crate::download::Limits;
use crate::watch::Policy;

fn defaults() -> Settings {
    Settings::load(CommandLine::default(), Environment::default())
        .unwrap_or_else(|error| unreachable!("the defaults are valid: {error}"))
}

impl Default for Policy {
    /// What `wait` does without any flag, as `config/default.toml` says.
    fn default() -> Self {
        defaults().policy().unwrap_or_else(|error| unreachable!("the defaults are valid: {error}"))
    }
}

impl Default for Limits {
    /// What `download` does without any flag, as `config/default.toml` says.
    fn default() -> Self {
        defaults().download_limits()
    }
}
