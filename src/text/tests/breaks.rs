//! Secrets that are broken over lines, or stand in parts.

use super::*;

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
fn a_long_part_of_a_secret_is_masked_anywhere() {
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
