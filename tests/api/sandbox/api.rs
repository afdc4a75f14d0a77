//! What the API answers, call by call.

use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{
    contract::restricted,
    support::{Answer, SESSIONS, TestSandbox, id},
};

#[tokio::test]
async fn a_session_is_created_with_everything_it_was_asked_for() {
    let sandbox = TestSandbox::start().await;
    let form = "type=document&options[document][allowed_types][]=passport\
        &options%5Bdocument%5D%5Brequire_matching_selfie%5D=true&client_reference_id=attempt-1\
        &metadata[attempt]=1&metadata[empty]=&provided_details[email]=a%40example.com\
        &return_url=http://localhost:1/submitted";
    let created = sandbox.post(SESSIONS, form).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let session = &created.body;
    assert!(id(session).starts_with("vs_"));
    assert_eq!(session["object"], "identity.verification_session");
    assert_eq!(session["status"], "requires_input");
    assert_eq!(session["client_reference_id"], "attempt-1");
    assert_eq!(session["metadata"], json!({ "attempt": "1" }));
    assert_eq!(
        session["options"],
        json!({ "document": { "allowed_types": ["passport"], "require_matching_selfie": true } })
    );
    let secret = session["client_secret"].as_str().unwrap();
    assert!(secret.starts_with(&format!("{}_secret_", id(session))));
    let url = session["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/start/", sandbox.base)));
    assert!(session.get("provided_details").is_none());

    assert!(created.headers["request-id"].starts_with("req_"));
    assert_eq!(created.headers["stripe-version"], "2026-07-29.dahlia");
    assert!(created.headers.contains_key("date"));
}

#[tokio::test]
async fn a_retrieve_hands_out_a_fresh_secret_while_the_session_is_open() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    let path = format!("{SESSIONS}/{}", id(&session));
    let again = sandbox.get(&path).await.body;
    assert_ne!(again["client_secret"], session["client_secret"]);
    assert_ne!(again["url"], session["url"]);
    assert!(again["url"].is_string());

    sandbox.outcome(&session, "failure").await;
    let failed = sandbox.get(&path).await.body;
    assert_eq!(failed["status"], "requires_input");
    assert_eq!(failed["last_error"]["code"], "document_unverified_other");
    assert!(failed["client_secret"].is_string());

    sandbox.outcome(&session, "success").await;
    let verified = sandbox.get(&path).await.body;
    assert_eq!(verified["status"], "verified");
    assert_eq!(verified["client_secret"], Value::Null);
    assert_eq!(verified["url"], Value::Null);
    assert_eq!(verified["last_error"], Value::Null);
    assert_ne!(
        verified["last_verification_report"],
        failed["last_verification_report"]
    );
}

#[tokio::test]
async fn a_list_filters_and_pages_both_ways_without_using_up_secrets() {
    let sandbox = TestSandbox::start().await;
    let mut made = Vec::new();
    for reference in ["a", "b", "a", "a"] {
        let form = format!("type=document&client_reference_id={reference}");
        made.push(id(&sandbox.post(SESSIONS, &form).await.body).to_owned());
    }
    let ids = |answer: &Answer| -> Vec<String> {
        let data = answer.body["data"].as_array().unwrap();
        data.iter().map(|session| id(session).to_owned()).collect()
    };
    let all = sandbox.get(SESSIONS).await;
    assert_eq!(all.body["object"], "list");
    assert_eq!(all.body["has_more"], false);
    assert_eq!(ids(&all), made.iter().rev().cloned().collect::<Vec<_>>());
    assert!(all.body["data"][0]["client_secret"].is_string());

    let first = sandbox
        .get(&format!("{SESSIONS}?client_reference_id=a&limit=2"))
        .await;
    assert_eq!(ids(&first), [made[3].as_str(), made[2].as_str()]);
    assert_eq!(first.body["has_more"], true);
    let next = format!(
        "{SESSIONS}?client_reference_id=a&limit=2&starting_after={}",
        made[2]
    );
    assert_eq!(ids(&sandbox.get(&next).await), [made[0].as_str()]);
    let before = format!("{SESSIONS}?limit=1&ending_before={}", made[0]);
    assert_eq!(ids(&sandbox.get(&before).await), [made[1].as_str()]);

    sandbox
        .post(&format!("{SESSIONS}/{}/cancel", made[1]), "")
        .await;
    let canceled = sandbox.get(&format!("{SESSIONS}?status=canceled")).await;
    assert_eq!(ids(&canceled), [made[1].as_str()]);
    let later = sandbox
        .get(&format!("{SESSIONS}?created[gt]=99999999999"))
        .await;
    assert!(ids(&later).is_empty());
}

#[tokio::test]
async fn an_update_changes_what_may_change_and_only_while_it_may() {
    let sandbox = TestSandbox::start().await;
    let created = sandbox
        .post(SESSIONS, "type=document&metadata[a]=1&metadata[b]=2")
        .await;
    let path = format!("{SESSIONS}/{}", id(&created.body));
    let form = "metadata[a]=&metadata[c]=3&options[document][require_live_capture]=true\
        &provided_details[phone]=%2B15550100&expand[]=provided_details";
    let updated = sandbox.post(&path, form).await.body;
    assert_eq!(updated["metadata"], json!({ "b": "2", "c": "3" }));
    assert_eq!(
        updated["options"]["document"],
        json!({ "require_live_capture": true })
    );
    assert_eq!(updated["provided_details"], json!({ "phone": "+15550100" }));

    let refused = sandbox.post(&path, "return_url=http://localhost/").await;
    assert_eq!(
        refused.error(),
        (
            400,
            "invalid_request_error",
            "parameter_unknown",
            "return_url"
        )
    );
    sandbox.outcome(&created.body, "success").await;
    let late = sandbox.post(&path, "type=id_number").await;
    assert_eq!(late.error(), (400, "invalid_request_error", "", ""));
    assert_eq!(sandbox.post(&path, "metadata[d]=4").await.status, 200);
}

#[tokio::test]
async fn only_an_open_session_can_be_canceled() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    let cancel = format!("{SESSIONS}/{}/cancel", id(&session));
    let canceled = sandbox.post(&cancel, "").await.body;
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(canceled["client_secret"], Value::Null);
    assert_eq!(sandbox.post(&cancel, "").await.status, 400);
}

#[tokio::test]
async fn redaction_takes_the_person_out_of_session_report_and_events() {
    let sandbox = TestSandbox::start().await;
    let form = "type=document&client_reference_id=someone&metadata[who]=someone";
    let session = sandbox.post(SESSIONS, form).await.body;
    sandbox.outcome(&session, "success").await;
    let reports = sandbox.get("/v1/identity/verification_reports").await.body;
    let file = &reports["data"][0]["document"]["files"][0];
    let file = format!("/v1/files/{}", file.as_str().unwrap());
    assert_eq!(restricted(&sandbox, &file).await.status, 200);
    let path = format!("{SESSIONS}/{}", id(&session));
    let redacting = sandbox.post(&format!("{path}/redact"), "").await.body;
    assert_eq!(redacting["redaction"], json!({ "status": "processing" }));
    assert_eq!(redacting["status"], "verified");
    let finish = format!("/_sessions/{}/finish", id(&session));
    assert_eq!(sandbox.control(&finish, &json!({})).await["finished"], 1);

    let expanded = format!("{path}?expand[]=verified_outputs&expand[]=last_verification_report");
    let redacted = sandbox.get(&expanded).await.body;
    assert_eq!(redacted["redaction"], json!({ "status": "redacted" }));
    assert_eq!(redacted["metadata"], json!({}));
    assert_eq!(redacted["client_reference_id"], Value::Null);
    assert_eq!(redacted["verified_outputs"]["first_name"], "[redacted]");
    let document = &redacted["last_verification_report"]["document"];
    assert_eq!(document["last_name"], "[redacted]");
    assert_eq!(
        document["issued_date"],
        json!({ "day": 1, "month": 1, "year": 1 })
    );
    assert_eq!(restricted(&sandbox, &file).await.status, 404);
    let events = sandbox.get("/v1/events").await;
    assert!(!events.text.contains("someone"));
    assert!(sandbox.post(&path, "metadata[a]=1").await.status == 400);
}

#[tokio::test]
async fn redacting_an_open_session_cancels_it_and_a_processing_one_is_refused() {
    let sandbox = TestSandbox::start().await;
    let open = sandbox.create().await;
    let redact = |session: &Value| format!("{SESSIONS}/{}/redact", id(session));
    let redacted = sandbox.post(&redact(&open), "").await.body;
    assert_eq!(redacted["status"], "canceled");
    let processing = sandbox.create().await;
    sandbox.outcome(&processing, "success_async").await;
    assert_eq!(sandbox.post(&redact(&processing), "").await.status, 400);
}

#[tokio::test]
async fn names_are_told_only_when_asked_for_and_sensitive_data_only_to_restricted_keys() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    sandbox.outcome(&session, "success").await;
    let path = format!("{SESSIONS}/{}", id(&session));
    assert!(!sandbox.get(&path).await.text.contains("Rosen"));
    assert!(!sandbox.get("/v1/events").await.text.contains("Rosen"));

    let named = sandbox
        .get(&format!("{path}?expand[0]=verified_outputs"))
        .await
        .body;
    assert_eq!(named["verified_outputs"]["last_name"], "Rosen");
    assert!(named["verified_outputs"].get("dob").is_none());

    let birth = format!("{path}?expand[]=verified_outputs.dob");
    assert_eq!(sandbox.get(&birth).await.status, 403);
    let restricted = sandbox
        .http
        .get(format!("{}{birth}", sandbox.base))
        .bearer_auth("rk_test_any");
    let restricted = Answer::of(restricted.send().await.unwrap()).await;
    assert_eq!(restricted.body["verified_outputs"]["dob"]["year"], 1990);
    let listed = sandbox
        .get(&format!("{SESSIONS}?expand[]=data.verified_outputs"))
        .await
        .body;
    assert_eq!(listed["data"][0]["verified_outputs"]["first_name"], "Jenny");
}

#[tokio::test]
async fn every_processed_attempt_has_its_report() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    let path = format!("/_sessions/{}/outcome", id(&session));
    let case = json!({ "case": "failure", "code": "document_expired" });
    sandbox.control(&path, &case).await;
    let case = json!({ "case": "failure", "code": "selfie_face_mismatch" });
    sandbox.control(&path, &case).await;
    sandbox.outcome(&session, "success").await;
    let of_session = format!(
        "/v1/identity/verification_reports?verification_session={}",
        id(&session)
    );
    let reports = sandbox.get(&of_session).await.body;
    let reports = reports["data"].as_array().unwrap();
    assert_eq!(reports.len(), 3);
    assert_eq!(reports[0]["document"]["status"], "verified");
    assert_eq!(
        reports[1]["selfie"]["error"]["code"],
        "selfie_face_mismatch"
    );
    assert_eq!(reports[1]["document"]["status"], "verified");
    assert_eq!(reports[2]["document"]["error"]["code"], "document_expired");
    let one = format!("/v1/identity/verification_reports/{}", id(&reports[2]));
    assert_eq!(sandbox.get(&one).await.body, reports[2]);
}

#[tokio::test]
async fn events_can_be_found_by_type_time_and_delivery() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    sandbox.outcome(&session, "success_async").await;
    let finish = format!("/_sessions/{}/finish", id(&session));
    sandbox.control(&finish, &json!({})).await;
    let prefix = "identity.verification_session";
    let count = async |query: &str| {
        let found = sandbox.get(&format!("/v1/events?{query}")).await.body;
        found["data"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count(&format!("type={prefix}.verified")).await, 1);
    assert_eq!(
        count(&format!(
            "types[]={prefix}.verified&types[]={prefix}.created"
        ))
        .await,
        2
    );
    assert_eq!(count("delivery_success=true").await, 3);
    assert_eq!(count("delivery_success=false").await, 0);
    assert_eq!(count("created[lt]=1000").await, 0);
    assert_eq!(count("limit=1").await, 1);

    let newest = &sandbox.get("/v1/events").await.body["data"][0];
    let one = sandbox
        .get(&format!("/v1/events/{}", id(newest)))
        .await
        .body;
    assert_eq!(one, *newest);
    assert_eq!(one["data"]["object"]["status"], "verified");
    let thin = id(newest).replace("evt_", "evt_test_");
    let thin = sandbox.get(&format!("/v2/core/events/{thin}")).await.body;
    assert_eq!(thin["type"], format!("v1.{prefix}.verified"));
    assert_eq!(thin["related_object"]["id"], id(&session));
    assert_eq!(thin["snapshot_event"], id(newest));
}

#[tokio::test]
async fn an_ephemeral_key_needs_a_version_and_shows_its_secret_once() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    let form = format!("verification_session={}", id(&session));
    let key = sandbox.post("/v1/ephemeral_keys", &form).await.body;
    assert!(key["secret"].as_str().unwrap().starts_with("ek_test_"));
    assert_eq!(
        key["expires"].as_i64().unwrap() - key["created"].as_i64().unwrap(),
        3600
    );
    let path = format!("/v1/ephemeral_keys/{}", id(&key));
    let deleted = sandbox.delete(&path).await;
    assert_eq!(deleted.status, 200);
    assert!(deleted.body.get("secret").is_none());
    assert_eq!(sandbox.delete(&path).await.status, 404);

    let unversioned = sandbox
        .http
        .post(format!("{}/v1/ephemeral_keys", sandbox.base))
        .bearer_auth("sk_test_any")
        .form(&[("verification_session", id(&session))]);
    assert_eq!(unversioned.send().await.unwrap().status(), 400);
    let unknown = sandbox
        .post("/v1/ephemeral_keys", "verification_session=vs_x")
        .await;
    assert_eq!(unknown.error().2, "resource_missing");
}

#[tokio::test]
async fn errors_have_stripes_shape_types_and_codes() {
    let sandbox = TestSandbox::start().await;
    let kind = "invalid_request_error";
    let post = async |form: &str| {
        let answer = sandbox.post(SESSIONS, form).await;
        let (status, kind, code, param) = answer.error();
        (status, kind.to_owned(), code.to_owned(), param.to_owned())
    };
    for (form, code, param) in [
        ("", "parameter_missing", "type"),
        ("type=document&foo=1", "parameter_unknown", "foo"),
        (
            "type=document&options[document][foo]=1",
            "parameter_unknown",
            "options[document][foo]",
        ),
        (
            "type=document&options[email][require_verification]=true",
            "parameter_unknown",
            "options[email]",
        ),
        (
            "type=document&related_person[account]=a",
            "parameter_missing",
            "related_person[person]",
        ),
        (
            "type=document&return_url=nowhere",
            "url_invalid",
            "return_url",
        ),
        (
            "type=document&return_url=javascript:1",
            "url_invalid",
            "return_url",
        ),
    ] {
        let expected = (400, kind.to_owned(), code.to_owned(), param.to_owned());
        assert_eq!(post(form).await, expected, "{form}");
    }
    let missing = sandbox.get(&format!("{SESSIONS}/vs_nope")).await;
    assert_eq!(missing.error(), (404, kind, "resource_missing", "session"));
    assert_eq!(
        sandbox.get("/v1/nowhere").await.error(),
        (404, kind, "", "")
    );
    assert_eq!(sandbox.delete(SESSIONS).await.status, 404);
    let expand = sandbox
        .get(&format!("{SESSIONS}?expand[]=verified_outputs"))
        .await;
    assert_eq!(expand.status, 400);
}

#[tokio::test]
async fn only_a_test_key_is_let_in() {
    let sandbox = TestSandbox::start().await;
    let url = format!("{}{SESSIONS}", sandbox.base);
    let nobody = Answer::of(sandbox.http.get(&url).send().await.unwrap()).await;
    assert_eq!(nobody.error(), (401, "invalid_request_error", "", ""));
    assert!(nobody.headers.contains_key("www-authenticate"));
    let live = sandbox.http.get(&url).bearer_auth("sk_live_1");
    assert_eq!(live.send().await.unwrap().status(), 401);
    let basic = sandbox.http.get(&url).basic_auth("rk_test_1", Some(""));
    assert_eq!(basic.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_strange_host_is_misdirected() {
    let sandbox = TestSandbox::start().await;
    for (path, host, status) in [
        ("/_ledger", "attacker.example", 421),
        (SESSIONS, "attacker.example:12111", 421),
        ("/_ledger", "localhost:1", 200),
        ("/_ledger", "[::1]:1", 200),
    ] {
        let request = sandbox
            .request(Method::GET, path)
            .header(header::HOST, host);
        assert_eq!(
            request.send().await.unwrap().status(),
            status,
            "{path} {host}"
        );
    }
}

#[tokio::test]
async fn the_ledger_counts_calls_and_keeps_no_secret() {
    let sandbox = TestSandbox::start().await;
    let created = sandbox
        .post_with(
            SESSIONS,
            "type=document",
            &[("idempotency-key", "attempt-1")],
        )
        .await;
    let secret = created.body["client_secret"].as_str().unwrap().to_owned();
    sandbox.get(&format!("{SESSIONS}/{secret}")).await;
    sandbox
        .get(&format!("{SESSIONS}?client_reference_id={secret}"))
        .await;
    let calls = sandbox.calls().await;
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[0]["method"], "POST");
    assert_eq!(calls[0]["path"], SESSIONS);
    assert_eq!(calls[0]["idempotency_key"], "attempt-1");
    assert_eq!(calls[0]["status"], 200);
    assert_eq!(calls[0]["replayed"], false);
    assert_eq!(calls[1]["status"], 404);
    let ledger = sandbox.get("/_ledger").await.text;
    assert!(!ledger.contains("_secret_"), "{ledger}");
    sandbox
        .http
        .delete(format!("{}/_ledger", sandbox.base))
        .send()
        .await
        .unwrap();
    assert!(sandbox.calls().await.is_empty());
}

#[tokio::test]
async fn files_are_for_restricted_keys_and_links_to_them_for_seconds() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    sandbox.outcome(&session, "success").await;
    let reports = sandbox.get("/v1/identity/verification_reports").await.body;
    let file = reports["data"][0]["document"]["files"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(sandbox.get(&format!("/v1/files/{file}")).await.status, 403);

    let now = verigate::clock::Clock::system().unix();
    let link = async |expires_at: i64| {
        let request = sandbox
            .http
            .post(format!("{}/v1/file_links", sandbox.base))
            .bearer_auth("rk_test_any")
            .form(&[
                ("file", file.as_str()),
                ("expires_at", &expires_at.to_string()),
            ]);
        Answer::of(request.send().await.unwrap()).await
    };
    assert_eq!(link(now + 3600).await.status, 400);
    let made = link(now + 20).await.body;
    let url = made["url"].as_str().unwrap();
    assert_eq!(sandbox.http.get(url).send().await.unwrap().status(), 200);
    sandbox
        .control("/_advance", &json!({ "seconds": 60 }))
        .await;
    assert_eq!(sandbox.http.get(url).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn an_event_is_known_for_thirty_days() {
    let sandbox = TestSandbox::start().await;
    sandbox.create().await;
    let events = sandbox.get("/v1/events").await.body;
    let event = format!("/v1/events/{}", id(&events["data"][0]));
    let days = async |days: i64| {
        let seconds = json!({ "seconds": days * 86_400 });
        sandbox.control("/_advance", &seconds).await;
    };
    days(29).await;
    assert_eq!(sandbox.get(&event).await.status, 200);
    days(1).await;
    let gone = sandbox.get(&event).await;
    let (status, _, code, _) = gone.error();
    assert_eq!((status, code), (404, "resource_missing"));
}

#[tokio::test]
async fn a_limit_on_an_endpoint_answers_429_with_its_reason() {
    let sandbox = TestSandbox::start().await;
    sandbox
        .control("/_settings", &json!({ "calls_per_second": 1 }))
        .await;
    let mut limited = None;
    // Two calls may fall into different seconds; many cannot all.
    for _ in 0..50 {
        let answer = sandbox.get(SESSIONS).await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.unwrap();
    assert_eq!(
        limited.headers["stripe-rate-limited-reason"],
        "endpoint-rate"
    );
    assert_eq!(limited.error().2, "rate_limit");
    assert_eq!(sandbox.get("/v1/events").await.status, 200);
}

#[tokio::test]
async fn after_a_reset_every_session_is_missing_as_after_a_restart() {
    let sandbox = TestSandbox::start().await;
    let session = sandbox.create().await;
    sandbox.control("/_reset", &json!({})).await;
    let gone = sandbox.get(&format!("{SESSIONS}/{}", id(&session))).await;
    assert_eq!(gone.error().2, "resource_missing");
}
