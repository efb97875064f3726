//! Errors in a settings file and their places. They show nothing of the file except the names of keys, because a secret may be
//! anywhere.

use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::text::Text;

/// The longest key that is shown, in characters: a longer one is not ours and may be a secret.
const LONGEST_KEY: usize = 24;

/// The shortest value that is masked, in bytes: a shorter one is not a secret, and may be part of the expected words.
const SHORTEST_HIDDEN: usize = 6;

/// A mistake in a settings file.
#[derive(Debug)]
pub struct Mistake {
    place: String,
    why: Text,
    hint: Option<&'static str>,
}

impl Mistake {
    /// Describes a parser error in `text`, the content of the file at `path`.
    pub(super) fn new(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map(|span| span.start);
        let before = offset.and_then(|offset| text.get(..offset));
        let (table, _) = DeTable::parse_recoverable(text);
        let found = offset.and_then(|offset| found_in(table.get_ref(), offset));
        let keys = match &found {
            Some(Found { keys, .. }) => keys.clone(),
            // It is the head of a table, of which only our own names are shown; or the text cannot be parsed: the key is before
            // the offset on the line, and the section is above.
            None => match offset.and_then(|offset| list_at(text, offset)) {
                Some(key) => vec![key.to_owned()],
                None => before.map(|before| keys_of_line(text, before.len())).unwrap_or_default(),
            },
        };
        let value = found.and_then(|found| found.value);
        let position = before.map(|before| format!(" {}", position(before)));
        let key = name(&keys).map(|name| format!(", {name}")).unwrap_or_default();
        let path = Text::of_path(path);
        Self {
            place: format!("{path}{}{key}", position.unwrap_or_default()),
            why: reason(error.message(), value.as_deref()),
            hint: form(&keys, error.message())
                .or_else(|| unquoted(&keys, error.message(), value.as_deref()))
                .or_else(|| hint(&keys, value.as_deref())),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// The line and the column at the end of a text.
pub(super) fn position(before: &str) -> String {
    let line = before.rsplit('\n').next().unwrap_or_default();
    format!("line {}, column {}", before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// The value at a place in the file.
struct Found {
    /// The keys on the path to it.
    keys: Vec<String>,
    value: Option<String>,
}

impl Found {
    fn of(value: &DeValue<'_>) -> Self {
        Self { keys: Vec::new(), value: value.as_str().map(str::to_owned) }
    }
}

fn found_in(table: &DeTable<'_>, offset: usize) -> Option<Found> {
    table.iter().find_map(|(key, value)| {
        let in_value = within(value, offset);
        let here = || key.span().contains(&offset).then(|| Found::of(value.get_ref()));
        let mut found = in_value.or_else(here)?;
        found.keys.insert(0, key.get_ref().to_string());
        Some(found)
    })
}

fn within(value: &Spanned<DeValue<'_>>, offset: usize) -> Option<Found> {
    if let Some(table) = value.get_ref().as_table() {
        return found_in(table, offset);
    }
    let items = value.get_ref().as_array().into_iter().flat_map(|array| array.iter());
    let in_items = || items.clone().find_map(|item| within(item, offset));
    let here = || value.span().contains(&offset).then(|| Found::of(value.get_ref()));
    in_items().or_else(here)
}

/// The list whose entry starts here in single brackets, as a table does.
fn list_at(text: &str, offset: usize) -> Option<&'static str> {
    let rest = text.get(offset..)?;
    ["notify", "watch"].into_iter().find(|key| rest.starts_with(&format!("[{key}]")))
}

/// The section and the key of a line that cannot be parsed.
fn keys_of_line(text: &str, offset: usize) -> Vec<String> {
    let end = text[offset..].find('\n').map_or(text.len(), |length| offset + length);
    let mut lines = text[..end].lines().rev();
    let key = lines.next().and_then(|line| line.split_once('=')).map(|(key, _)| key.trim().to_owned());
    let section = lines.find_map(|line| {
        let line = line.trim();
        Some(line.strip_prefix('[')?.trim_matches(['[', ']']).trim().to_owned())
    });
    match key {
        Some(key) => section.into_iter().chain([key]).collect(),
        None => Vec::new(),
    }
}

/// A key with its section: `[snyk] token`.
fn name(keys: &[String]) -> Option<String> {
    let is_plain = |key: &String| {
        (1..=LONGEST_KEY).contains(&key.len())
            && key.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.'))
    };
    let (last, sections) = keys.split_last().filter(|_| keys.iter().all(is_plain))?;
    Some(match sections {
        [] => last.clone(),
        sections => format!("[{}] {last}", sections.join(".")),
    })
}

/// The message of the parser without any text of the file.
fn reason(message: &str, value: Option<&str>) -> Text {
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| format!(", expected {expected}"));
    if message.starts_with("unknown variant ") {
        return Text::new(expected.unwrap_or_default().trim_start_matches(", "));
    }
    if message.starts_with("unknown field ") {
        let expected =
            message.split_once("`, expected ").map(|(_, expected)| format!(", expected {expected}"));
        return Text::new(&format!("there is no such key{}", expected.unwrap_or_default()));
    }
    if message.starts_with("invalid type: ") || message.starts_with("invalid value: ") {
        // The quoted part is the value.
        let kind = message.split(['"', '`']).next().unwrap_or_default().split(", expected").next();
        let why = format!("{}{}", kind.unwrap_or_default().trim_end(), expected.unwrap_or_default());
        return Text::new(&why.replace("sequence", "list").replace("map", "table"));
    }
    let message = message.replace('\n', " ");
    let Some(value) = value.filter(|value| value.len() >= SHORTEST_HIDDEN) else {
        return Text::new(&message);
    };
    let forms = [value.to_owned(), value.trim().to_owned(), Text::of_input(value).to_string()];
    // Elsewhere the same text may be a part of an example.
    let quoted = |form: &String| ['`', '"', '\''].map(|quote| (format!("{quote}{form}{quote}"), quote));
    let message = forms
        .iter()
        .flat_map(quoted)
        .fold(message, |message, (value, quote)| message.replace(&value, &format!("{quote}***{quote}")));
    Text::new(&message)
}

/// How to write a list or a table, if that is the mistake.
fn form(keys: &[String], message: &str) -> Option<&'static str> {
    // The message of a string shows it.
    let is = |got: &str, expected: &str| {
        message.starts_with(&format!("invalid type: {got}"))
            && message.ends_with(&format!(", expected {expected}"))
    };
    let key = keys.last().map(String::as_str)?;
    let is_word = is("string", "a sequence");
    Some(match key {
        "notify" if is("map", "a sequence") => "each endpoint starts with `[[notify]]`, in double brackets",
        "watch" if is("map", "a sequence") => "each watch starts with `[[watch]]`, in double brackets",
        "accounts" if is("sequence", "a map") => {
            "each account has a section of its own: `[snyk.accounts.NAME]`"
        }
        "labels" if !message.contains("expected a string") => {
            "the form is `labels = { team = \"payments\" }`"
        }
        "on" if is_word => "the form is `on = [\"failed\"]`, in brackets",
        "argv" if is_word => "the form is `argv = [\"/usr/local/bin/tell\", \"an argument\"]`, in brackets",
        "env" if is_word => "the form is `env = [\"DATABASE_URL\"]`, in brackets",
        "max-in-progress" if is_word => "the form is `max-in-progress = [\"PENDING=30m\"]`, in brackets",
        _ if is_word && key.ends_with("-status") => "the form is `finished-status = [\"DONE\"]`, in brackets",
        _ => return None,
    })
}

/// How to write a path, if that is the mistake.
fn unquoted(keys: &[String], message: &str, value: Option<&str>) -> Option<&'static str> {
    let is_open = ["string values must be quoted", "invalid basic string"]
        .iter()
        .any(|start| message.starts_with(start));
    let is_file = keys.last().is_some_and(|key| key.ends_with("file"));
    (is_file && (is_open || value.is_none()))
        .then_some("the path of a file needs quotes, such as `\"/run/secrets/snyk\"`")
}

/// Where a secret belongs, if the file seems to contain one.
fn hint(keys: &[String], value: Option<&str>) -> Option<&'static str> {
    let (key, sections) = keys.split_last()?;
    let key = key.to_ascii_lowercase();
    let section = sections.first().map(String::as_str).unwrap_or_default();
    let sounds = |words: &[&str]| words.iter().any(|word| key.contains(word));
    let is_secret = value.is_some_and(|value| Text::of_input(value).as_str() != value.trim());
    let is_key = value.is_some_and(|value| value.trim().starts_with("whsec_"));
    let sounds_secret = sounds(&["token", "secret", "password", "credential", "key"])
        || (section == "notify" && sounds(&["url", "hook", "slack"]));
    if key.ends_with("file") || !(sounds_secret || is_secret) {
        return None;
    }
    Some(match section {
        "snyk" if sections.len() > 1 && sounds(&["secret"]) => {
            "put the secret of a client into a separate file, and name that as `client-secret-file`"
        }
        "snyk" if sounds(&["secret"]) => {
            "set the secret of a client in SNYK_CLIENT_SECRET, or for an account of [snyk.accounts.NAME] in a file that \
             `client-secret-file` names"
        }
        "snyk" | "server" => "put the token into a separate file, and name that as `token-file`",
        "notify" if sounds(&["secret", "token", "password", "key"]) || is_key => {
            "put the signing key into a separate file, and name that as `secret-file`"
        }
        "notify" => "put a secret URL into a separate file, and name that as `url-file`",
        _ => {
            "put the secret into a separate file, and name that as `token-file`, `client-secret-file`, `secret-file` or `url-file`"
        }
    })
}
