//! Which exports are meant: ids with a scope, URLs, paths, and documents on standard input.

use serde_json::Value;
use uuid::Uuid;

use super::{Environment, Settings};
use crate::export::{ExportArg, ExportRef, Scope, ScopeRef, parse_id, scope_of_link};
use crate::snyk::region::Api;
use crate::text::Text;

/// The longest standard input, in bytes. A document that names an export has a few hundred.
pub const MAX_INPUT: u64 = 1024 * 1024;

/// Why it is not clear which exports are meant.
#[derive(Debug, thiserror::Error)]
pub enum ExportsError {
    /// No export was named.
    #[error(
        "no export: give an export id with --group-id or --org-id, a URL or path such as \
             /groups/GROUP_ID/jobs/export/EXPORT_ID, or - for standard input"
    )]
    None,
    /// An id without a scope.
    #[error(
        "the export {0} has no scope: give --group-id or --org-id, set SNYK_GROUP_ID or SNYK_ORG_ID, or name \
             it by its URL"
    )]
    NoScope(Uuid),
    /// A start without a scope.
    #[error("no group and no organization: give --group-id or --org-id, or set SNYK_GROUP_ID or SNYK_ORG_ID")]
    NoScopeToStart,
    /// Two scopes of equal rank.
    #[error("SNYK_GROUP_ID and SNYK_ORG_ID are both set: say which one is meant with --group-id or --org-id")]
    TwoScopes,
    /// A scope that is not an id.
    #[error("{0}: `{1}` is not a UUID such as 7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b")]
    NoId(&'static str, Text),
    /// A flag that contradicts the scope of every URL.
    #[error("{given} is not in the {} of --{}-id, {}: remove one of them", flag.scope, flag.scope, flag.id)]
    OtherScope {
        /// The export as the URL or path names it.
        given: ExportRef,
        /// The scope that the flag names.
        flag: ScopeRef,
    },
    /// URLs of different regions.
    #[error("the URLs are of different regions, {0} and {1}: wait for the exports of one region at a time")]
    TwoRegions(Api, Api),
    /// Standard input does not name an export.
    #[error(
        "standard input: {0}; - takes ids, URLs or paths, one a line, or JSON documents such as the answer that started an \
         export"
    )]
    Input(Text),
    /// Standard input cannot be read.
    #[error("failed to read standard input")]
    Unreadable(#[source] std::io::Error),
}

/// The exports, each once, and the region of their URLs.
#[derive(Debug, PartialEq, Eq)]
pub struct Exports {
    /// The exports, in the order in which they were named.
    pub exports: Vec<ExportRef>,
    /// The API at the host of a pasted URL, if no API is configured.
    pub api: Option<Api>,
}

impl Exports {
    /// Resolves what the command line names. `input` is what was read from standard input, if `-` is there.
    ///
    /// # Errors
    ///
    /// When it is not clear which exports are meant.
    pub fn resolve(
        args: &[ExportArg],
        flag: Option<ScopeRef>,
        input: Option<&str>,
        settings: &Settings,
    ) -> Result<Self, ExportsError> {
        let mut named = Vec::new();
        for arg in args {
            match arg {
                ExportArg::Id(id) => named.push(Named::Id(*id, None)),
                ExportArg::Located { export, origin } => named.push(Named::Located(*export, origin.clone())),
                ExportArg::StandardInput => named.extend(read_input(input.unwrap_or_default())?),
            }
        }
        if named.is_empty() {
            return Err(ExportsError::None);
        }
        let takes_flag = named.iter().any(|named| matches!(named, Named::Id(..)));
        let mut exports = Vec::new();
        let mut api: Option<Api> = None;
        for named in named {
            exports.push(match named {
                Named::Id(id, link) => with_scope(id, flag, link, settings.environment())?,
                Named::Located(export, origin) => {
                    if let Some(region) = origin.and_then(|origin| region_of(&origin, settings)) {
                        if let Some(other) = api.filter(|other| *other != region) {
                            return Err(ExportsError::TwoRegions(other, region));
                        }
                        api = Some(region);
                    }
                    export
                }
            });
        }
        if let Some(flag) = flag.filter(|_| !takes_flag) {
            let other = |export: &&ExportRef| (export.scope, export.scope_id) != (flag.scope, flag.id);
            if let Some(given) = exports.iter().find(other) {
                return Err(ExportsError::OtherScope { given: *given, flag });
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        exports.retain(|export| seen.insert(*export));
        Ok(Self { exports, api })
    }
}

/// An export as named by an argument, a line or a document.
enum Named {
    /// Its id, with the scope in the document's link if there is one.
    Id(Uuid, Option<ScopeRef>),
    /// Its path, with the origin if it was a URL.
    Located(ExportRef, Option<url::Url>),
}

/// The API at the host of a pasted URL: used only if it is one of Snyk's and no API is configured.
fn region_of(origin: &url::Url, settings: &Settings) -> Option<Api> {
    let region = Api::of_known_region(origin);
    let configured = settings.configured_api();
    if configured.is_none() && region.is_some() {
        return region;
    }
    let pasted = region.map_or_else(|| origin.origin().ascii_serialization(), |region| region.to_string());
    let is_asked = |asked: &Api| pasted == asked.to_string() || asked.is_origin_of(origin);
    if !configured.is_some_and(is_asked) {
        let asked = configured.map(ToString::to_string);
        let pasted = Text::of_host(&pasted);
        tracing::warn!(url.host = %pasted, snyk.api = asked, "the host of the pasted URL is ignored");
    }
    None
}

/// Adds the scope: from a flag, else from the link of the document, else from the environment.
fn with_scope(
    export_id: Uuid,
    flag: Option<ScopeRef>,
    link: Option<ScopeRef>,
    environment: &Environment,
) -> Result<ExportRef, ExportsError> {
    let explicit = flag.or(link).map(Ok);
    let scope = explicit
        .unwrap_or_else(|| scope_of_environment(environment)?.ok_or(ExportsError::NoScope(export_id)))?;
    Ok(ExportRef { scope: scope.scope, scope_id: scope.id, export_id })
}

/// The scope of an export to start: from a flag, else from the environment.
///
/// # Errors
///
/// When neither names one.
pub fn scope_of_start(flag: Option<ScopeRef>, environment: &Environment) -> Result<ScopeRef, ExportsError> {
    let scope = flag.map_or_else(|| scope_of_environment(environment), |flag| Ok(Some(flag)))?;
    scope.ok_or(ExportsError::NoScopeToStart)
}

fn scope_of_environment(environment: &Environment) -> Result<Option<ScopeRef>, ExportsError> {
    let read = |name, scope| {
        let Some(text) = environment.get(name) else { return Ok(None) };
        let id = parse_id(text.trim()).ok_or_else(|| ExportsError::NoId(name, Text::of_wrong_value(text)))?;
        Ok(Some(ScopeRef { scope, id }))
    };
    match (read("SNYK_GROUP_ID", Scope::Group)?, read("SNYK_ORG_ID", Scope::Org)?) {
        (Some(_), Some(_)) => Err(ExportsError::TwoScopes),
        (group, org) => Ok(group.or(org)),
    }
}

/// Reads exports from standard input: ids, URLs and paths, one a line, and JSON documents.
fn read_input(input: &str) -> Result<Vec<Named>, ExportsError> {
    let mut found = Vec::new();
    let mut rest = input.trim_start();
    while !rest.is_empty() {
        let line = 1 + input[..input.len() - rest.len()].matches('\n').count();
        let error = |line: usize, why: &str| ExportsError::Input(Text::new(&format!("line {line}: {why}")));
        if rest.starts_with('{') {
            let mut documents = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            let Some(document) = documents.next() else { break };
            let document = document.map_err(|parse| {
                let why = parse.to_string();
                let why = why.split(" at line ").next().unwrap_or_default();
                let why = format!("it is not a JSON document that names an export ({why})");
                error(line + parse.line().saturating_sub(1), &why)
            })?;
            found.push(named_by(&document).map_err(|why| error(line, &why))?);
            rest = rest[documents.byte_offset()..].trim_start();
            continue;
        }
        let (word, after) = rest.split_once('\n').unwrap_or((rest, ""));
        found.push(match word.parse() {
            Ok(ExportArg::Id(id)) => Named::Id(id, None),
            Ok(ExportArg::Located { export, origin }) => Named::Located(export, origin),
            Ok(ExportArg::StandardInput) | Err(_) => {
                let word = Text::of_input(word.trim());
                return Err(error(line, &format!("`{word}` is not an export")));
            }
        });
        rest = after.trim_start();
    }
    if found.is_empty() {
        return Err(ExportsError::Input(Text::new("it is empty")));
    }
    Ok(found)
}

/// The export that a document names: an answer of Snyk or a document of ours.
fn named_by(document: &Value) -> Result<Named, String> {
    if let Some(own) = document.get("export").filter(|own| !own.is_null()) {
        let member = |name: &str| own.get(name).and_then(Value::as_str);
        let scope = member("scope")
            .and_then(Scope::from_word)
            .ok_or("the scope of the export is neither group nor org")?;
        let ids = [member("export_id"), member("scope_id")].map(|id| id.and_then(parse_id));
        let [Some(export_id), Some(id)] = ids else {
            return Err("the ids of the export are not UUIDs".to_owned());
        };
        return Ok(Named::Id(export_id, Some(ScopeRef { scope, id })));
    }
    let id = document.pointer("/data/id").and_then(Value::as_str);
    let id = id.ok_or("the document names no export, in `data` or `export`")?;
    let export_id = parse_id(id).ok_or_else(|| format!("the id `{id}` is not a UUID"))?;
    let links = ["/data/links/self", "/links/self"].into_iter().filter_map(|at| document.pointer(at));
    // A link is a text, or by JSON:API an object with an `href`.
    let mut links = links.filter_map(|link| link.as_str().or_else(|| link.get("href")?.as_str()));
    Ok(Named::Id(export_id, links.find_map(scope_of_link)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::CommandLine;

    const G: &str = "11111111-2222-4333-8444-555555555555";
    const O: &str = "aaaaaaaa-2222-4333-8444-555555555555";
    const E: &str = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::load(CommandLine::default(), environment).unwrap()
    }

    fn resolve(
        args: &[&str],
        flag: Option<(Scope, &str)>,
        input: &str,
        variables: &[(&str, &str)],
    ) -> String {
        let args: Vec<ExportArg> = args.iter().map(|arg| arg.parse().unwrap()).collect();
        let flag = flag.map(|(scope, id)| ScopeRef { scope, id: parse_id(id).unwrap() });
        match Exports::resolve(&args, flag, Some(input), &settings(variables)) {
            Ok(found) => {
                let exports: Vec<String> = found.exports.iter().map(ToString::to_string).collect();
                let api = found.api.map_or(String::new(), |api| format!(" at {api}"));
                exports.join(" ") + &api
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn flags_and_urls_take_precedence_over_the_environment() {
        let group = format!("/groups/{G}/jobs/export/{E}");
        let org = format!("/orgs/{O}/jobs/export/{E}");
        let both = [("SNYK_GROUP_ID", G), ("SNYK_ORG_ID", O)];
        assert_eq!(resolve(&[E], Some((Scope::Group, G)), "", &both), group);
        assert_eq!(resolve(&[E], None, "", &both[..1]), group);
        assert_eq!(resolve(&[E], None, "", &both[1..]), org);
        assert_eq!(resolve(&[&group], None, "", &both), group);
        assert_eq!(resolve(&[E], None, "", &[("SNYK_GROUP_ID", ""), ("SNYK_ORG_ID", O)]), org);
        assert!(resolve(&[E], None, "", &both).contains("both set"));
        assert!(resolve(&[E], None, "", &[]).contains("has no scope"));
        assert!(
            resolve(&[E], None, "", &[("SNYK_ORG_ID", "acme")]).contains("SNYK_ORG_ID: `acme` is not a UUID")
        );
        assert_eq!(resolve(&[&group, E], Some((Scope::Org, O)), "", &[]), format!("{group} {org}"));
        assert!(resolve(&[&group], Some((Scope::Org, O)), "", &[]).contains("remove one of them"));
        assert_eq!(resolve(&[&group], Some((Scope::Group, G)), "", &[]), group);
        assert!(resolve(&[], None, "", &[]).contains("no export"));
    }

    #[test]
    fn follows_an_export_once() {
        let group = format!("/groups/{G}/jobs/export/{E}");
        assert_eq!(resolve(&[E, &group, E], Some((Scope::Group, G)), "", &[]), group);
    }

    #[test]
    fn uses_only_hosts_of_known_regions() {
        let url = |host: &str| format!("https://{host}/rest/groups/{G}/jobs/export/{E}");
        let group = format!("/groups/{G}/jobs/export/{E}");
        let at_eu = format!("{group} at https://api.eu.snyk.io");
        assert_eq!(resolve(&[&url("api.eu.snyk.io")], None, "", &[]), at_eu);
        assert_eq!(resolve(&[&url("evil.example")], None, "", &[]), group);
        assert_eq!(resolve(&[&url("api.eu.snyk.io")], None, "", &[("SNYK_API", "au")]), group);
        assert!(
            resolve(&[&url("api.eu.snyk.io"), &url("api.snyk.io")], None, "", &[])
                .contains("different regions")
        );
    }

    #[test]
    fn reads_documents() {
        let group = format!("/groups/{G}/jobs/export/{E}");
        let inside =
            format!(r#"{{"data":{{"id":"{E}","links":{{"self":"/groups/{G}/export/jobs/7f2c"}}}}}}"#);
        let outside = format!(
            r#"{{"data":{{"id":"{E}"}},"links":{{"self":{{"href":"https://x.example/rest/groups/{G}/y"}}}}}}"#
        );
        let own =
            format!(r#"{{"schema":1,"export":{{"scope":"group","scope_id":"{G}","export_id":"{E}"}}}}"#);
        for input in [&inside, &outside, &own, &format!("{inside}\n{own}\n")] {
            assert_eq!(resolve(&["-"], None, input, &[("SNYK_ORG_ID", O)]), group, "{input}");
        }
        let bare = format!(r#"{{"data":{{"id":"{E}","links":{{"self":"/etc/passwd"}}}}}}"#);
        assert_eq!(resolve(&["-"], None, &bare, &[("SNYK_GROUP_ID", G)]), group);
        let flag = Some((Scope::Org, O));
        assert_eq!(resolve(&["-"], flag, &inside, &[]), format!("/orgs/{O}/jobs/export/{E}"));
        for input in ["", "x", "{}", r#"{"data":{"id":"../../x"}}"#, r#"{"errors":[]}"#, "[1]"] {
            assert!(resolve(&["-"], flag, input, &[]).contains("error: standard input"), "{input}");
        }
    }

    #[test]
    fn reads_lines() {
        let [first, second] = [E, "00000000-3b4d-4e5f-8a6b-9c0d1e2f3a4b"];
        let both = format!("/groups/{G}/jobs/export/{first} /groups/{G}/jobs/export/{second}");
        let document = format!("{{\n\"data\": {{ \"id\": \"{second}\" }} }}");
        let inputs = [
            format!("{first}\n{second}\n"),
            format!("\r\n  {first}\t\r\n\r\n{second}"),
            format!("/groups/{G}/export/{first}\n{second}"),
            format!("https://api.snyk.io/rest/groups/{G}/jobs/export/{first}?version=x\n{second}\n\n"),
            format!("{first}\n{document}\n"),
            format!("{}{{\"data\":{{\"id\":\"{second}\"}}}}", document.replace(second, first)),
        ];
        let group = [("SNYK_GROUP_ID", G), ("SNYK_API", "us")];
        for input in inputs {
            assert_eq!(resolve(&["-"], None, &input, &group), both, "{input}");
            assert_eq!(resolve(&["-"], Some((Scope::Group, G)), &input, &group[1..]), both, "{input}");
            assert!(resolve(&["-"], None, &input, &[]).contains("has no scope: give --group-id"), "{input}");
        }
        let url = format!("https://api.eu.snyk.io/rest/groups/{G}/jobs/export/{E}");
        assert!(resolve(&["-"], None, &url, &[]).ends_with(" at https://api.eu.snyk.io"));
        assert!(resolve(&["-"], Some((Scope::Org, O)), &url, &[]).contains("remove one of them"));
    }

    #[test]
    fn an_error_names_the_line() {
        let document = format!("{{\"data\": {{ \"id\": \"{E}\" }} }}");
        let rows = [
            (format!("{E}\n\nlatest\n"), "line 3: `latest` is not an export; - takes ids"),
            (format!("{E}\n-\n"), "line 2: `-` is not an export"),
            (format!("{E} {E}\n"), "line 1: `"),
            (format!("{document}\n{document} x\n"), "line 2: `x` is not an export"),
            (format!("{E}\n{{\n\"data\": [}}\n"), "line 3: it is not a JSON document that names an export"),
            (format!("{E}\n{{\"data\":"), "line 2: it is not a JSON document"),
            (format!("{E}\n{{}}\n"), "line 2: the document names no export"),
            (format!("\n\n{}", document.replace(E, "x")), "line 3: the id `x` is not a UUID"),
            ("snyk_uat.secret".to_owned(), "line 1: `***` is not an export"),
            (" \n\n".to_owned(), "standard input: it is empty"),
        ];
        for (input, expected) in rows {
            let error = resolve(&["-"], Some((Scope::Group, G)), &input, &[]);
            assert!(error.contains(expected), "{input}: {error}");
        }
    }
}
