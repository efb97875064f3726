//! Text from outside, cleaned so that it can be shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snyk_export::text::Text;
use snyk_export_fuzz::assert_clean;

fuzz_target!(|raw: &str| {
    let text = Text::new(raw);
    assert_clean(&text);
    assert_eq!(text.to_string(), text.as_str());
    assert_eq!(Text::non_empty(raw).is_some(), !text.as_str().is_empty());
    if raw.bytes().all(|byte| byte.is_ascii_alphanumeric()) && raw.len() <= Text::MAX_CHARS {
        // A JWT without its end has such characters too, and so has Base64.
        assert!(
            text.as_str() == raw || text.as_str().contains("***"),
            "harmless text does not change: {text}"
        );
    }
});
