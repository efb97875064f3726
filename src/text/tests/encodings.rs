//! Secrets in every usual encoding.

use super::*;

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
