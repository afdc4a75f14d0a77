//! Errors: what they keep, what they mean, and how they are told apart.

use secrecy::ExposeSecret;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::{client, failing, stripe_answering};
use crate::stripe::{Priority, StripeError};

#[tokio::test]
async fn an_error_keeps_what_stripe_said() {
    let error = json!({"type": "invalid_request_error", "code": "resource_missing",
        "param": "session", "message": "No such verificationsession: 'vs_nope'"});
    let server =
        stripe_answering([failing(404, &error).insert_header("request-id", "req_9")]).await;
    let error = client(&server)
        .retrieve_session("vs_nope", Priority::Job)
        .await
        .unwrap_err();
    assert!(error.is_missing() && error.is_definite_refusal() && !error.is_temporary());
    assert_eq!(
        (error.status(), error.code()),
        (Some(404), Some("resource_missing"))
    );
    assert_eq!(error.request_id(), Some("req_9"));
    let api = error.api().unwrap();
    assert_eq!(api.kind.as_deref(), Some("invalid_request_error"));
    assert_eq!(api.param.as_deref(), Some("session"));
    assert!(
        api.message
            .as_ref()
            .unwrap()
            .expose_secret()
            .starts_with("No such")
    );
    assert_eq!(
        error.to_string(),
        "Stripe refused the call: status 404, type invalid_request_error, code resource_missing, \
         param session, request req_9"
    );
}

/// The status, the error, and which of these hold: unreachable, limited, missing, definite refusal,
/// idempotency error, key in use.
#[tokio::test]
async fn errors_are_told_apart() {
    let idempotency = json!({"type": "idempotency_error", "message": "…"});
    let in_use = json!({"type": "invalid_request_error", "code": "idempotency_key_in_use"});
    let missing = json!({"type": "invalid_request_error", "code": "resource_missing"});
    for (status, error, expected) in [
        (400, json!({"code": "parameter_unknown"}), "...d.."),
        (400, idempotency, "...di."),
        (401, json!({"type": "invalid_request_error"}), "...d.."),
        (402, json!({}), "...d.."),
        (403, json!({}), "...d.."),
        (404, missing, "..md.."),
        (404, json!({}), "...d.."),
        (409, in_use, ".l...k"),
        (409, json!({"code": "lock_timeout"}), ".l...."),
        (429, json!({"code": "rate_limit"}), ".l...."),
        (500, json!({"type": "api_error"}), "u....."),
        (503, json!(null), "u....."),
    ] {
        let server = stripe_answering([failing(status, &error)]).await;
        let e = client(&server)
            .retrieve_session("vs_1", Priority::Job)
            .await
            .unwrap_err();
        let held = [
            e.is_unreachable(),
            e.is_limited(),
            e.is_missing(),
            e.is_definite_refusal(),
            e.is_idempotency_error(),
            e.is_key_in_use(),
        ];
        let shown: String = held
            .iter()
            .zip("ulmdik".chars())
            .map(|(holds, letter)| if *holds { letter } else { '.' })
            .collect();
        assert_eq!(shown, expected, "{status} {error}");
        assert_eq!(
            e.is_temporary(),
            e.retry_after().is_some(),
            "{status} {error}"
        );
    }
}

#[tokio::test]
async fn answers_of_another_shape_are_errors_with_their_status() {
    for body in [
        "",
        "<html>Bad gateway</html>",
        "[]",
        r#"{"error":"oops"}"#,
        r#"{"error":{"code":5}}"#,
        "{",
    ] {
        let server = stripe_answering([ResponseTemplate::new(502).set_body_string(body)]).await;
        let error = client(&server)
            .retrieve_session("vs_1", Priority::Job)
            .await
            .unwrap_err();
        let api = error.api().unwrap();
        assert_eq!(
            (api.status, api.code.as_deref(), api.kind.as_deref()),
            (502, None, None),
            "{body}"
        );

        let server = stripe_answering([ResponseTemplate::new(200).set_body_string(body)]).await;
        let error = client(&server)
            .retrieve_session("vs_1", Priority::Job)
            .await
            .unwrap_err();
        assert!(
            matches!(error, StripeError::Undecodable { status: 200, .. }),
            "{body}"
        );
        assert!(
            !error.is_temporary() && !error.is_definite_refusal(),
            "{body}"
        );
    }
}
