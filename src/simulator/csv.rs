//! The rows of an export: the same for the same columns each time.

use std::borrow::Cow;
use std::ops::Range;

const DEFAULT_COLUMNS: [&str; 5] = ["ISSUE_SEVERITY", "SCORE", "PROBLEM_TITLE", "PROJECT_NAME", "ISSUE_URL"];
const SEVERITIES: [&str; 4] = ["Low", "Medium", "High", "Critical"];
/// Three of them need quotes, so that readers fail that split at commas or line ends.
const TITLES: [&str; 5] = [
    "SQL Injection",
    "Improper Access Control, Generic",
    "Use of \"eval\"",
    "Cross-site Scripting (XSS)",
    "Arbitrary Code Execution\nthrough deserialization",
];

/// A table of made-up issues, split into parts with a header line each.
#[derive(Clone, Debug, Hash)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: u32,
    parts: u32,
}

impl Table {
    /// No `columns` means the usual ones. There are never more parts than rows.
    pub(super) fn new(columns: Vec<String>, rows: u32, parts: u32) -> Table {
        let usual = || DEFAULT_COLUMNS.map(str::to_owned).to_vec();
        let columns = if columns.is_empty() { usual() } else { columns };
        Table { columns, rows, parts: parts.min(rows) }
    }

    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    pub(super) fn parts(&self) -> usize {
        self.parts as usize
    }

    /// The rows of a part, if the table has it.
    pub(super) fn part(&self, part: usize) -> Option<Range<u32>> {
        let part = u32::try_from(part).ok().filter(|part| *part < self.parts)?;
        let (each, more) = (self.rows / self.parts, self.rows % self.parts);
        let first = part * each + part.min(more);
        Some(first..first + each + u32::from(part < more))
    }

    /// The text of some of the rows, below a header line.
    pub(super) fn render(&self, rows: Range<u32>) -> String {
        let mut text = String::new();
        self.line(&mut text, |column| column.into());
        for row in rows {
            self.line(&mut text, |column| cell(column, row));
        }
        text
    }

    fn line(&self, text: &mut String, value: impl for<'a> Fn(&'a str) -> Cow<'a, str>) {
        for (position, column) in self.columns.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            push_quoted(text, &value(column));
        }
        text.push('\n');
    }
}

fn cell(column: &str, row: u32) -> Cow<'static, str> {
    let turn = row as usize;
    match column {
        "ISSUE_SEVERITY" => SEVERITIES[turn % SEVERITIES.len()].into(),
        "SCORE" => (row % 1000).to_string().into(),
        "PROBLEM_TITLE" => TITLES[turn % TITLES.len()].into(),
        "PROJECT_NAME" => format!("acme/service-{}", row % 37).into(),
        "ISSUE_URL" => format!("https://app.snyk.example/issue/{row}").into(),
        other => format!("{}-{row}", other.to_ascii_lowercase()).into(),
    }
}

fn push_quoted(text: &mut String, value: &str) {
    if value.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        text.push_str(&format!("\"{}\"", value.replace('"', "\"\"")));
    } else {
        text.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_all_rows_once() {
        for (rows, parts) in [(10, 3), (7, 7), (2, 5), (1, 1), (0, 3), (100, 8)] {
            let table = Table::new(Vec::new(), rows, parts);
            let all: Vec<u32> = (0..table.parts()).flat_map(|part| table.part(part).unwrap()).collect();
            assert_eq!(all, (0..rows).collect::<Vec<u32>>(), "{rows} rows in {parts} parts");
            assert_eq!(table.part(table.parts()), None);
        }
    }

    #[test]
    fn values_are_quoted_where_they_must() {
        let table = Table::new(vec!["PROBLEM_TITLE".to_owned(), "CVE".to_owned()], 5, 1);
        let expected = "PROBLEM_TITLE,CVE\nSQL Injection,cve-0\n\"Improper Access Control, Generic\",cve-1\n\
                        \"Use of \"\"eval\"\"\",cve-2\nCross-site Scripting (XSS),cve-3\n\
                        \"Arbitrary Code Execution\nthrough deserialization\",cve-4\n";
        assert_eq!(table.render(0..5), expected);
    }
}
