//! Writes how each export ended.

use std::cell::RefCell;
use std::ops::ControlFlow;

use super::links::lacks_results;
use crate::cli::OutputArgs;
use crate::commands::CommandError;
use crate::commands::console::Console;
use crate::document::Document;
use crate::duration::brief;
use crate::event::{Ending, Event, What};
use crate::observe::Observer;
use crate::secret::Link;
use crate::watch::outcome::Outcome;
use crate::words::counted;

/// What is written about an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Telling {
    /// Everything.
    All,
    /// For a finished export only the words: the command continues with it.
    WordsOfFinished,
}

/// Writes how each export ended: on standard output, and in words.
pub(super) struct Teller<'a> {
    console: &'a Console,
    observer: &'a RefCell<Observer>,
    output: OutputArgs,
    telling: Telling,
    endings: Vec<Ending>,
    /// Those that are not written yet, since their results are still to be requested.
    untold: Vec<Ending>,
    failure: Option<CommandError>,
}

impl<'a> Teller<'a> {
    pub(super) const fn new(
        console: &'a Console,
        observer: &'a RefCell<Observer>,
        output: OutputArgs,
        telling: Telling,
    ) -> Self {
        Self { console, observer, output, telling, endings: Vec::new(), untold: Vec::new(), failure: None }
    }

    /// Takes an event. Breaks off when enough is known, or once standard output has failed.
    pub(super) fn event(&mut self, event: &Event, any: bool) -> ControlFlow<()> {
        if self.failure.is_some() {
            return ControlFlow::Break(());
        }
        self.observer.borrow_mut().event(event);
        let What::Finished(ending) = &event.what else { return ControlFlow::Continue(()) };
        self.end(Ending::clone(ending));
        let enough = any && ending.outcome == Outcome::Finished;
        if enough || self.failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Takes an end, and writes it unless links are still to be requested.
    fn end(&mut self, ending: Ending) {
        if self.telling == Telling::WordsOfFinished && ending.outcome == Outcome::Finished {
            self.console.line.clear();
            self.console.done(step("Ready", brief(ending.waited())), None, || {});
        } else if self.output.show_urls && lacks_results(&ending) {
            return self.untold.push(ending);
        } else {
            self.tell(&ending);
        }
        self.endings.push(ending);
    }

    fn tell(&mut self, ending: &Ending) {
        let closing = self.observer.borrow().closing(ending);
        if self.output.show_urls {
            self.console.mask_links(ending.report.as_ref());
        }
        let document = Document::of_ending(ending, self.output.show_urls).with_hint(closing.next.clone());
        let document = match self.telling {
            Telling::All => document,
            Telling::WordsOfFinished => document.with_download(None),
        };
        let text = match self.console.says_it_in_words() {
            true => links(ending, self.output.show_urls).join("\n"),
            false => text_line(ending, self.output.show_urls),
        };
        let written = self.console.result(self.output.output, &document, &text);
        self.failure = written.err().or(self.failure.take());
        // If logs are JSON, the observer has already logged it.
        match closing.is_well && self.console.says_it_as_data() {
            true => self.console.last.add(&closing),
            false => self.console.close(&closing),
        }
    }

    /// The ends that are not written yet.
    pub(super) fn untold(&mut self) -> &mut [Ending] {
        &mut self.untold
    }

    /// Writes the remaining ends, and returns all.
    pub(super) fn tell_the_rest(mut self) -> Result<Vec<Ending>, CommandError> {
        for ending in std::mem::take(&mut self.untold) {
            self.tell(&ending);
            self.endings.push(ending);
        }
        self.failure.map_or(Ok(self.endings), Err)
    }
}

/// `EXPORT_ID outcome` with the numbers of rows and files; links follow, one per line.
pub(in crate::commands) fn text_line(ending: &Ending, show_urls: bool) -> String {
    let mut line = format!("{} {}", ending.watch.export.export_id, ending.outcome);
    if ending.outcome != Outcome::Finished {
        return line;
    }
    let results = ending.report.as_ref().and_then(|report| report.results.as_deref()).unwrap_or_default();
    if let Some(rows) = ending.row_count() {
        line += &format!(" {}", counted(rows, "row"));
    }
    if !results.is_empty() {
        line += &format!(" {}", counted(results.len() as u64, "file"));
    }
    links(ending, show_urls).iter().fold(line, |line, url| line + "\n" + url)
}

fn links(ending: &Ending, show_urls: bool) -> Vec<String> {
    let results = ending.report.as_ref().and_then(|report| report.results.as_deref()).unwrap_or_default();
    results.iter().filter_map(|part| part.link.as_ref()).filter(|_| show_urls).map(Link::show).collect()
}

/// A step of a run that is done: `Ready    2m 31s`.
pub(in crate::commands) fn step(name: &str, what: impl std::fmt::Display) -> String {
    format!("{name:8} {what}")
}
