//! Texts that must never be shown: tokens, client secrets, signed links.

pub(crate) mod held;
mod link;

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

pub use self::link::Link;

/// A secret text. It prints as `***`, and is wiped from memory when it is dropped. Only [`Secret::expose`] reads it, so that
/// every use can be found by that name.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Registers a secret: from now on no [`Text`](crate::text::Text) shows it, in any of the usual encodings. Of a URL these
    /// are its password, its query, and the random parts of its path.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(held::hold(SecretString::from(text.into())))
    }

    /// The text itself, for the place that must send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A placeholder that was not replaced by a secret. The message says what it looks like, and never shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Placeholder {
    /// `${NAME}`, `$(NAME)`, `$NAME`, `%NAME%`, or a name alone.
    #[error("it looks like a variable that was not replaced by its value")]
    Variable,
    /// `{{ name }}`, `${{ name }}`.
    #[error("it looks like a template that was not filled in")]
    Template,
    /// `<your token>`.
    #[error("it looks like the placeholder of an example")]
    Example,
    /// `"value"`, `'value'`.
    #[error("it is in quotes: give it without them (the quotes in a file for docker's --env-file are kept)")]
    Quoted,
    /// `null`, `undefined`, `none`.
    #[error("it is a word for nothing, such as `null`")]
    Nothing,
    /// `NAME=value`.
    #[error("it looks like an assignment: give the value alone, without the name and `=`")]
    Assignment,
    /// `***`.
    #[error("it is masked, as secrets are in logs")]
    Masked,
}

impl Placeholder {
    /// The kind of placeholder that `text` is. `None` if it can be a secret.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        let within = |open: &str, close: &str| {
            text.strip_prefix(open)
                .and_then(|rest| rest.strip_suffix(close))
                .filter(|inner| !inner.is_empty())
        };
        let quotes =
            [("'", "'"), ("\"", "\""), ("`", "`"), ("\u{201c}", "\u{201d}"), ("\u{2018}", "\u{2019}")];
        if quotes.iter().any(|(open, close)| within(open, close).is_some()) {
            return Some(Self::Quoted);
        }
        if text.find("{{").is_some_and(|start| text[start..].contains("}}")) {
            return Some(Self::Template);
        }
        let named = [within("%", "%"), within("$", ""), within("$env:", "")];
        let is_variable = named.into_iter().flatten().any(is_name)
            || within("${", "}").is_some()
            || within("$(", ")").is_some()
            || (text.starts_with("SNYK_") && is_constant(text));
        if is_variable {
            return Some(Self::Variable);
        }
        if within("<", ">").is_some() {
            return Some(Self::Example);
        }
        let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        if is_one_of(&["null", "undefined", "none", "nil"]) {
            return Some(Self::Nothing);
        }
        let stars = !text.is_empty() && text.chars().all(|char| matches!(char, '*' | '\u{2022}'));
        if stars || is_one_of(&["[masked]", "[redacted]"]) {
            return Some(Self::Masked);
        }
        let (name, _) = text.strip_prefix("export ").unwrap_or(text).split_once('=')?;
        (is_constant(name) && name.contains('_')).then_some(Self::Assignment)
    }
}

/// Whether a text is an identifier.
fn is_name(text: &str) -> bool {
    !text.starts_with(|char: char| char.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a text is an identifier in capitals, such as the name of an environment variable.
fn is_constant(text: &str) -> bool {
    is_name(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_placeholders() {
        let rows: [(Placeholder, &[&str]); 7] = [
            (
                Placeholder::Variable,
                &[
                    "$(SNYK_TOKEN)",
                    "${SNYK_TOKEN}",
                    "${env:X}",
                    "$SNYK_TOKEN",
                    "$token",
                    "%SNYK_TOKEN%",
                    "$env:SNYK_TOKEN",
                    "SNYK_TOKEN",
                    " ${SNYK_TOKEN:-}\n",
                ],
            ),
            (Placeholder::Template, &["{{ token }}", "${{ secrets.SNYK_TOKEN }}", "{{token}}"]),
            (Placeholder::Example, &["<your token>", "<no value>"]),
            (
                Placeholder::Quoted,
                &["'hunter2'", "\"hunter2\"", "`hunter2`", "\u{201c}hunter2\u{201d}", "'${X}'"],
            ),
            (Placeholder::Nothing, &["null", "undefined", "None", "nil"]),
            (
                Placeholder::Assignment,
                &["SNYK_TOKEN=hunter2", "export SNYK_TOKEN=x", "SNYK_TOKEN=", "MY_KEY='x'"],
            ),
            (Placeholder::Masked, &["***", "*", "[MASKED]", "\u{2022}\u{2022}\u{2022}"]),
        ];
        for (expected, texts) in rows {
            for text in texts {
                assert_eq!(Placeholder::of(text), Some(expected), "{text}");
            }
        }
    }

    #[test]
    fn accepts_what_can_be_a_secret() {
        let secrets = [
            "",
            "x",
            "hunter2",
            "nullable",
            "5f1c2a8e-0000-4000-8000-000000000000",
            "snyk_uat.1a2b3c4d.e30.x",
            "a$b",
            "$",
            "$5-off",
            "100%",
            "%41%42",
            "p<q>r",
            "a=b",
            "QUJD=",
            "abc'",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "https://hooks.slack.com/services/T/B/x",
            "it's",
            "TOKEN",
        ];
        for text in secrets {
            assert_eq!(Placeholder::of(text), None, "{text}");
        }
    }

    #[test]
    fn prints_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
