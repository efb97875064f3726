//! The forms that name an export: on the command line, in links, and on standard input in lines and documents.

#![no_main]

use std::cell::LazyCell;
use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use snyk_export::export::{ExportArg, ExportRef, Scope, ScopeRef, parse_id, scope_of_link};
use snyk_export::settings::exports::{Exports, ExportsError};
use snyk_export::settings::{CommandLine, Environment, Settings};
use snyk_export::snyk::region::Api;
use snyk_export_fuzz::assert_is_one_line;

thread_local! {
    static SETTINGS: LazyCell<Settings> = LazyCell::new(|| {
        Settings::load(CommandLine::default(), Environment::default()).expect("the defaults are valid")
    });
}

fuzz_target!(|text: &str| {
    argument(text);
    link(text);
    documents(text);
});

fn argument(text: &str) {
    match text.parse() {
        Ok(ExportArg::Located { export, origin }) => {
            round_trip(export);
            if let Some(origin) = origin {
                assert!(matches!(origin.scheme(), "https" | "http"));
                region(&origin);
            }
        }
        Ok(ExportArg::Id(id)) => assert_eq!(id.to_string().parse(), Ok(ExportArg::Id(id))),
        Ok(ExportArg::StandardInput) => assert_eq!(text.trim(), "-"),
        Err(error) => {
            let error = error.to_string();
            assert_is_one_line(&error);
            assert!(error.contains("a UUID such as"), "{error}");
        }
    }
}

/// The command line accepts an export in the form in which we write it, and reads its scope from that.
fn round_trip(export: ExportRef) {
    let path = export.to_string();
    assert_eq!(path.parse(), Ok(ExportArg::Located { export, origin: None }), "{path}");
    assert_eq!(scope_of_link(&path), Some(ScopeRef { scope: export.scope, id: export.scope_id }), "{path}");
}

/// A pasted URL leads only to Snyk's own hosts.
fn region(url: &url::Url) {
    let Some(api) = Api::of_known_region(url) else { return };
    assert!(api.is_https() && !api.is_loopback());
    let base = api.to_string();
    assert!(base.ends_with(".snyk.io") || base == "https://api.snykgov.io", "{url} led to {api}");
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    assert!(
        ["snyk.io", "snykgov.io"]
            .iter()
            .any(|domain| host == *domain || host.ends_with(&format!(".{domain}"))),
        "{url} led to {api}"
    );
    assert_eq!(base.parse(), Ok(api));
}

fn link(link: &str) {
    let Some(scope) = scope_of_link(link) else { return };
    let ScopeRef { scope: kind, id } = scope;
    assert_eq!(scope_of_link(&format!("/{}/{id}", kind.path_segment())), Some(scope));
}

fn documents(input: &str) {
    let read = |flag| {
        SETTINGS.with(|settings| Exports::resolve(&[ExportArg::StandardInput], flag, Some(input), settings))
    };
    match read(None) {
        Ok(Exports { exports, api }) => {
            assert!(!exports.is_empty() && api.is_none_or(|api| api.is_https()));
            let different: BTreeSet<_> = exports.iter().collect();
            assert_eq!(different.len(), exports.len(), "an export is followed once");
            exports.iter().copied().for_each(round_trip);
            our_own(&exports);
        }
        Err(error) => {
            let is_known = matches!(
                error,
                ExportsError::Input(_) | ExportsError::NoScope(_) | ExportsError::TwoRegions(..)
            );
            assert!(is_known, "{error:?}");
            assert_is_one_line(&error.to_string());
        }
    }
    let id = parse_id("11111111-2222-4333-8444-555555555555").expect("a UUID");
    let located = |export: &ExportRef| input.to_lowercase().contains(&export.scope_id.to_string());
    if let Ok(found) = read(Some(ScopeRef { scope: Scope::Org, id })) {
        let is_of_flag = |export: &ExportRef| (export.scope, export.scope_id) == (Scope::Org, id);
        assert!(found.exports.iter().all(|export| is_of_flag(export) || located(export)));
    }
}

/// An export that was read is written as in our own documents, and read again as the same.
fn our_own(exports: &[ExportRef]) {
    let ours: Vec<String> = exports
        .iter()
        .map(|export| serde_json::json!({ "schema": 1, "export": export }).to_string())
        .collect();
    let again = SETTINGS.with(|settings| {
        Exports::resolve(&[ExportArg::StandardInput], None, Some(&ours.join("\n")), settings)
    });
    assert_eq!(again.expect("our own documents").exports, exports);
}
