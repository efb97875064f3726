//! How lines for people look: colors, symbols, the width of the terminal.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

/// How lines are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// Short lines for people at a terminal.
    Human,
    /// Structured lines that a person reads too.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// How text on standard error looks.
#[derive(Debug, Clone)]
pub struct Look {
    /// The form of log lines.
    pub rendering: Rendering,
    /// Whether text is colored.
    pub is_colored: bool,
    /// Whether symbols beyond ASCII are shown.
    pub is_unicode: bool,
    /// Where text is wrapped, in columns; `None` for nowhere.
    pub width: Option<usize>,
    /// The zone of the time of day.
    pub zone: TimeZone,
    /// Whether lines are indented below a first one; a daemon's are not.
    pub is_indented: bool,
}

/// What a symbol means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It went well.
    Well,
    /// It passes.
    Warning,
    /// It did not go well.
    Failed,
}

/// Symbols, and what stands for them where only ASCII can be shown.
const SYMBOLS: [(char, &str); 10] = [
    ('✔', "+"),
    ('✘', "x"),
    ('·', "-"),
    ('→', "->"),
    ('…', "..."),
    ('—', "-"),
    ('“', "\""),
    ('”', "\""),
    ('‘', "'"),
    ('’', "'"),
];

/// A text with the symbols that ASCII has.
#[must_use]
pub fn in_ascii(text: &str) -> String {
    SYMBOLS.iter().fold(text.to_owned(), |text, (symbol, plain)| text.replace(*symbol, plain))
}

impl Look {
    /// A text with symbols that can be shown.
    #[must_use]
    pub fn symbols(&self, text: &str) -> String {
        if self.is_unicode { text.to_owned() } else { in_ascii(text) }
    }

    /// A symbol in its color.
    #[must_use]
    pub fn mark(&self, mark: Mark) -> String {
        match mark {
            Mark::Well => self.colored("1;32", "✔"),
            Mark::Warning => self.colored("33", "!"),
            Mark::Failed => self.colored("1;31", "✘"),
        }
    }

    /// A text in the background.
    #[must_use]
    pub fn dim(&self, text: &str) -> String {
        self.colored("2", text)
    }

    /// A text that stands out.
    #[must_use]
    pub fn bold(&self, text: &str) -> String {
        self.colored("1", text)
    }

    fn colored(&self, code: &str, text: &str) -> String {
        let text = self.symbols(text);
        if self.is_colored && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    }

    /// A text in lines that fit, the further ones after `indent` blanks. A command of ours at the end stays on one line, so that
    /// it can be copied.
    #[must_use]
    pub fn wrapped(&self, text: &str, indent: usize) -> String {
        let text = self.symbols(text);
        let Some(width) = self.width else { return text };
        let width = width.saturating_sub(indent).max(20);
        let (words, command) = match text.find("snyk-export ") {
            Some(at) if text[..at].ends_with(": ") => text.split_at(at),
            _ => (text.as_str(), ""),
        };
        let (mut out, mut column) = (String::new(), 0);
        let pieces = words.trim_end().split(' ').chain((!command.is_empty()).then_some(command));
        for piece in pieces {
            let length = columns(piece);
            if column > 0 && column + 1 + length > width {
                let _ = write!(out, "\n{:indent$}", "");
                column = 0;
            }
            if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(piece);
            column += length;
        }
        out
    }
}

/// How many columns a word takes: the codes of colors take none.
fn columns(word: &str) -> usize {
    let mut codes = word.split("\x1b[");
    let first = codes.next().map_or(0, |text| text.chars().count());
    first + codes.map(|code| code.split_once('m').map_or(0, |(_, text)| text.chars().count())).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look {
        rendering: Rendering::Human,
        is_colored: false,
        is_unicode: false,
        width: Some(40),
        zone: TimeZone::UTC,
        is_indented: true,
    };

    #[test]
    fn text_is_wrapped_between_words_and_a_command_stays_whole() {
        let text =
            "allow more with --max-wait; to go on waiting: snyk-export wait /groups/G/jobs/export/E --api=eu";
        let expected = "allow more with --max-wait; to\n          go on waiting:\n          snyk-export wait \
                        /groups/G/jobs/export/E --api=eu";
        assert_eq!(PLAIN.wrapped(text, 10), expected);
        assert_eq!(Look { width: None, ..PLAIN }.wrapped(text, 10), text);
        let look = Look { is_colored: true, ..PLAIN };
        let row = format!("{} a row of as many columns as fit", look.mark(Mark::Warning));
        assert_eq!((look.wrapped(&row, 7), look.wrapped(&row, 8).lines().count()), (row.clone(), 2));
    }

    #[test]
    fn symbols_have_a_form_in_ascii_and_colors_are_separate() {
        assert_eq!(PLAIN.symbols("✔ a · b → c… “d’s”"), "+ a - b -> c... \"d's\"");
        assert_eq!(PLAIN.mark(Mark::Failed), "x");
        let look = Look { is_colored: true, is_unicode: true, ..PLAIN };
        assert_eq!(look.mark(Mark::Failed), "\x1b[1;31m✘\x1b[0m");
    }
}
