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

/// What is not shown here, whatever else this process holds.
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
        ("a:/\u{200b}/u:pw@b/c\u{1}?s\u{7}ig=t1", "a://***@b/c?***"),
        ("a://b?** a://b?**s", "a://b?** a://b?**s"),
    ];
    for (raw, clean) in rows {
        assert_eq!(Text::new(raw).as_str(), clean, "{raw:?}");
    }
}

#[test]
fn masks_what_looks_like_a_secret_of_anybody() {
    let rows = [
        (r#"{"u":"https:\/\/s.example\/x?X-Goog-Signature=a"}"#, r#"{"u":"https:\/\/s.example\/x?***"}"#),
        ("/bucket/x?X-Goog-Signature=abc&v=1", "/bucket/x?X-Goog-Signature=***&v=1"),
        ("x-amz-security-token=abc; X-Amz-Credential=AK/1", "x-amz-security-token=***; X-Amz-Credential=***"),
        (
            "GET /c?sv=2&sig=a%2Fb&token=t1 and access_token=x1",
            "GET /c?sv=2&sig=***&token=*** and access_token=***",
        ),
        ("/x%3Fsignature%3Dabc1%26v%3D1", "/x%3Fsignature%3D***%26v%3D1"),
        ("&quot;?sig&#x3d;abc1&quot;", "&quot;?sig&#x3d;***&quot;"),
        (r#"{"access_token":"abc1","expires_in":3600}"#, r#"{"access_token":"***","expires_in":3600}"#),
        (r#"{\"refresh_token\": \"abc1\"}"#, r#"{\"refresh_token\": \"***\"}"#),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln is expired", "*** is expired"),
        ("https://eyjhbgcioijsuzi1nij9.eyjz.c2ln.evil.example", "https://***"),
        ("got snyk_sat.1a2b3c4d.x, SNYK_UAT.1A2B3C4D.X", "got ***, ***"),
        ("snyk\\u005fuat.1a2b3c4d.x", "***"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "***"),
        ("hooks.slack.com/services/T00/B00/xyz, gone", "hooks.slack.com/services/*** gone"),
        ("hooks.slack.com%2Fservices%2FT00%2Fxyz", "hooks.slack.com%2Fservices%2F***"),
        ("Authorization: Basic dXNlcjpwYXNz1234", "Authorization: Basic ***"),
        ("authorization: bearer 0123456789ab-cd", "authorization: bearer ***"),
        ("c255a191YXQuMWEyYjNjNGQueA==", "***=="),
        ("to //u:pw@h/x, u:pass1@h.example:80", "to //***@h/x, ***@h.example:80"),
        ("https:u:pw@h, http://u:secret pw@h/x", "***@h, http://***@h/x"),
        ("a:b@c:d@h.example", "***@h.example"),
        ("redis://:pw1@h, bob@corp.example", "redis://***@h, bob@corp.example"),
        (
            "X-Goog-Signature = 4d6f7a1b, X-Amz-Signature: 4d6f7a1b",
            "X-Goog-Signature = ***, X-Amz-Signature: ***",
        ),
        ("x-api-key: 4d6f7a1b9c", "x-api-key: ***"),
        ("snyk\u{fe0f}_uat.1a2b3c4d.x &#115&#110yk_uat.1a2b3c4d.x", "*** ***"),
        ("see https://h/x?id=1&key=abc, https://h/?q=4d6f7a1b9c", "see https://h/x?*** https://h/?***"),
    ];
    let ours = Ours::new(&["nothing-of-this"]);
    for (raw, clean) in rows {
        assert_eq!(ours.clean(raw), clean, "{raw}");
    }
    for secret in ["x snyk_uat.1a2b3c4d.x", "x https://s.example/x?X-Goog-Signature=4d6f7a1b"] {
        let encoded = BASE64_STANDARD.encode(secret);
        assert_eq!(ours.clean(&format!("in {encoded}")).trim_end_matches('='), "in ***");
    }
}

/// What programs put between the lines of a text that they break.
const BREAKS: [&str; 17] = [
    "\n",
    "\r\n",
    "\n  ",
    "\\n",
    "\\r\\n",
    "\\\\n",
    "<br>",
    "<br/>\n",
    "</p><p class=\"x\">",
    "&#10;",
    "&#13;&#10;",
    "%0A",
    "%0D%0A",
    "  ",
    " \\\n",
    "\"\n\"",
    "' '",
];

#[test]
fn masks_secrets_that_are_broken_over_lines() {
    for secret in [UUID, TOKEN, CLIENT_SECRET, "Zq9wXpSsrd7hTuMkE3vB5nQ8yLc2"] {
        let ours = Ours::new(&[secret]);
        let within = format!("Authorization: token {secret} and some more text here, which is long");
        for form in [secret.to_owned(), BASE64_STANDARD.encode(secret), BASE64_STANDARD.encode(within)] {
            if form == CLIENT_SECRET {
                continue;
            }
            for separator in BREAKS {
                for width in [9, 20, 64] {
                    let chars: Vec<char> = form.chars().collect();
                    let lines: Vec<String> = chars.chunks(width).map(|line| line.iter().collect()).collect();
                    let clean = ours.clean(&format!("it was {} and no more", lines.join(separator)));
                    let bare = undone(&clean).replace("</p><p class=\"x\">", "");
                    let bare: String = bare.chars().filter(|char| !" \"'\\,".contains(*char)).collect();
                    let bare = bare.replace("<br>", "").replace("<br/>", "");
                    assert!(clean.contains("***") && !shows(&bare, secret), "{separator:?}: {clean}");
                    assert!(!bare.contains(&form[..form.len() / 2]), "{separator:?}: {clean}");
                }
            }
        }
    }
}

#[test]
fn a_long_part_of_a_secret_is_one_wherever_it_stands() {
    let ours = Ours::new(&[UUID, TOKEN, "Zq9wXpSsrd7hTuMkE3vB5nQ8yLc2"]);
    let rows = [
        ("token ****2a8e-0b1d-4c3e-9d7f-e1a2b3c4d5f6 is invalid", "token ******* is invalid"),
        ("token 5f1c2a8e-0b1d-4c3e-9d7f-e1a2… is", "token ***… is"),
        ("5f1c2a8e-0b1d-4c3e-9d7f-e1a2b3c4d5f is invalid", "*** is invalid"),
        ("5f1c2a8e 0b1d 4c3e 9d7f e1a2b3c4d5f6", "***"),
        ("5f1c2a8e\u{2011}0b1d\u{2011}4c3e\u{2011}9d7f\u{2011}e1a2b3c4d5f6", "***"),
        ("5\u{301}f1c2a8e-0b1d-4c3e-9d\u{301}7f-e1a2b3c4d5f6", "***"),
        ("q9wXpSsrd7hTuMkE3vB5nQ8yLc2 is wrong", "*** is wrong"),
        ("Zq9wXpSsrd7hTuMk... is wrong", "***... is wrong"),
        ("5a71397758705373726437685475 4d6b453376 is", "*** is"),
        ("Zq9wXpSsrd7hT is short", "Zq9wXpSsrd7hT is short"),
    ];
    for (raw, clean) in rows {
        assert_eq!(ours.clean(raw), clean, "{raw}");
    }
}

#[test]
fn an_id_in_the_path_of_a_webhook_is_no_secret_by_itself() {
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
fn leaves_other_text_alone() {
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
fn what_is_encoded_too_often_is_not_shown() {
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
fn shows_no_token_that_went_astray() {
    let rows = [
        ("snyk_uat.abcdefgh.x.y", "***"),
        ("eyJhbGciOiJSUzI1NiJ9.e.s", "***"),
        ("Bearer x", "***"),
        ("SNYK_TOKEN=x1", "SNYK_TOKEN=***"),
        ("https://u:pw@api.snyk.io", "https://***@api.snyk.io"),
        ("u:p/w@h:1", "***@h:1"),
        ("--Zq9wXpSsrd7hTuMkE3vB5nQ8yLc2", "***"),
        ("http://u:secret pw@h/groups/x", "http://***@h/groups/x"),
        ("5m", "5m"),
        ("--max-wait=5m", "--max-wait=5m"),
    ];
    for (raw, shown) in rows {
        assert_eq!(Text::of_input(raw).as_str(), shown, "{raw}");
    }
    for token in
        ["5f1c2a8e-0b1d-4c3e-9d7f-e1a2b3c4d5f6", "snyk_uat.1a2b3c4d.x", "zq9wxpssrd7htumke3vb5nq8ylc2"]
    {
        assert_eq!(Text::of_host(&format!("https://{token}.example")).as_str(), "***");
    }
    assert_eq!(Text::of_host("https://api.eu.snyk.io:8443").as_str(), "https://api.eu.snyk.io:8443");
    let rows = [
        ("/run/secrets/snyk", "/run/secrets/snyk"),
        ("token.txt", "token.txt"),
        ("snyk_uat.1a2b3c4d.x", "***"),
        (UUID, "***"),
        ("/run/5f1c2a8e-0b1d-4c3e-9d7f-e1a2b3c4d5f6\n", "***"),
        (" 'snyk_uat.1a2b3c4d.x'", "***"),
        ("<(snyk_uat.1a2b3c4d.x)", "***"),
        ("./Zq9wXpSsrd7hTuMkE3vB5nQ8yLc2", "***"),
        ("Zq9/w+XpSsrd7hTuM=kE3vB5nQ8yLc2", "***"),
        (
            "/x/.snyk-export-5f1c2a8e-0b1d-4c3e-9d7f-e1a2b3c4d5f6",
            "/x/.snyk-export-5f1c2a8e-0b1d-4c3e-9d7f-e1a2b3c4d5f6",
        ),
        ("dGhpcyBpcyBhIHNlY3JldA==", "***"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "***"),
        ("https://hooks.slack.com/services/T/B/x", "https://hooks.slack.com/services/***"),
    ];
    for (path, shown) in rows {
        assert_eq!(Text::of_path(Path::new(path)).as_str(), shown, "{path}");
    }
    let rows = [
        ("/x/run-3f9ab2c41d5e6f708192a3b4c5d6e7f8.json", "/x/run-3f9ab2c41d5e6f708192a3b4c5d6e7f8.json"),
        ("/x/\x1b[31m\n/y", "/x/[31m /y"),
        ("/x/snyk_uat.1a2b3c4d.x", "/x/***"),
    ];
    for (path, shown) in rows {
        assert_eq!(Text::of_file(Path::new(path)).as_str(), shown, "{path}");
    }
}

#[test]
fn what_turns_a_text_around_is_no_plain_text_and_is_escaped() {
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

#[test]
fn cuts_at_500_characters() {
    assert_eq!(Text::new(&"ü".repeat(500)).as_str(), "ü".repeat(500));
    assert_eq!(Text::new(&"ü".repeat(501)).as_str(), "ü".repeat(499) + "…");
    assert_eq!(Text::new(&"ü ".repeat(100_000)).as_str().chars().count(), 500);
}

#[test]
fn half_a_secret_is_none_wherever_a_text_is_cut() {
    let ours = Ours::new(&[TOKEN]);
    let escaped: String = TOKEN.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect();
    for secret in [TOKEN, &escaped] {
        for before in [480, 499, 3000, 4000, 4090] {
            let clean = ours.clean(&format!("{}{secret}", "- ".repeat(before / 2)));
            assert!(!clean.contains("1a2b") && !clean.contains("0031"), "{before}: {clean}");
            let clean = ours
                .clean(&format!("{}{secret}{secret}", format!("{secret} ").repeat(before / secret.len())));
            assert!(!clean.contains("1a2b") && !clean.contains("0031"), "{before}: {clean}");
        }
        for length in secret.len() / 3..secret.len() {
            let clean = ours.clean(&format!("got {}", &secret[..length]));
            assert!(clean == "got ***" || !clean.contains("1a2b3c"), "{clean}");
        }
    }
}

type Encoder = fn(&str) -> String;

#[test]
fn the_end_of_a_text_begins_with_no_half_of_a_secret() {
    let _held = crate::secret::Secret::new(TOKEN);
    for after in 0..60 {
        let said = format!("some words and {TOKEN} {}", "-".repeat(after));
        let end = Text::end_of(&said, 40);
        assert!(!end.as_str().contains("zaa0Qd3") && end.as_str().chars().count() <= 41, "{end}");
    }
    assert_eq!(Text::end_of(" short\n", 40).as_str(), "short");
    assert_eq!(Text::end_of("long enough", 6).as_str(), "…enough");
}

/// All the ways in which ordinary programs write a text, as a function for each.
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

/// Whether a secret can be read from a text by somebody who undoes the usual encodings.
fn shows(text: &str, secret: &str) -> bool {
    let fold = |text: &str| text.to_lowercase();
    let core = |text: &str| -> String { fold(text).chars().filter(|char| char.is_alphanumeric()).collect() };
    core(text).contains(&core(secret))
        || encoders().iter().any(|(_, encode)| fold(text).contains(&fold(&encode(secret))))
}

#[test]
fn masks_every_secret_in_every_usual_encoding() {
    let secrets = [UUID, TOKEN, CLIENT_SECRET, PASSWORD, "0123456789abcdef", "a/b+c=d~e.f-g_h"];
    for secret in secrets {
        let ours = Ours::new(&[secret]);
        for (name, encode) in encoders() {
            let encoded = encode(secret);
            for (before, after) in [
                ("", ""),
                ("got ", ", no"),
                ("{\"detail\":\"", "\"}"),
                ("https://h/x?y=1&k=", "&z"),
                ("<p>", "</p>"),
            ] {
                let clean = ours.clean(&format!("{before}{encoded}{after}"));
                assert!(clean.contains("***"), "{name} of {secret}: {clean}");
                assert!(!shows(&clean, secret), "{name} of {secret}: {clean}");
            }
            for (outer, wrap) in encoders() {
                let clean = ours.clean(&format!("got {}", wrap(&encoded)));
                // What nobody can undo shows nothing: Base64 has no other letter case.
                let is_lost =
                    encoded != secret && name.starts_with("base64") && ["capitals", "small"].contains(&outer);
                let is_lost = is_lost || (name == "Basic" && ["capitals", "small"].contains(&outer));
                assert!(clean.contains("***") || is_lost, "{outer} of {name} of {secret}: {clean}");
            }
        }
    }
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
    fn cleaned_twice_is_cleaned_once(raw in r#"([ -~]|://|\?|@|%2[0-9a-f]|\\u00[0-7][0-9a-f]|&#[0-9]{2};|##|eyJ|snyk_uat\.|sig=|\*\*\*){0,60}"#) {
        let ours = Ours::new(&[UUID, PASSWORD]);
        ours.clean(&raw);
    }

    #[test]
    fn no_secret_is_shown_wherever_it_stands(
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
