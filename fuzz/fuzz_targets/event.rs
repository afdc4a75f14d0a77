//! Reading a body ends well, and what comes out of it may be stored.
//!
//! Run with `RUSTC_BOOTSTRAP=1 cargo fuzz run event -- -max_total_time=300`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verigate::stripe::event::parse;

fuzz_target!(|body: &[u8]| {
    let Ok(event) = parse(body) else { return };
    let session = event.session.as_ref();
    let texts = [
        Some(&event.id),
        Some(&event.type_),
        event.api_version.as_ref(),
        event.account.as_ref(),
        event.context.as_ref(),
        event.session_id.as_ref(),
        session.and_then(|s| s.last_error_code.as_ref()),
        session.and_then(|s| s.report.as_ref()),
        session.and_then(|s| s.redaction.as_ref()),
        session.and_then(|s| s.client_reference_id.as_ref()),
        session.and_then(|s| s.attempt.as_ref()),
    ];
    assert!(!event.id.is_empty());
    for text in texts.into_iter().flatten() {
        assert!(
            text.chars().count() <= 255 && !text.contains('\0'),
            "{text:?}"
        );
    }
});
