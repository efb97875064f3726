//! The bars of a benchmark: what must hold.

use std::process::ExitCode;

/// What must hold, and what of it did not.
#[derive(Default)]
pub(crate) struct Bars {
    missed: Vec<String>,
}

impl Bars {
    pub(crate) fn at_most(&mut self, what: &str, value: f64, bar: f64, unit: &str) {
        println!("| {what} | {value:.2}{unit} | at most {bar}{unit} |");
        if value > bar {
            self.missed.push(what.to_owned());
        }
    }

    pub(crate) fn at_least(&mut self, what: &str, value: f64, bar: f64, unit: &str) {
        println!("| {what} | {value:.2}{unit} | at least {bar}{unit} |");
        if value < bar {
            self.missed.push(what.to_owned());
        }
    }

    /// Success if nothing was missed; what was is named.
    pub(crate) fn verdict(self) -> ExitCode {
        if self.missed.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("\nmissed: {}", self.missed.join("; "));
        ExitCode::FAILURE
    }
}
