//! Renders the last lines of a command.

use crate::telemetry::{Look, Mark};
use crate::words::Closing;

/// The column at which values begin.
const INDENT: usize = 10;

/// The lines, each with its end.
pub(super) fn render(closing: &Closing, look: &Look) -> String {
    let Closing { is_well, head, reason, next, export, request, exit } = closing;
    let mark = look.mark(if *is_well { Mark::Well } else { Mark::Failed });
    let mut lines = format!("{mark} {}\n", look.wrapped(head, 2));
    let label = |label: &str| format!("  {}", look.dim(&format!("{label:8}")));
    for (name, text) in [("reason", reason), ("next", next)] {
        if let Some(text) = text {
            lines += &format!("{}{}\n", label(name), look.wrapped(text, INDENT));
        }
    }
    let ids = [
        ("id", export.map(|id| id.to_string())),
        ("request", request.clone()),
        ("exit", exit.map(|(code, word)| format!("{code} ({word})"))),
    ];
    let ids = ids.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let (mut column, width) = (0, look.width.unwrap_or(usize::MAX));
    for (name, value) in ids.filter(|_| !is_well) {
        let length = 3 + name.len() + 1 + value.len();
        // The first one in a row stands in the column of the labels.
        if column == 0 || column + length > width {
            lines += if column == 0 { "" } else { "\n" };
            lines += &format!("{}{value}", label(name));
            column = INDENT + value.len();
        } else {
            lines += &format!("   {} {value}", look.dim(name));
            column += length;
        }
    }
    lines += if column == 0 { "" } else { "\n" };
    lines
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::telemetry::Rendering;

    #[test]
    fn the_last_lines_have_cause_cure_and_ids_and_fit_the_screen() {
        let closing = Closing {
            head: "Failed after 3s: Snyk stopped with ERRORED".to_owned(),
            reason: Some("the query took too long".to_owned()),
            next: Some("start a new export".to_owned()),
            export: Some(uuid::Uuid::from_u128(7)),
            request: Some("3d58bb03-0000-4000-8000-000000000000".to_owned()),
            exit: Some((3, "failed")),
            ..Closing::default()
        };
        let look = |width| Look {
            rendering: Rendering::Human,
            is_colored: false,
            is_unicode: true,
            width,
            zone: TimeZone::UTC,
            is_indented: true,
        };
        let head = "✘ Failed after 3s: Snyk stopped with ERRORED\n  reason  the query took too long\n  next    \
                    start a new export\n";
        let id = "  id      00000000-0000-0000-0000-000000000007";
        let wide = format!("{head}{id}   request 3d58bb03-0000-4000-8000-000000000000   exit 3 (failed)\n");
        assert_eq!(render(&closing, &look(None)), wide);
        let narrow =
            format!("{head}{id}\n  request 3d58bb03-0000-4000-8000-000000000000   exit 3 (failed)\n");
        assert_eq!(render(&closing, &look(Some(80))), narrow);
        let well = Closing { is_well: true, head: "Ready after 2m 31s".to_owned(), ..Closing::default() };
        assert_eq!(render(&well, &look(Some(80))), "✔ Ready after 2m 31s\n");
    }
}
