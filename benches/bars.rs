//! The bars of a benchmark: the limits that must hold.

use std::process::ExitCode;

/// The limits that were missed.
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

    /// Success if no limit was missed. Prints those that were.
    pub(crate) fn verdict(self) -> ExitCode {
        if self.missed.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("\nmissed: {}", self.missed.join("; "));
        ExitCode::FAILURE
    }
}
