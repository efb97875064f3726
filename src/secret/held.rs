//! The secrets that this process holds, so that no text shows one that a peer sends back.
//!
//! This is global state, and the only global state of the program: a text must not show a secret because the code that makes the
//! text does not know of it. [`Secret::new`](super::Secret::new) registers a secret, and [`Text`](crate::text::Text) searches for
//! all of them. A secret that is no longer used (such as a token before its renewal) is still searched for, because an answer may
//! be late. Only a limited number of those is kept. Copies are wiped from memory when they are dropped.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::text::{core, fold, undone};

/// How many secrets that are no longer used are searched for.
const MOST_FORMER: usize = 256;

/// Shorter secrets (in bytes) are not searched for: they occur in any text by chance.
const SHORTEST: usize = 6;

/// Shorter secrets are masked only as whole words: they may be a part of common words.
const SHORTEST_ANYWHERE: usize = 8;

/// The shortest part of a secret of several parts that is masked by itself.
const SHORTEST_PART: usize = 16;

/// The shortest part of a secret that is masked anywhere, in letters and digits.
const SHORTEST_RUN: usize = 16;

/// The shortest secret, in letters and digits, that is found with other characters in between.
const SHORTEST_CORE: usize = 12;

/// How many different letters and digits such a part has at least: `00000000` may be a part of many ids.
const FEWEST_DIFFERENT: usize = 6;

/// The shortest beginning of a secret that is masked at the end of a text, which may have been cut there.
const SHORTEST_BEGINNING: usize = 8;

#[cfg(not(test))]
static HELD: RwLock<Held> = RwLock::new(Held::EMPTY);

// Each unit test has its own secrets, so that it does not mask the texts of another.
#[cfg(test)]
thread_local! {
    static HELD: &'static RwLock<Held> = Box::leak(Box::new(RwLock::new(Held::EMPTY)));
}

/// What this process holds.
fn all() -> &'static RwLock<Held> {
    #[cfg(not(test))]
    return &HELD;
    #[cfg(test)]
    HELD.with(|held| *held)
}

/// Looks for `secret` from now on. Gives back the copy that all share.
pub(super) fn hold(secret: SecretString) -> Arc<SecretString> {
    all().write().unwrap_or_else(PoisonError::into_inner).hold(secret)
}

/// Does something with what this process holds.
pub(crate) fn with_all<T>(look: impl FnOnce(&Held) -> T) -> T {
    look(&all().read().unwrap_or_else(PoisonError::into_inner))
}

/// Secrets, and by what they are found.
pub(crate) struct Held {
    /// The oldest first. One that is used has other owners.
    secrets: Vec<(u64, Arc<SecretString>)>,
    /// By their first bytes.
    patterns: BTreeMap<[u8; KEY], Vec<Pattern>>,
    /// By a hash of [`PROBE`] bytes that stand at each [`STRIDE`]th place of them.
    probes: BTreeMap<u32, Vec<(Arc<Core>, usize)>>,
    next: u64,
}

/// The letters and digits of a secret.
struct Core {
    of: u64,
    text: SecretString,
}

/// How many bytes are compared at once when parts of secrets are looked for, and how far apart those of a secret are: a part
/// of [`SHORTEST_RUN`] bytes has one of them whole.
const PROBE: usize = 8;
const STRIDE: usize = SHORTEST_RUN - PROBE + 1;

/// By how many bytes patterns are found.
const KEY: usize = 4;

/// A form of a secret, folded as texts are before they are searched.
struct Pattern {
    of: u64,
    text: SecretString,
    /// How much of it has to stand at the end of a text to be masked there.
    beginning: usize,
}

impl Held {
    pub(crate) const EMPTY: Self =
        Self { secrets: Vec::new(), patterns: BTreeMap::new(), probes: BTreeMap::new(), next: 0 };

    /// Looks for `secret` from now on.
    pub(crate) fn hold(&mut self, secret: SecretString) -> Arc<SecretString> {
        let is_it = |known: &&(u64, Arc<SecretString>)| known.1.expose_secret() == secret.expose_secret();
        if let Some((_, known)) = self.secrets.iter().find(is_it) {
            return Arc::clone(known);
        }
        let (of, secret) = (self.next, Arc::new(secret));
        self.next += 1;
        for form in forms(secret.expose_secret()).into_iter().map(Zeroizing::new) {
            let text = Zeroizing::new(fold(&form));
            let Some(key) = text.as_bytes().first_chunk().filter(|_| is_looked_for(&text)) else {
                continue;
            };
            let pattern =
                Pattern { of, beginning: beginning(&text), text: SecretString::from(text.as_str()) };
            self.patterns.entry(*key).or_default().push(pattern);
        }
        for text in cores(secret.expose_secret()) {
            let core = Arc::new(Core { of, text: SecretString::from(text) });
            for (at, probe) in core.text.expose_secret().as_bytes().windows(PROBE).enumerate().step_by(STRIDE)
            {
                self.probes.entry(hash(probe)).or_default().push((Arc::clone(&core), at));
            }
        }
        self.secrets.push((of, Arc::clone(&secret)));
        self.forget();
        secret
    }

    /// Forgets the oldest of those that nobody uses, if there are too many.
    fn forget(&mut self) {
        let is_former = |(_, secret): &&(u64, Arc<SecretString>)| Arc::strong_count(secret) == 1;
        let former: Vec<u64> = self.secrets.iter().filter(is_former).map(|(number, _)| *number).collect();
        let gone = &former[..former.len().saturating_sub(MOST_FORMER)];
        if gone.is_empty() {
            return;
        }
        self.secrets.retain(|(number, _)| !gone.contains(number));
        self.patterns.retain(|_, patterns| {
            patterns.retain(|pattern| !gone.contains(&pattern.of));
            !patterns.is_empty()
        });
        self.probes.retain(|_, probes| {
            probes.retain(|(core, _)| !gone.contains(&core.of));
            !probes.is_empty()
        });
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Where in a folded text secrets are. At its end the beginning of one counts too: a text may have been cut there, in the
    /// middle of an escape too.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let cut = text.iter().rposition(|byte| matches!(byte, b'\\' | b'%' | b'&'));
        let ends = [Some(text.len()), cut.filter(|cut| cut + LONGEST_ESCAPE > text.len())];
        for (start, key) in text.windows(KEY).enumerate() {
            for pattern in self.patterns.get(key).into_iter().flatten() {
                let whole = pattern.text.expose_secret().as_bytes();
                let end = start + whole.len();
                if text[start..].starts_with(whole) {
                    let is_alone = || !is_of_word(text[..start].last()) && !is_of_word(text.get(end));
                    if whole.len() >= SHORTEST_ANYWHERE || is_alone() {
                        found.push(start..end);
                    }
                } else if ends
                    .into_iter()
                    .flatten()
                    .any(|end| end >= start + pattern.beginning && whole.starts_with(&text[start..end]))
                {
                    found.push(start..text.len());
                }
            }
        }
        found
    }

    /// Where in the letters and digits of a text long parts of secrets are.
    pub(crate) fn find_parts(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for (start, probe) in text.windows(PROBE).enumerate() {
            for (core, at) in self.probes.get(&hash(probe)).into_iter().flatten() {
                let core = core.text.expose_secret().as_bytes();
                // What was found already is as long as it can be.
                if found.last().is_some_and(|last| start + PROBE <= last.end)
                    || !core[*at..].starts_with(probe)
                {
                    continue;
                }
                let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
                let before =
                    core[..*at].iter().rev().zip(text[..start].iter().rev()).take_while(same).count();
                let after = core[*at..].iter().zip(&text[start..]).take_while(same).count();
                let part = start - before..start + after;
                let is_whole = part.len() == core.len();
                if (is_whole || part.len() >= SHORTEST_RUN) && tells(&text[part.clone()]) {
                    found.push(part);
                }
            }
        }
        found
    }
}

/// Whether a part of a secret is specific enough to be masked.
fn tells(part: &[u8]) -> bool {
    let mut bytes = part.to_vec();
    bytes.sort_unstable();
    bytes.dedup();
    bytes.len() >= FEWEST_DIFFERENT
}

/// A hash of some bytes. What it finds is compared byte by byte.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The longest escape of one character, in bytes.
const LONGEST_ESCAPE: usize = 12;

/// Whether a secret is long enough to be searched for. A short word is not: our own sentences may contain it, and a mask in one
/// of them would give it away.
fn is_looked_for(text: &str) -> bool {
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphabetic());
    text.len() >= SHORTEST_ANYWHERE || (text.len() >= SHORTEST && !is_word)
}

fn is_of_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || !byte.is_ascii())
}

/// How much of its beginning identifies a secret. The prefix that all of Snyk's tokens share does not count.
fn beginning(text: &str) -> usize {
    let common = if text.starts_with("snyk_") { "snyk_uat.".len() } else { 0 };
    common + SHORTEST_BEGINNING.min((text.len() / 2).max(KEY))
}

/// The texts to search for: the secret itself, its decoded form, and parts that are secret by themselves.
fn forms(secret: &str) -> Vec<String> {
    let secret = secret.trim_start_matches('\u{feff}').trim();
    let mut forms = match Url::parse(secret).ok().filter(|_| secret.contains("://")) {
        Some(url) => of_url(&url),
        None => of_text(secret),
    };
    let decoded: Vec<String> = forms.iter().map(|form| undone(form)).collect();
    forms.extend(decoded);
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort_unstable();
    forms.dedup();
    let encoded: Vec<String> = forms.iter().flat_map(|form| in_base64(form)).collect();
    forms.extend(encoded);
    forms
}

/// A text in Base64, at each of the three offsets that it can have in a longer text, in both alphabets. The characters at both
/// ends, which depend on the text around it, are left out. Base64 in texts is decoded as well, but in a host name it is in small
/// letters, which cannot be decoded.
fn in_base64(text: &str) -> Vec<String> {
    let encoded = |skipped: usize| {
        let encoded = BASE64_STANDARD_NO_PAD.encode([&[0; 2][..skipped], text.as_bytes()].concat());
        let end = encoded.len() - usize::from(!(8 * (skipped + text.len())).is_multiple_of(6));
        encoded[(8 * skipped).div_ceil(6)..end].to_owned()
    };
    (0..3).map(encoded).flat_map(|form| [form.replace('+', "-").replace('/', "_"), form]).collect()
}

fn of_text(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    let long = |part: &&str| part.len() >= SHORTEST_PART;
    // A file may hold several keys or tokens.
    forms.extend(secret.split_whitespace().filter(long).map(str::to_owned));
    // The signature of a token, or its claims.
    forms.extend(
        secret.split(|char: char| char.is_whitespace() || char == '.').filter(long).map(str::to_owned),
    );
    forms.extend(secret.split_whitespace().filter_map(|key| key.strip_prefix("whsec_")).map(str::to_owned));
    if let Some(id) = uuid::Uuid::try_parse(secret).ok().filter(|_| secret.len() == 36) {
        forms.push(id.simple().to_string());
    }
    forms
}

/// The letters and digits of a secret, or of the random parts of a URL. Parts of these are searched for.
fn cores(secret: &str) -> Vec<String> {
    let secret = secret.trim_start_matches('\u{feff}').trim();
    let whole = match Url::parse(secret).ok().filter(|_| secret.contains("://")) {
        Some(url) => {
            of_url(&url).into_iter().filter(|part| !part.contains(['/', '&']) && is_mixed(part)).collect()
        }
        None => vec![secret.to_owned(), hex(secret)],
    };
    let decoded: Vec<String> = whole.iter().map(|part| undone(part)).collect();
    let mut cores: Vec<String> = whole.iter().chain(&decoded).map(|part| core(part)).collect();
    cores.retain(|core| core.len() >= SHORTEST_CORE && (core.len() >= SHORTEST_RUN || is_mixed(core)));
    cores.sort_unstable();
    cores.dedup();
    cores
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn is_mixed(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

/// The secret parts of a URL: the password, and random parts of the path and the query.
fn of_url(url: &Url) -> Vec<String> {
    let is_random = |part: &&str| part.len() >= SHORTEST_ANYWHERE && (part.len() >= 24 || is_mixed(part));
    let mut forms: Vec<String> = url.path().split('/').filter(is_random).map(str::to_owned).collect();
    if !forms.is_empty() {
        forms.push(url.path().to_owned());
    }
    // Beside other parts of a path, a UUID is the id of something and stays readable. Alone in a path it is the secret.
    let is_id = |part: &String| uuid::Uuid::try_parse(part).is_ok();
    if url.path().trim_matches('/').contains('/') {
        forms.retain(|part| !is_id(part));
    }
    forms.extend(url.query().filter(is_random).map(str::to_owned));
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    forms.extend(values.filter(|value| is_random(&value.as_str())));
    if let Some(password) = url.password() {
        forms.extend([password.to_owned(), format!("{}:{password}", url.username())]);
    } else if url.username().len() >= SHORTEST_PART {
        // A token in place of the user.
        forms.push(url.username().to_owned());
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(secrets: &[&str]) -> (Held, Vec<Arc<SecretString>>) {
        let mut held = Held::EMPTY;
        let owners = secrets.iter().map(|secret| held.hold(SecretString::from(*secret))).collect();
        (held, owners)
    }

    fn masked(held: &Held, text: &str) -> String {
        let mut masked = text.as_bytes().to_vec();
        held.find(fold(text).as_bytes()).into_iter().for_each(|range| masked[range].fill(b'*'));
        let mut masked = String::from_utf8(masked).unwrap();
        while masked.contains("****") {
            masked = masked.replace("****", "***");
        }
        masked
    }

    #[test]
    fn short_secrets_do_not_damage_words() {
        let (held, _owners) = held(&["s3cret", "abcdefgh", "token", "another"]);
        let rows = [
            ("s3cret, S3CRET", "***, ***"),
            ("s3crets are as3cret", "s3crets are as3cret"),
            ("xABCDEFGHx", "x***x"),
            ("the token, another", "the token, another"),
        ];
        for (text, expected) in rows {
            assert_eq!(masked(&held, text), expected, "{text}");
        }
    }

    #[test]
    fn the_beginning_of_a_secret_is_masked_at_the_end_of_a_text() {
        let (held, _owners) =
            held(&["snyk_uat.1a2b3c4d.eyJoIjoieCJ9.signature", "5f1c2a8e-aaaa-4bbb-8ccc-dddddddddddd"]);
        let rows = [
            ("it was 5f1c2a8e", "it was ***"),
            ("it was 5f1c2a8e-aa\\u00", "it was ***"),
            ("it was 5f1c2a8e, it", "it was 5f1c2a8e, it"),
            ("it was 5f1c2a8", "it was 5f1c2a8"),
            ("by Snyk", "by Snyk"),
            ("snyk_uat.", "snyk_uat."),
            ("snyk_uat.1a2b3c4d.e", "***"),
        ];
        for (text, expected) in rows {
            assert_eq!(masked(&held, text), expected, "{text}");
        }
    }

    #[test]
    fn base64_in_small_letters_is_found() {
        let (held, _owners) = held(&["5f1c2a8e-aaaa-4bbb-8ccc-dddddddddddd", "hunter2", "~~~~???>>>"]);
        for secret in ["5f1c2a8e-aaaa-4bbb-8ccc-dddddddddddd", "hunter2", "~~~~???>>>"] {
            for before in ["", "x", "me"] {
                let encoded =
                    BASE64_STANDARD_NO_PAD.encode(format!("{before}{secret} and more")).to_lowercase();
                for encoded in [encoded.replace('/', "_").replace('+', "-"), encoded] {
                    assert!(masked(&held, &encoded).contains("***"), "{secret} after {before:?}: {encoded}");
                }
            }
        }
    }

    #[test]
    fn all_secrets_in_use_are_kept_and_a_limited_number_of_former_ones() {
        let (mut held, owners) = held(&["in-use-all-the-time"]);
        let name = |number| format!("former-secret-{number:05}");
        for number in 0..2 * MOST_FORMER {
            held.hold(SecretString::from(name(number)));
        }
        assert_eq!(masked(&held, "in-use-all-the-time"), "***");
        assert_eq!(masked(&held, &name(0)), name(0));
        assert_eq!(masked(&held, &name(2 * MOST_FORMER - 1)), "***");
        assert!(held.secrets.len() <= MOST_FORMER + 2 && owners.len() == 1, "{}", held.secrets.len());
        let again = held.hold(SecretString::from("in-use-all-the-time"));
        assert!(Arc::ptr_eq(&again, &owners[0]), "there is one copy");
    }

    #[test]
    fn passwords_and_random_parts_of_urls_are_secrets_and_words_are_not() {
        let (held, _owners) = held(&[
            "https://user:pass%20word@h.example/services/T0001/hunter2hunter2?sig=abc%2Fdef1&v=1",
            "http://127.0.0.1:9000/notifications/export",
        ]);
        let rows = [
            ("hunter2hunter2 of user, at /services/T0001", "*** of user, at /services/T0001"),
            ("/services/T0001/hunter2hunter2", "***"),
            ("pass word, user:pass%20word", "***, ***"),
            ("abc/def1", "***"),
            (
                "notifications of an export at http://127.0.0.1:9000",
                "notifications of an export at http://127.0.0.1:9000",
            ),
        ];
        for (text, expected) in rows {
            let found = held.find(fold(text).as_bytes());
            assert_eq!(found.is_empty(), text == expected, "{text}: {found:?}");
        }
    }
}
