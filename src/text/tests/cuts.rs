//! Text that is cut: no half of a secret is left.

use super::*;

#[test]
fn cuts_at_500_characters() {
    assert_eq!(Text::new(&"ü".repeat(500)).as_str(), "ü".repeat(500));
    assert_eq!(Text::new(&"ü".repeat(501)).as_str(), "ü".repeat(499) + "…");
    assert_eq!(Text::new(&"ü ".repeat(100_000)).as_str().chars().count(), 500);
}

#[test]
fn a_text_is_never_cut_so_that_half_a_secret_is_shown() {
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
