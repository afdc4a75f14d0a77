//! How a verification can end, and what the person is told.

use serde_json::json;

use crate::walk::{Plan, walk};

const VERIFIED: &str = "Your identity is verified";
const PROCESSING: &str = "We are checking your document";
const NOT_YET: &str = "We have not received your document yet";

#[tokio::test]
async fn success_in_the_window_ends_on_a_page_that_says_verified() {
    walk(Plan::default(), async |walk| {
        walk.open("/").await;
        walk.reads("Verify your identity").await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads(VERIFIED).await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}

#[tokio::test]
async fn the_news_of_success_appears_without_a_reload() {
    walk(Plan::default(), async |walk| {
        // The event is held back, and asking for the session fails, so that arriving tells nothing yet.
        let sessions = "/v1/identity/verification_sessions/*";
        let held = json!({ "kind": "shuffle", "event": "verified", "count": 2 });
        let failing = json!({
            "kind": "error", "status": 400, "method": "GET", "path": sessions, "times": 0,
        });
        let faults = json!({ "faults": [held, failing] });
        walk.stage.tell("/_faults", faults).await;
        walk.open("/verify").await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads(NOT_YET).await;
        walk.mark().await;
        walk.stage.clear_faults().await;
        walk.reads(VERIFIED).await;
        walk.assert_not_reloaded().await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}

#[tokio::test]
async fn checks_that_take_time_are_followed_to_their_end() {
    walk(Plan::default(), async |walk| {
        walk.stage.hold_checks().await;
        walk.open("/").await;
        walk.verify("success_async").await;
        walk.arrives("/submitted").await;
        walk.reads(PROCESSING).await;
        walk.stage.stands("processing", None).await;
        walk.mark().await;
        walk.stage.finish_checks().await;
        walk.reads(VERIFIED).await;
        walk.assert_not_reloaded().await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}

/// A stream that opens and then says nothing, as behind a proxy that holds everything back; and ten times the haste.
const MUTE: &str = "EventSource = class extends EventTarget { \
    static CLOSED = 2; readyState = 1; close() { this.readyState = 2; } \
}; const later = setTimeout; setTimeout = (call, wait, ...rest) => later(call, wait / 10, ...rest);";

#[tokio::test]
async fn a_stream_that_says_nothing_keeps_no_news_back() {
    walk(Plan::default(), async |walk| {
        let script = json!({ "source": MUTE });
        let command = "Page.addScriptToEvaluateOnNewDocument";
        walk.browser.cdp(command, script).await;
        walk.stage.hold_checks().await;
        walk.open("/").await;
        walk.verify("success_async").await;
        walk.reads(PROCESSING).await;
        walk.stage.stands("processing", None).await;
        walk.mark().await;
        walk.stage.finish_checks().await;
        walk.reads(VERIFIED).await;
        walk.assert_not_reloaded().await;
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_explained_and_tried_again_on_the_same_session() {
    walk(Plan::default(), async |walk| {
        walk.open("/").await;
        walk.start().await;
        walk.enter_modal().await;
        walk.choose_code("document_expired").await;
        walk.choose("failure").await;
        walk.leave_modal().await;
        walk.arrives("/submitted").await;
        walk.reads("We could not verify your document").await;
        walk.says("main", "The date until which it is valid has passed.")
            .await;
        walk.says("main", "Use a document that is still valid.")
            .await;
        walk.stage
            .stands("requires_input", Some("document_expired"))
            .await;

        let session = walk.stage.session().await;
        walk.says("#verify-button", "Try again").await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads(VERIFIED).await;
        walk.stage.stands("verified", None).await;
        assert_eq!(walk.stage.session().await, session);
    })
    .await;
}

#[tokio::test]
async fn checks_that_fail_late_are_explained_without_a_reload() {
    walk(Plan::default(), async |walk| {
        walk.stage.hold_checks().await;
        walk.open("/").await;
        walk.start().await;
        walk.enter_modal().await;
        walk.choose_code("selfie_face_mismatch").await;
        walk.choose("failure_async").await;
        walk.leave_modal().await;
        walk.reads(PROCESSING).await;
        walk.mark().await;
        walk.stage.finish_checks().await;
        walk.reads("We could not match your selfie").await;
        walk.assert_not_reloaded().await;
        walk.stage
            .stands("requires_input", Some("selfie_face_mismatch"))
            .await;

        walk.verify("success_async").await;
        walk.reads(PROCESSING).await;
        walk.stage.finish_checks().await;
        walk.reads(VERIFIED).await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}
