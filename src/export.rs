//! Exports: their names, and the meaning of their status words.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;
use uuid::Uuid;

use crate::text::Text;

/// Whose export it is: a group's or an organization's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A Snyk group.
    Group,
    /// A Snyk organization.
    Org,
}

impl Scope {
    /// The word for it in documents and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Org => "org",
        }
    }

    /// The scope of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Group, Self::Org].into_iter().find(|scope| scope.as_str() == word)
    }

    /// The word for it in the API's paths.
    #[must_use]
    pub const fn path_segment(self) -> &'static str {
        match self {
            Self::Group => "groups",
            Self::Org => "orgs",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A scope with its id, as `--group-id` and `--org-id` give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScopeRef {
    /// Group or organization.
    pub scope: Scope,
    /// The id of the group or the organization.
    pub id: Uuid,
}

/// An export at Snyk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExportRef {
    /// Whose export it is: a group's or an organization's.
    pub scope: Scope,
    /// The id of the group or the organization.
    pub scope_id: Uuid,
    /// The id of the export.
    pub export_id: Uuid,
}

impl ExportRef {
    /// Whose export it is.
    #[must_use]
    pub const fn scope_ref(&self) -> ScopeRef {
        ScopeRef { scope: self.scope, id: self.scope_id }
    }
}

/// Written as its status path, a form that the command line takes back.
impl fmt::Display for ExportRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}/jobs/export/{}", self.scope.path_segment(), self.scope_id, self.export_id)
    }
}

/// A text that does not name an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an export: give its id (a UUID such as 7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b) with --group-id \
     or --org-id, a URL or path such as /groups/GROUP_ID/jobs/export/EXPORT_ID, or - for standard input"
)]
pub struct NotAnExport(Text);

/// An export as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportArg {
    /// An id alone; the scope comes from an option or a variable.
    Id(Uuid),
    /// A path, or a URL with its origin.
    Located {
        /// The export that the path names.
        export: ExportRef,
        /// Scheme and host of the URL, if it was one.
        origin: Option<Url>,
    },
    /// `-`: the exports on standard input, as ids, URLs, paths or JSON documents.
    StandardInput,
}

impl FromStr for ExportRef {
    type Err = NotAnExport;

    /// Reads a status or result URL or path, such as `/groups/ID/jobs/export/ID`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse()? {
            ExportArg::Located { export, .. } => Ok(export),
            ExportArg::Id(_) | ExportArg::StandardInput => Err(NotAnExport(Text::of_input(text))),
        }
    }
}

impl FromStr for ExportArg {
    type Err = NotAnExport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NotAnExport(Text::of_input(text));
        let text = text.trim();
        if text == "-" {
            return Ok(Self::StandardInput);
        }
        if let Some(id) = parse_id(text) {
            return Ok(Self::Id(id));
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            let url = Url::parse(text).map_err(|_| error())?;
            let export = parse_path(url.path()).ok_or_else(error)?;
            return Ok(Self::Located { export, origin: Some(url) });
        }
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let export = parse_path(path).ok_or_else(error)?;
        Ok(Self::Located { export, origin: None })
    }
}

/// A UUID in its usual form of 36 characters. Snyk does not use the other forms.
#[must_use]
pub fn parse_id(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// Reads `…/groups/ID/jobs/export/ID`, `…/groups/ID/export/ID` (results) and `…/export/jobs/ID`, which an
/// example of Snyk's specification uses. A prefix before `/rest` belongs to a gateway and is ignored.
fn parse_path(path: &str) -> Option<ExportRef> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let after_rest = segments.iter().position(|segment| *segment == "rest").map_or(0, |rest| rest + 1);
    let (scope, scope_id, export_id) = match segments.get(after_rest..)? {
        [scope, id, "jobs", "export", export]
        | [scope, id, "export", "jobs", export]
        | [scope, id, "export", export] => (*scope, *id, *export),
        _ => return None,
    };
    let scope = parse_scope(scope)?;
    Some(ExportRef { scope, scope_id: parse_id(scope_id)?, export_id: parse_id(export_id)? })
}

fn parse_scope(segment: &str) -> Option<Scope> {
    [Scope::Group, Scope::Org].into_iter().find(|scope| scope.path_segment() == segment)
}

/// Reads only the scope and its id from a link in a server's answer. Its other parts may be wrong (a truncated export id,
/// a path that does not exist).
#[must_use]
pub fn scope_of_link(link: &str) -> Option<ScopeRef> {
    let path = match Url::parse(link) {
        Ok(url) => url.path().to_owned(),
        Err(_) => link.to_owned(),
    };
    let mut segments =
        path.split('/').filter(|segment| !segment.is_empty()).skip_while(|segment| *segment == "rest");
    Some(ScopeRef { scope: parse_scope(segments.next()?)?, id: parse_id(segments.next()?)? })
}

/// A status word as a server sent it, compared without regard to case.
///
/// The words that Snyk documents are written in capitals. Any other word stays as it was sent.
#[derive(Debug, Clone)]
pub struct Status {
    word: Text,
    /// Whether the word is shown exactly as it was sent. If it is not, it only looks like a known word.
    exact: bool,
}

impl Status {
    /// The word in `raw`; `None` if there is none.
    #[must_use]
    pub fn new(raw: &str) -> Option<Self> {
        let mut documented = DOCUMENTED.iter().flat_map(|(_, words)| *words);
        let canonical = documented.find(|documented| documented.eq_ignore_ascii_case(raw.trim()));
        let word = Text::non_empty(canonical.copied().unwrap_or(raw))?;
        let exact = canonical.is_some() || word.as_str() == raw.trim();
        Some(Self { word, exact })
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.word.as_str()
    }
}

impl PartialEq for Status {
    fn eq(&self, other: &Self) -> bool {
        self.exact == other.exact && self.as_str().to_lowercase() == other.as_str().to_lowercase()
    }
}

impl Eq for Status {}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.word.fmt(f)
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.word.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or_else(|| "expected a status word such as PENDING".to_owned())
    }
}

/// The meaning of a status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The export is not ready yet.
    InProgress,
    /// The export is ready.
    Finished,
    /// The export has failed and will never be ready.
    Failed,
}

impl Phase {
    /// The option that adds a word of this meaning.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::InProgress => "--in-progress-status",
            Self::Finished => "--finished-status",
            Self::Failed => "--failed-status",
        }
    }
}

/// The words of Snyk's documentation and of its OpenAPI, which spell failure differently.
const DOCUMENTED: [(Phase, &[&str]); 3] = [
    (Phase::InProgress, &["PENDING", "STARTED"]),
    (Phase::Finished, &["FINISHED"]),
    (Phase::Failed, &["ERROR", "ERRORED"]),
];

/// The meanings of status words: those that Snyk documents, and those that the user added.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    taught: Vec<(Status, Phase)>,
}

/// A word that would have two meanings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` cannot be taught with {}: it already means what {} teaches", new.option(), old.option())]
pub struct AmbiguousStatus {
    word: Status,
    old: Phase,
    new: Phase,
}

impl Vocabulary {
    /// Adds a word.
    ///
    /// # Errors
    ///
    /// When the word already has another meaning.
    pub fn teach(&mut self, word: Status, phase: Phase) -> Result<(), AmbiguousStatus> {
        match self.phase(&word) {
            Some(old) if old != phase => Err(AmbiguousStatus { word, old, new: phase }),
            Some(_) => Ok(()),
            None => {
                self.taught.push((word, phase));
                Ok(())
            }
        }
    }

    /// The meaning of `status`; `None` if it is unknown.
    #[must_use]
    pub fn phase(&self, status: &Status) -> Option<Phase> {
        let is_documented = |words: &[&str]| status.exact && words.contains(&status.as_str());
        let documented = DOCUMENTED.iter().find(|(_, words)| is_documented(words));
        let taught = || self.taught.iter().find(|(word, _)| word == status).map(|(_, phase)| *phase);
        documented.map(|(phase, _)| *phase).or_else(taught)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: &str = "11111111-2222-4333-8444-555555555555";
    const E: &str = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";

    fn group_export() -> ExportRef {
        ExportRef { scope: Scope::Group, scope_id: parse_id(G).unwrap(), export_id: parse_id(E).unwrap() }
    }

    #[test]
    fn a_scope_is_one_word_wherever_it_is_written() {
        for (scope, word) in [(Scope::Group, "group"), (Scope::Org, "org")] {
            assert_eq!(scope.to_string(), word);
            assert_eq!(serde_json::to_value(scope).unwrap(), word);
            assert_eq!(scope.path_segment(), format!("{word}s"));
            assert_eq!(Scope::from_word(word), Some(scope));
        }
    }

    #[test]
    fn reads_every_form_of_an_export() {
        let forms = [
            format!("/groups/{G}/jobs/export/{E}"),
            format!("groups/{G}/jobs/export/{E}"),
            format!("/rest/groups/{G}/jobs/export/{E}?version=2024-10-15"),
            format!("/groups/{G}/export/{E}/"),
            format!("/groups/{G}/export/jobs/{E}"),
            format!(
                "https://api.eu.snyk.io/rest/groups/{G}/jobs/export/{E}?version=2024-05-10~experimental#x"
            ),
            format!("http://127.0.0.1:4010/gateway/rest/groups/{G}/export/{E}"),
            format!("/groups/{}/export/{}", G.to_uppercase(), E.to_uppercase()),
        ];
        for form in forms {
            match form.parse() {
                Ok(ExportArg::Located { export, origin }) => {
                    assert_eq!(export, group_export(), "{form}");
                    assert_eq!(origin.is_some(), form.contains("://"), "{form}");
                }
                other => panic!("{form}: {other:?}"),
            }
        }
        assert_eq!(E.parse(), Ok(ExportArg::Id(group_export().export_id)));
        assert_eq!("-".parse(), Ok(ExportArg::StandardInput));
        assert_eq!(
            group_export().to_string().parse(),
            Ok(ExportArg::Located { export: group_export(), origin: None })
        );
    }

    #[test]
    fn rejects_other_text_and_shows_the_form() {
        let simple = E.replace('-', "");
        let wrong = [
            "".to_owned(),
            "latest".to_owned(),
            simple.clone(),
            format!("{{{E}}}"),
            format!("/tenants/{G}/export/{E}"),
            format!("/groups/{G}/export/{simple}"),
            format!("/groups/{G}/export"),
            format!("/x/groups/{G}/export/{E}"),
            format!("ftp://api.snyk.io/groups/{G}/export/{E}"),
            "https://".to_owned(),
            format!("/groups/{G}/../{G}/export/{E}"),
        ];
        for text in wrong {
            let error = text.parse::<ExportArg>().expect_err(&text).to_string();
            assert!(error.contains("UUID such as") && error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn takes_only_scope_and_id_from_a_link() {
        let group = Some(ScopeRef { scope: Scope::Group, id: parse_id(G).unwrap() });
        assert_eq!(scope_of_link(&format!("/groups/{G}/export/7f2c1a9e-3b4d")), group);
        assert_eq!(scope_of_link(&format!("https://evil.example/rest/groups/{G}/anything")), group);
        let org = ScopeRef { scope: Scope::Org, id: parse_id(G).unwrap() };
        assert_eq!(scope_of_link(&format!("/orgs/{G}/export/jobs/{E}")), Some(org));
        for link in
            ["", "/groups", "/groups/../x", "/tenants/11111111-2222-4333-8444-555555555555", "mailto:x"]
        {
            assert_eq!(scope_of_link(link), None, "{link}");
        }
    }

    #[test]
    fn knows_the_words_in_any_case() {
        let vocabulary = Vocabulary::default();
        let rows = [
            ("PENDING", Some(Phase::InProgress)),
            ("started", Some(Phase::InProgress)),
            (" Finished\n", Some(Phase::Finished)),
            ("ERROR", Some(Phase::Failed)),
            ("errored", Some(Phase::Failed)),
            ("CANCELLED", None),
            ("FINISHED?", None),
            ("FINISHED\0", None),
            ("FIN\u{200b}ISHED", None),
        ];
        for (word, phase) in rows {
            assert_eq!(vocabulary.phase(&Status::new(word).unwrap()), phase, "{word}");
        }
        assert_eq!(Status::new("finished").unwrap().as_str(), "FINISHED");
        assert_eq!(Status::new("Cancelled").unwrap().as_str(), "Cancelled");
        assert_eq!(Status::new("\u{1b}\t"), None);
    }

    #[test]
    fn words_are_the_same_in_any_case_unless_one_was_not_sent_as_it_is_shown() {
        let status = |word: &str| Status::new(word).unwrap();
        assert_eq!(status("Queued"), status("QUEUED"));
        assert_ne!(status("Queued"), status("Running"));
        assert_ne!(status("Queued"), status("Que\u{200b}ued"));
    }

    #[test]
    fn a_word_has_only_one_meaning() {
        let mut vocabulary = Vocabulary::default();
        let queued = Status::new("Queued").unwrap();
        vocabulary.teach(queued.clone(), Phase::InProgress).unwrap();
        vocabulary.teach(queued.clone(), Phase::InProgress).unwrap();
        assert_eq!(vocabulary.phase(&Status::new("QUEUED").unwrap()), Some(Phase::InProgress));
        let error = vocabulary.teach(Status::new("queued").unwrap(), Phase::Failed).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`queued` cannot be taught with --failed-status: it already means what --in-progress-status teaches"
        );
        assert!(vocabulary.teach(Status::new("error").unwrap(), Phase::Finished).is_err());
    }
}
