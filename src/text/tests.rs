mod breaks;
mod cuts;
mod encodings;
mod strays;

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;
use secrecy::SecretString;

use super::*;

const UUID: &str = "5f1c2a8e-0b1d-4c3e-9d7f-e1a2b3c4d5f6";
const TOKEN: &str = "snyk_uat.1a2b3c4d.eyJoIjoiYXBpLnNueWsuaW8ifQ.x-y_zaa0Qd3fFGh";
const CLIENT_SECRET: &str = "pa+ss/w\u{f6}rd &<\"'> 100%25 \\n#1";
const PASSWORD: &str = "hunter22";

/// Text that must not be shown, whatever this process holds.
struct Ours(Held, Vec<Arc<SecretString>>);

impl Ours {
    fn new(secrets: &[&str]) -> Self {
        let mut held = Held::EMPTY;
        let owners = secrets.iter().map(|secret| held.hold(SecretString::from(*secret))).collect();
        Self(held, owners)
    }

    fn clean(&self, raw: &str) -> String {
        assert!(!self.1.is_empty());
        let text = Text::without(raw, &self.0);
        assert_eq!(Text::without(text.as_str(), &self.0), text, "{raw:?}");
        text.0
    }
}

#[test]
fn removes_control_and_direction_characters() {
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
        ("a:/\u{200b}/u:pw@b/c\u{1}?s\u{7}ig=t1", "a://***@b/c?***"),
        ("a://b?** a://b?**s", "a://b?** a://b?**s"),
    ];
    for (raw, clean) in rows {
        assert_eq!(Text::new(raw).as_str(), clean, "{raw:?}");
    }
}

#[test]
fn an_id_in_the_path_of_a_webhook_is_not_a_secret_by_itself() {
    let ours = Ours::new(&[
        &format!("https://h.example/hooks/{UUID}/k5LmN6oPqR7sTuV8wX"),
        "https://h.example/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b",
    ]);
    let rows = [
        (UUID.to_owned(), UUID),
        (format!("/hooks/{UUID}/k5LmN6oPqR7sTuV8wX"), "***"),
        ("k5LmN6oPqR7sTuV8wX".to_owned(), "***"),
        ("it is 7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b".to_owned(), "it is ***"),
    ];
    for (raw, clean) in rows {
        assert_eq!(ours.clean(&raw), clean);
    }
}

#[test]
fn does_not_change_other_text() {
    let ours =
        Ours::new(&[UUID, TOKEN, CLIENT_SECRET, PASSWORD, "https://h.example/services/T01/hunter2hunter2"]);
    let texts = [
        "/groups/11111111-2222-4333-8444-555555555555/jobs/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b",
        "7F2C1A9E-3B4D-4E5F-8A6B-9C0D1E2F3A4B",
        "100%, 100%25 of AT&T &amp; co, C:\\new\\table, \\u00e9, 5 &lt; 6",
        "the token has expired: Bearer authentication is required, as Basic authentication is not",
        "token: expired, signature: mismatch, no such key `token`, snyk_uat. tokens of Snyk",
        "https://api.eu.snyk.io/rest/openapi#token",
        "/var/lib/snyk-export/watches.db line 12, column 3",
        "services/T01 and hunter2 and 5f1c2a8",
        "SNYK-OPENAPI-0004 3fb3a7e0 2026-02-12T20:09:42.693Z",
        "eyJ is how a JWT begins",
        "a=b, x == y, monkey=1, next=2, design=3",
        "https://api.snyk.io/rest/x?version=2024-10-15~beta, https://a.b/?lang=en&page=2#limits",
        "page_token=3&limit=2, token=expired, sig=none, signature = mismatch, X-Amz-Date is skewed",
        "write to bob@corp.example or mailto:bob@corp.example, docker.io/x:tag@sha256:abc, http://p:80 of bob@corp",
        "snyk_export_api_requests_total",
        r#"{"errors":[{"code":"SNYK-0099","detail":"gone"}]}"#,
    ];
    for text in texts {
        assert_eq!(ours.clean(text), text);
    }
}

#[test]
fn text_with_too_many_layers_of_encoding_is_not_shown() {
    let ours = Ours::new(&[UUID]);
    let mut text = UUID.replace('-', "%2d");
    for _ in 0..6 {
        text = text.replace('%', "%25");
        assert_eq!(ours.clean(&format!("x {text}")), "x ***");
    }
    for _ in 0..10 {
        text = text.replace('%', "%25");
        assert_eq!(ours.clean(&format!("x {text}")), "***");
    }
}

#[test]
fn direction_changes_are_not_plain_text_and_are_escaped() {
    for plain in ["", "payments", "zählt 100 % \u{1f469}\u{200d}\u{1f4bb} عربي"] {
        assert!(is_plain(plain) && escaped(plain) == plain, "{plain}");
    }
    let rows = [
        ("a\nb", "a\\u{a}b"),
        ("a\u{202e}b", "a\\u{202e}b"),
        ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
        ("\x1b[31m", "\\u{1b}[31m"),
        ("a\u{200b}\u{feff}\u{e0061}", "a\\u{200b}\\u{feff}\\u{e0061}"),
        ("\u{85}\u{2028}\u{200f}", "\\u{85}\\u{2028}\\u{200f}"),
    ];
    for (text, expected) in rows {
        assert!(!is_plain(text));
        assert_eq!(escaped(text), expected);
    }
}

type Encoder = fn(&str) -> String;

#[test]
fn the_end_of_a_text_does_not_begin_with_half_a_secret() {
    let _held = crate::secret::Secret::new(TOKEN);
    for after in 0..60 {
        let said = format!("some words and {TOKEN} {}", "-".repeat(after));
        let end = Text::end_of(&said, 40);
        assert!(!end.as_str().contains("zaa0Qd3") && end.as_str().chars().count() <= 41, "{end}");
    }
    assert_eq!(Text::end_of(" short\n", 40).as_str(), "short");
    assert_eq!(Text::end_of("long enough", 6).as_str(), "…enough");
}

/// The encodings that ordinary programs use for a text, each as a function.
fn encoders() -> Vec<(&'static str, Encoder)> {
    fn each(text: &str, write: impl Fn(char) -> String) -> String {
        text.chars()
            .map(|char| if char.is_ascii_alphanumeric() { char.to_string() } else { write(char) })
            .collect()
    }
    fn percent(text: &str, write: impl Fn(u8) -> String) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { write(byte) })
            .collect()
    }
    vec![
        ("raw", str::to_owned),
        ("capitals", str::to_uppercase),
        ("small", str::to_lowercase),
        ("json", |text| serde_json::to_string(text).unwrap().trim_matches('"').to_owned()),
        ("json with slashes", |text| {
            serde_json::to_string(text).unwrap().trim_matches('"').replace('/', "\\/")
        }),
        ("json of ascii", |text| {
            each(text, |char| {
                char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
            })
        }),
        ("json in capitals", |text| {
            each(text, |char| {
                char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect()
            })
        }),
        ("percent", |text| percent(text, |byte| format!("%{byte:02X}"))),
        ("percent in small letters", |text| percent(text, |byte| format!("%{byte:02x}"))),
        ("percent twice", |text| percent(text, |byte| format!("%25{byte:02x}"))),
        ("percent of all", |text| text.bytes().map(|byte| format!("%{byte:02x}")).collect()),
        ("a form", |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect()),
        ("html", |text| {
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;")
        }),
        ("html in numbers", |text| each(text, |char| format!("&#{};", u32::from(char)))),
        ("html in hexadecimal numbers", |text| each(text, |char| format!("&#x{:X};", u32::from(char)))),
        ("base64", |text| BASE64_STANDARD.encode(text)),
        ("base64 for urls", |text| BASE64_URL_SAFE_NO_PAD.encode(text)),
        ("base64 after one", |text| BASE64_STANDARD.encode(format!(":{text}"))),
        ("base64 after two", |text| BASE64_STANDARD.encode(format!("x:{text}:y"))),
        ("Basic", |text| format!("Basic {}", BASE64_STANDARD.encode(format!("user:{text}")))),
        ("base64 of json", |text| {
            BASE64_URL_SAFE_NO_PAD.encode(serde_json::json!({"given": text}).to_string())
        }),
    ]
}

/// Whether a secret can be read from a text after the usual encodings are decoded.
fn shows(text: &str, secret: &str) -> bool {
    let fold = |text: &str| text.to_lowercase();
    let core = |text: &str| -> String { fold(text).chars().filter(|char| char.is_alphanumeric()).collect() };
    core(text).contains(&core(secret))
        || encoders().iter().any(|(_, encode)| fold(text).contains(&fold(&encode(secret))))
}

#[test]
fn a_host_that_is_a_token_is_not_shown() {
    let ours = Ours::new(&[TOKEN, UUID]);
    for token in [TOKEN, UUID] {
        let location = url::Url::parse(&format!("https://{token}.evil.example/")).unwrap();
        let clean = ours.clean(&location.origin().ascii_serialization());
        assert!(clean.starts_with("https://***") && !shows(&clean, token), "{clean}");
    }
    let simple = uuid::Uuid::try_parse(UUID).unwrap().simple().to_string();
    assert_eq!(ours.clean(&format!("no {simple}")), "no ***");
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

    #[test]
    fn cleaning_twice_changes_nothing(raw in r#"([ -~]|://|\?|@|%2[0-9a-f]|\\u00[0-7][0-9a-f]|&#[0-9]{2};|##|eyJ|snyk_uat\.|sig=|\*\*\*){0,60}"#) {
        let ours = Ours::new(&[UUID, PASSWORD]);
        ours.clean(&raw);
    }

    #[test]
    fn no_secret_is_shown_anywhere(
        before in r#"([ -~]|%2[0-9a-f]|\\u00[0-7][0-9a-f]|&amp;){0,40}"#,
        after in r#"([ -~]|%2[0-9a-f]|\\u00[0-7][0-9a-f]|&amp;){0,40}"#,
        secret in "[a-zA-Z0-9][!-~]{6,40}[a-zA-Z0-9]",
        inner in 0..21_usize,
        outer in 0..21_usize,
    ) {
        let ours = Ours::new(&[&secret]);
        let encoders = encoders();
        let ((name, encode), (around, wrap)) = (encoders[inner], encoders[outer]);
        let is_case = |name: &str| matches!(name, "capitals" | "small");
        let is_lost = is_case(around) && !is_case(name) && name != "raw";
        let clean = ours.clean(&format!("{before} {} {after}", wrap(&encode(&secret))));
        let before_and_after = shows(&ours.clean(&format!("{before}  {after}")), &secret);
        prop_assert!(is_lost || before_and_after || !shows(&clean, &secret), "{around} of {name}: {clean}");
    }
}
