//! Tells of each end, once.

use std::cell::RefCell;
use std::ops::ControlFlow;

use futures_util::StreamExt as _;

use super::links::{Allowance, lacks_results, list_results};
use crate::cli::{Output, OutputArgs};
use crate::commands::CommandError;
use crate::commands::console::Console;
use crate::document::Document;
use crate::event::{Ending, Event};
use crate::moment::Moment;
use crate::observe::Observer;
use crate::snyk::Client;
use crate::watch::Policy;
use crate::watch::outcome::Outcome;

/// Of which ends there is something to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Telling {
    /// Of each: that is all that the command does.
    All,
    /// Of an export that has finished only in words, since the command goes on with it.
    WordsOfFinished,
}

/// Tells of each end once: on standard output, and in words.
pub(super) struct Teller<'a> {
    console: &'a Console,
    observer: &'a RefCell<Observer>,
    output: OutputArgs,
    telling: Telling,
    endings: Vec<Ending>,
    /// Which of the endings were not told yet.
    untold: Vec<usize>,
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

    /// Takes an event; breaks off when nothing more is wanted.
    pub(super) fn event(&mut self, event: &Event, any: bool) -> ControlFlow<()> {
        let Event::Finished(ending) = event else {
            self.observer.borrow_mut().event(event);
            return ControlFlow::Continue(());
        };
        self.end(Ending::clone(ending));
        let enough = any && ending.outcome == Outcome::Finished;
        if enough || self.failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Takes an end, and tells of it unless links are still to be asked for.
    pub(super) fn end(&mut self, ending: Ending) {
        self.observer.borrow_mut().event(&Event::Finished(Box::new(ending.clone())));
        if self.telling == Telling::WordsOfFinished && ending.outcome == Outcome::Finished {
            let (sentence, hint) = self.observer.borrow().closing(&ending);
            self.say(&ending, &sentence, hint.as_deref());
        } else if self.output.show_urls && lacks_results(&ending) {
            self.untold.push(self.endings.len());
        } else {
            self.tell(&ending);
        }
        self.endings.push(ending);
    }

    fn tell(&mut self, ending: &Ending) {
        let (sentence, hint) = self.observer.borrow().closing(ending);
        if self.output.show_urls {
            self.console.mask_links(ending.report.as_ref());
        }
        let line = match self.output.output {
            Output::Json => {
                let document = Document::of_ending(ending, self.output.show_urls).with_hint(hint.clone());
                match self.telling {
                    Telling::All => document,
                    Telling::WordsOfFinished => document.with_download(None),
                }
                .to_line()
            }
            Output::Text => text_line(ending, self.output.show_urls),
        };
        self.failure = self.console.data_line(&line).err().or(self.failure.take());
        self.say(ending, &sentence, hint.as_deref());
    }

    fn say(&self, ending: &Ending, sentence: &str, hint: Option<&str>) {
        let is_well = matches!(ending.outcome, Outcome::Finished | Outcome::Abandoned);
        // The observer has logged it where machines read.
        match (self.console.is_json(), is_well) {
            (true, _) => {}
            (false, true) => self.console.success(sentence, || {}),
            (false, false) => self.console.failure(sentence, hint),
        }
    }

    /// Tells of the ends whose documents listed no results, with what the results endpoint lists.
    pub(super) async fn tell_with_links(&mut self, client: &Client, allowance: Allowance) {
        let of_untold = |index: &usize| (*index, self.endings[*index].watch.export);
        let mut listed = list_results(self.untold.iter().map(of_untold).collect(), client, allowance);
        while let Some((index, report)) = listed.next().await {
            self.untold.retain(|untold| *untold != index);
            self.endings[index].report = report.or(self.endings[index].report.take());
            self.tell(&self.endings[index].clone());
        }
    }

    /// When the wait ends for those that are not told yet.
    pub(super) fn deadline(&self, policy: &Policy) -> Option<Moment> {
        let untold = self.untold.iter().map(|index| &self.endings[*index].watch.progress);
        untold.filter_map(|progress| progress.deadline(policy)).min()
    }

    /// Whether an end could not be told.
    pub(super) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Tells of what was left untold, and gives back all ends.
    pub(super) fn tell_the_rest(mut self) -> Result<Vec<Ending>, CommandError> {
        for index in std::mem::take(&mut self.untold) {
            self.tell(&self.endings[index].clone());
        }
        match self.failure {
            Some(error) => Err(error),
            None => Ok(self.endings),
        }
    }
}

/// `EXPORT_ID outcome`, and what there is to fetch; with links, one a line below.
pub(in crate::commands) fn text_line(ending: &Ending, show_urls: bool) -> String {
    let mut line = format!("{} {}", ending.watch.export.export_id, ending.outcome);
    if ending.outcome != Outcome::Finished {
        return line;
    }
    let results = ending.report.as_ref().and_then(|report| report.results.as_deref()).unwrap_or_default();
    let count = |count: u64, noun: &str| format!(" {count} {noun}{}", if count == 1 { "" } else { "s" });
    if let Some(rows) = ending.row_count() {
        line += &count(rows, "row");
    }
    if !results.is_empty() {
        line += &count(results.len() as u64, "file");
    }
    let urls = results.iter().filter_map(|part| part.link.as_ref()).filter(|_| show_urls);
    urls.fold(line, |line, url| line + "\n" + &url.show())
}
