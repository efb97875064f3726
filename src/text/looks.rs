//! Finds text that looks like a secret, even if this process does not hold it.

use std::ops::Range;

use super::layer::Layer;

/// Characters that end a link or a value.
const LINK_ENDS: &str = "\"'`<>|";
const VALUE_ENDS: &str = "\"'`<>|&;,)]}";

/// How the names of secret values begin or end, in lower case and without hyphens.
const TELLING_BEGINNINGS: [&str; 2] = ["xgoog", "xamz"];
const TELLING_ENDS: [&str; 6] = ["token", "secret", "password", "signature", "apikey", "api_key"];

/// The shortest value that can look random, in characters.
const SHORTEST_MADE_UP: usize = 8;

/// How far the end of a password is searched for after a blank in it, in characters.
const LONGEST_PASSWORD_REST: usize = 40;

fn lower(layer: &Layer) -> Vec<char> {
    layer.chars().map(|char| char.to_ascii_lowercase()).collect()
}

/// The ranges that look like secrets. Characters already covered are not examined again, so that the time is linear.
pub(super) fn looks(layer: &Layer) -> Vec<Range<usize>> {
    let text = lower(layer);
    let links = LinkEnds::of(&text);
    let mut hidden = vec![false; text.len()];
    let mut found = Vec::new();
    for (at, char) in text.iter().enumerate() {
        if hidden[at] {
            continue;
        }
        let here = match char {
            ':' if text[at..].starts_with(&[':', '/', '/']) => links.secrets(&text, at + 3),
            ':' => [header(&text, at), None],
            '@' => [user(&text, at, &hidden), None],
            '=' => [parameter(&text, at), None],
            '"' | '\'' => [member(&text, at), None],
            'h' => [of_slack(&text, at), None],
            'b' | 't' => [credential(&text, at), None],
            's' | 'w' | 'e' => [token(&text, at), None],
            _ => [None, None],
        };
        for range in here.into_iter().flatten().filter(|range| !range.is_empty()) {
            if !hidden[range.start] {
                hidden[range.clone()].fill(true);
                found.push(range);
            }
        }
    }
    found
}

/// Where the links of a text end, and where their queries begin.
struct LinkEnds {
    /// For each index, the next character that ends a link.
    ends: Vec<usize>,
    /// For each index, the next question mark.
    queries: Vec<usize>,
}

impl LinkEnds {
    fn of(text: &[char]) -> Self {
        let (mut ends, mut queries) = (vec![text.len(); text.len() + 1], vec![text.len(); text.len() + 1]);
        for (at, char) in text.iter().enumerate().rev() {
            let is_end = char.is_whitespace() || LINK_ENDS.contains(*char);
            ends[at] = if is_end { at } else { ends[at + 1] };
            queries[at] = if *char == '?' { at } else { queries[at + 1] };
        }
        Self { ends, queries }
    }

    /// The user with the password, and the query, of the link whose authority begins at `start`.
    fn secrets(&self, text: &[char], start: usize) -> [Option<Range<usize>>; 2] {
        let (end, query) = (self.ends[start], self.queries[start]);
        let authority = run(&text[..end.min(query)], start, |char| char != '/').end;
        let user =
            text[start..authority].iter().rposition(|char| *char == '@').map(|user| start..start + user);
        let user = user.or_else(|| user_with_blank(text, start..authority)).filter(|user| !user.is_empty());
        let query =
            (query < end).then_some(query + 1..end).filter(|query| !is_harmless(&text[query.clone()]));
        [user, query]
    }
}

/// A user with a password that contains a blank, unless a port follows the colon.
fn user_with_blank(text: &[char], authority: Range<usize>) -> Option<Range<usize>> {
    let colon = authority.start + text[authority.clone()].iter().position(|char| *char == ':')?;
    let is_port = text[colon + 1..authority.end].iter().all(char::is_ascii_digit);
    let rest = text.get(authority.end..)?.iter().take(LONGEST_PASSWORD_REST);
    let is_user = |char: &&char| **char != '/' && !LINK_ENDS.contains(**char);
    let at = rest.take_while(is_user).position(|char| *char == '@')?;
    (!is_port).then_some(authority.start..authority.end + at)
}

/// The user and the password before an `@`, with or without a scheme. Mail addresses have no colon.
fn user(text: &[char], at: usize, hidden: &[bool]) -> Option<Range<usize>> {
    let is_user = |(char, is_hidden): &(&char, &bool)| {
        !**is_hidden && **char != '/' && !char.is_whitespace() && !LINK_ENDS.contains(**char)
    };
    let length = text[..at].iter().zip(&hidden[..at]).rev().take_while(is_user).count();
    let user = at - length..at;
    let is_mail = begins(text, user.start, "mailto:") || begins(text, user.start, "email:");
    let is_host = text.get(at + 1).is_some_and(|char| char.is_alphanumeric() || matches!(char, '[' | '*'))
        && !begins(text, at + 1, "sha256:");
    (text[user.clone()].contains(&':') && is_host && !is_mail).then_some(user)
}

/// Whether a query contains no secret.
fn is_harmless(query: &[char]) -> bool {
    let is_plain = |char: &char| char.is_alphanumeric() || "-_.~:,;&=#/+%*…[]()!@".contains(*char);
    query.iter().all(is_plain)
        && query.split(|char| matches!(char, '&' | ';' | '#')).all(|pair| {
            let equals = pair.iter().position(|char| *char == '=');
            let (name, value) = equals.map_or((&[][..], pair), |at| (&pair[..at], &pair[at + 1..]));
            let is_key =
                || ["key", "code", "auth", "pass", "pwd"].iter().any(|key| name.ends_with(&chars(key)));
            is_masked(value) || !(is_secret(name, value) || is_key() || is_made_up(value, SHORTEST_MADE_UP))
        })
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// Whether a text contains a run that looks random: at least `shortest` characters, with letters and digits.
pub(super) fn is_made_up(text: &[char], shortest: usize) -> bool {
    let is_of_run = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '+' | '=' | '~');
    text.split(|char| !is_of_run(char)).any(|run| {
        let has = |is: fn(&char) -> bool| run.iter().any(is);
        run.len() >= shortest && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic)
    })
}

/// Whether a value is only a mask, perhaps truncated.
fn is_masked(value: &[char]) -> bool {
    value.iter().all(|char| matches!(char, '*' | '…'))
}

/// From `start` to the next white space or character of `ends`.
fn until(text: &[char], start: usize, ends: &str) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().position(|char| char.is_whitespace() || ends.contains(*char));
    start..start + length.unwrap_or(rest.len())
}

fn begins(text: &[char], at: usize, with: &str) -> bool {
    let mut rest = text.get(at..).unwrap_or_default().iter();
    with.chars().all(|char| rest.next() == Some(&char))
}

fn run(text: &[char], start: usize, belongs: impl Fn(char) -> bool) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    start..start + rest.iter().take_while(|char| belongs(**char)).count()
}

fn is_of_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}

fn is_telling(name: &[char]) -> bool {
    let name: String = name.iter().filter(|char| **char != '-').collect();
    let is_signature = name == "sig" || name.ends_with("_sig");
    is_signature
        || TELLING_BEGINNINGS.iter().any(|word| name.starts_with(word))
        || TELLING_ENDS.iter().any(|word| name.ends_with(word))
}

/// Whether a value is a secret by its name. A short word or number is not: `page_token=3`.
fn is_secret(name: &[char], value: &[char]) -> bool {
    let is_word = value.len() < SHORTEST_MADE_UP
        && (value.iter().all(char::is_ascii_alphabetic) || value.iter().all(char::is_ascii_digit));
    let may_be_said = ["token", "signature", "sig"].iter().any(|end| name.ends_with(&chars(end)));
    is_telling(name) && !(is_word && may_be_said && !name.starts_with(&['x', '-']))
}

/// The name that ends at `end`, ignoring blanks.
fn name_before(text: &[char], end: usize) -> &[char] {
    let blanks = text[..end].iter().rev().take_while(|char| **char == ' ').count();
    let name = text[..end - blanks].iter().rev().take_while(|char| is_of_name(**char)).count();
    &text[end - blanks - name..end - blanks]
}

/// The value of a parameter whose name says that it is secret, in a link or not.
fn parameter(text: &[char], equals: usize) -> Option<Range<usize>> {
    let has_blank = |at: usize| text.get(at).is_some_and(|char| *char == ' ');
    let is_apart = (equals > 0 && has_blank(equals - 1)) || has_blank(equals + 1);
    let name = name_before(text, equals);
    if !is_telling(name) {
        return None;
    }
    let value = until(text, run(text, equals + 1, |char| char == ' ').end, VALUE_ENDS);
    let found = &text[value.clone()];
    let is_word = is_apart && found.iter().all(|char| char.is_alphabetic() || *char == '=');
    (is_secret(name, found) && !is_word && !is_masked(found)).then_some(value)
}

/// The value of a header whose name says that it is secret.
fn header(text: &[char], colon: usize) -> Option<Range<usize>> {
    let name = name_before(text, colon);
    let is_one = ["x-goog-", "x-amz-", "x-api-key", "api-key", "apikey"]
        .iter()
        .any(|word| name.starts_with(&chars(word)));
    let value = until(text, run(text, colon + 1, |char| char == ' ').end, VALUE_ENDS);
    let found = &text[value.clone()];
    (is_one && !found.iter().all(|char| char.is_alphabetic()) && !is_masked(found)).then_some(value)
}

/// The value of a JSON member whose name says that it is secret; the name ends at `quote`.
fn member(text: &[char], quote: usize) -> Option<Range<usize>> {
    let mark = text[quote];
    let name = text[..quote].iter().rev().take_while(|char| is_of_name(**char)).count();
    let name = &text[quote - name..quote];
    let colon = run(text, quote + 1, char::is_whitespace).end;
    let open = run(text, colon + 1, char::is_whitespace).end;
    if text.get(colon) != Some(&':') || text.get(open) != Some(&mark) {
        return None;
    }
    let value = open + 1..open + 1 + text[open + 1..].iter().take_while(|char| **char != mark).count();
    (is_secret(name, &text[value.clone()]) && !value.is_empty()).then_some(value)
}

/// The path of a Slack webhook, which is its secret.
fn of_slack(text: &[char], at: usize) -> Option<Range<usize>> {
    let host =
        ["hooks.slack.com/", "hooks.slack-gov.com/"].into_iter().find(|host| begins(text, at, host))?;
    let kind = at + host.len();
    let slash = run(text, kind, is_of_name).end;
    (text.get(slash) == Some(&'/')).then(|| until(text, slash + 1, LINK_ENDS)).filter(|path| !path.is_empty())
}

fn is_of_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_' | '~' | '+' | '/' | '=')
}

/// A Snyk token, a JWT or a webhook key that begins at `at`.
fn token(text: &[char], at: usize) -> Option<Range<usize>> {
    let is_begun = at > 0 && (is_of_name(text[at - 1]) || text[at - 1] == '.');
    let is_one = match text.get(at)? {
        's' if begins(text, at, "snyk_") => {
            let word = run(text, at + 5, |char| char.is_ascii_lowercase());
            let rest = || run(text, word.end + 1, is_of_token);
            (2..=4).contains(&word.len()) && text.get(word.end) == Some(&'.') && rest().len() >= 4
        }
        'w' => begins(text, at, "whsec_") && run(text, at + 6, is_of_token).len() >= 8,
        'e' if !is_begun && begins(text, at, "eyj") => {
            let head = run(text, at, |char| is_of_name(char) || char == '=');
            let is_followed = || text.get(head.end + 1).is_some_and(|char| is_of_token(*char));
            let goes_on = text.get(head.end) == Some(&'.') && is_followed();
            head.len() >= 12 && (goes_on || head.end == text.len())
        }
        _ => false,
    };
    is_one.then(|| run(text, at, is_of_token))
}

/// The credential after `Basic`, `Bearer` or `token`, unless it is a plain word.
fn credential(text: &[char], at: usize) -> Option<Range<usize>> {
    let scheme = ["basic", "bearer", "token"].into_iter().find(|scheme| begins(text, at, scheme))?;
    let blanks = run(text, at + scheme.len(), char::is_whitespace);
    if blanks.is_empty() || (at > 0 && is_of_name(text[at - 1])) {
        return None;
    }
    let value = run(text, blanks.end, is_of_token);
    let has = |is: fn(&char) -> bool| text[value.clone()].iter().any(is);
    let is_value = value.len() >= 12 && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    is_value.then_some(value)
}
