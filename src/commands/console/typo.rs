//! What clap says about arguments that it does not understand.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};

use crate::text::{self, Text};

/// Clap's error message without secrets: a token or a signed link may have been pasted. Clap may quote a part of an
/// argument.
pub(super) fn without_secrets(error: &clap::Error, args: &[OsString]) -> String {
    let given = [ContextKind::InvalidValue, ContextKind::InvalidSubcommand, ContextKind::InvalidArg];
    let quoted = given.into_iter().filter_map(|kind| match error.get(kind) {
        Some(ContextValue::String(value)) => Some(value.clone()),
        _ => None,
    });
    let typed = args.iter().flat_map(|arg| {
        let arg = arg.to_string_lossy();
        let value = arg.split_once('=').map(|(_, value)| value.to_owned());
        let short = arg.strip_prefix('-').and_then(|rest| Some(rest.get(1..)?.to_owned()));
        [Some(arg.clone().into_owned()), value, short].into_iter().flatten().collect::<Vec<String>>()
    });
    let mut words: Vec<String> = quoted.chain(typed).filter(|word| !word.is_empty()).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let text = words.iter().fold(error.to_string(), |text, word| {
        let shown = Text::of_wrong_value(word);
        if shown.as_str() == word.trim() { text } else { text.replace(word.as_str(), shown.as_str()) }
    });
    text::without_our_secrets(&text)
}
