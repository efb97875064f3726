//! Text that somebody else wrote, made fit to be shown.
//!
//! Error details, titles and status words come from a server, and whoever controls one may try to write to
//! our user's terminal or to give orders to a CI system. They are data: [`Text`] is the only form in which they
//! travel through this crate. What a certain place needs on top (Markdown, annotations) is escaped there.

use std::fmt;

use serde::{Serialize, Serializer};

/// Foreign text without control characters, of at most 500 characters, on one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text(String);

impl Text {
    /// The longest text that is kept, in characters (a rule of `docs/ARCHITECTURE.md`).
    pub const MAX_CHARS: usize = 500;

    /// Cleans `raw`: white space of any kind becomes a blank, other control and direction characters go, and so
    /// do blanks at both ends. A `##` is broken up, since CI systems look for `##[command]` anywhere in a line.
    /// Links lose their queries and passwords, since one may be signed.
    #[must_use]
    pub fn new(raw: &str) -> Self {
        let blank = |char: char| if char.is_whitespace() { ' ' } else { char };
        let visible: String = raw.chars().map(blank).filter(|char| !is_invisible(*char)).collect();
        let mut clean: Vec<char> = Vec::new();
        for char in without_secrets_of_links(visible.trim()).chars() {
            if char == '#' && clean.last() == Some(&'#') {
                clean.push(' ');
            }
            clean.push(char);
            if clean.len() > Self::MAX_CHARS {
                clean.truncate(Self::MAX_CHARS - 1);
                clean.push('…');
                break;
            }
        }
        Self(String::from_iter(clean).trim().to_owned())
    }

    /// Something that a user typed, to be shown in an error: a token that went astray is not shown again.
    #[must_use]
    pub fn of_input(raw: &str) -> Self {
        let lower = raw.trim().to_ascii_lowercase();
        let is_token =
            ["snyk_uat", "snyk_sat", "eyj", "token ", "bearer "].iter().any(|start| lower.starts_with(start));
        match raw.split_once('=') {
            _ if is_token => Self("***".to_owned()),
            Some((name, _)) if ["TOKEN", "SECRET"].iter().any(|word| name.to_uppercase().ends_with(word)) => {
                Self::new(&format!("{name}=***"))
            }
            _ => Self::new(raw),
        }
    }

    /// Like [`Text::new`], but nothing where nothing is left to show.
    #[must_use]
    pub fn non_empty(raw: &str) -> Option<Self> {
        let text = Self::new(raw);
        (!text.0.is_empty()).then_some(text)
    }

    /// The cleaned text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Replaces what stands between `://` and `@`, and what follows a `?`, in every link of `text`.
#[must_use]
pub fn without_secrets_of_links(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end =
            part.find(|char: char| char.is_whitespace() || "\"'`<>|".contains(char)).unwrap_or(part.len());
        let (link, rest) = part.split_at(end);
        let (path, query) = match link.split_once('?') {
            Some((path, query)) if !is_hidden(query) => (path, "?***"),
            _ => (link, ""),
        };
        let authority = path.split('/').next().unwrap_or_default();
        let user = authority.rfind('@').unwrap_or_default();
        clean += "://";
        clean += if user > 0 { "***" } else { "" };
        clean += &path[user..];
        clean += query;
        clean += rest;
    }
    clean
}

/// Whether nothing is left in a query to hide: one that was hidden before, perhaps cut off.
fn is_hidden(query: &str) -> bool {
    query.chars().all(|char| matches!(char, '*' | '…'))
}

/// Whether a character shows nothing itself but changes what is shown around it.
fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn removes_what_could_give_orders() {
        let rows = [
            ("plain, with ünïcödé", "plain, with ünïcödé"),
            ("  \n ", ""),
            ("two\r\nlines\tand a tab", "two  lines and a tab"),
            ("\x1b[31mred\x1b]0;title\x07", "[31mred]0;title"),
            ("\u{202e}backwards\u{200b}", "backwards"),
            ("\u{9b}31m c1", "31m c1"),
            ("##[set-output name=x]y", "# #[set-output name=x]y"),
            ("###", "# # #"),
            ("see https://b.example/x.csv?X-Goog-Signature=s, now", "see https://b.example/x.csv?*** now"),
            ("<https://u:pw@a.example/x> 'http://t@b'", "<https://***@a.example/x> 'http://***@b'"),
            ("a://b ?c", "a://b ?c"),
            ("a:/\u{200b}/u:pw@b/c\u{1}?s\u{7}=t", "a://***@b/c?***"),
            ("a://b?** a://b?**s", "a://b?** a://b?***"),
        ];
        for (raw, clean) in rows {
            assert_eq!(Text::new(raw).as_str(), clean, "{raw:?}");
        }
    }

    #[test]
    fn shows_no_token_that_went_astray() {
        let rows = [
            ("snyk_uat.abcdefgh.x.y", "***"),
            ("eyJhbGciOiJSUzI1NiJ9.e.s", "***"),
            ("Bearer x", "***"),
            ("SNYK_TOKEN=x", "SNYK_TOKEN=***"),
            ("https://u:pw@api.snyk.io", "https://***@api.snyk.io"),
            ("5m", "5m"),
            ("--max-wait=5m", "--max-wait=5m"),
        ];
        for (raw, shown) in rows {
            assert_eq!(Text::of_input(raw).as_str(), shown, "{raw}");
        }
    }

    #[test]
    fn cuts_at_500_characters() {
        assert_eq!(Text::new(&"ü".repeat(500)).as_str(), "ü".repeat(500));
        assert_eq!(Text::new(&"ü".repeat(501)).as_str(), "ü".repeat(499) + "…");
    }

    proptest! {
        #[test]
        fn is_always_one_short_clean_line(raw in any::<String>()) {
            let text = Text::new(&raw);
            prop_assert!(text.as_str().chars().count() <= Text::MAX_CHARS);
            prop_assert!(!text.as_str().chars().any(char::is_control));
            prop_assert!(!text.as_str().contains("##"));
            prop_assert_eq!(Text::new(text.as_str()), text);
        }
    }
}
