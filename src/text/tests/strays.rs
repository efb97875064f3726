//! Secrets of anybody, which went astray.

use super::*;

#[test]
fn masks_text_that_looks_like_a_secret() {
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

#[test]
fn masks_a_token_that_was_typed_in_the_wrong_place() {
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
