//! The sandbox's answers against Stripe's published description of them.

use serde_json::{Value, json};

use super::support::{Answer, SECRET, SESSIONS, TestSandbox, id};

const CONTRACT: &str = include_str!("../../fixtures/stripe-answers.json");

/// The description, and what was found not to fit it.
struct Contract {
    whole: Value,
    checked: usize,
}

impl Contract {
    fn new() -> Self {
        Self {
            whole: serde_json::from_str(CONTRACT).unwrap(),
            checked: 0,
        }
    }

    /// Panics unless `answer` is what `method path` may answer.
    fn holds(&mut self, method: &str, path: &str, answer: &Answer) {
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        let schema = &self.whole["answers"][path][method];
        assert!(schema.is_object(), "{method} {path} is not described");
        let wrong = self.misfit(schema, &answer.body, "$");
        assert_eq!(wrong, None, "{method} {path}: {:#}", answer.body);
        self.checked += 1;
    }

    fn is_a(&mut self, name: &str, object: &Value) {
        let schema = &self.whole["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is not described");
        assert_eq!(self.misfit(schema, object, "$"), None, "{object:#}");
        self.checked += 1;
    }

    /// The first thing in `value` that the schema does not allow; unknown members count.
    fn misfit(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        if value.is_null() && schema["nullable"] == true {
            return None;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            return self.misfit(self.whole.pointer(pointer).unwrap(), value, at);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let misfits = choices.iter().map(|choice| self.misfit(choice, value, at));
            return misfits.reduce(Option::and)?;
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            return Some(format!("{at}: {value} is none of {words:?}"));
        }
        match schema["type"].as_str().unwrap() {
            "string" if value.is_string() => None,
            "integer" if value.is_i64() => None,
            "boolean" if value.is_boolean() => None,
            "array" => self.misfit_in_array(schema, value, at),
            "object" => self.misfit_in_object(schema, value, at),
            kind => Some(format!("{at}: {value} is no {kind}")),
        }
    }

    fn misfit_in_array(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let Some(items) = value.as_array() else {
            return Some(format!("{at}: {value} is no array"));
        };
        let mut items = items.iter().enumerate();
        items.find_map(|(n, item)| self.misfit(&schema["items"], item, &format!("{at}[{n}]")))
    }

    fn misfit_in_object(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let Some(members) = value.as_object() else {
            return Some(format!("{at}: {value} is no object"));
        };
        let required = schema["required"].as_array();
        let required = required.into_iter().flatten().filter_map(Value::as_str);
        if let Some(name) = required
            .into_iter()
            .find(|name| !members.contains_key(*name))
        {
            return Some(format!("{at}: {name} is missing"));
        }
        members.iter().find_map(|(name, member)| {
            let at = format!("{at}.{name}");
            let described = &schema["properties"][name];
            let free = &schema["additionalProperties"];
            match (described.is_object(), free) {
                (true, _) => self.misfit(described, member, &at),
                (_, Value::Bool(true)) => None,
                (_, Value::Object(_)) => self.misfit(free, member, &at),
                _ => Some(format!("{at} is not described")),
            }
        })
    }
}

pub(super) async fn restricted(sandbox: &TestSandbox, path: &str) -> Answer {
    let request = sandbox
        .http
        .get(format!("{}{path}", sandbox.base))
        .bearer_auth("rk_test_any");
    Answer::of(request.send().await.unwrap()).await
}

#[test]
fn the_check_itself_finds_what_does_not_fit() {
    let contract = Contract::new();
    let schema = json!({ "$ref": "#/components/schemas/ephemeral_key" });
    let good = json!({
        "id": "ephkey_1", "object": "ephemeral_key", "created": 1, "expires": 2, "livemode": false,
    });
    assert_eq!(contract.misfit(&schema, &good, "$"), None);
    for (name, wrong) in [
        ("id", json!(1)),
        ("id", json!(null)),
        ("object", json!("session")),
        ("created", json!("1")),
        ("typo", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[name] = wrong;
        assert!(contract.misfit(&schema, &bad, "$").is_some(), "{bad}");
    }
    assert!(contract.misfit(&schema, &json!({}), "$").is_some());
}

/// A session for every end it can come to, with everything in it that can be.
async fn every_kind_of_session(sandbox: &TestSandbox) -> Vec<Value> {
    let rich = "type=document&options[document][allowed_types][]=driving_license\
        &options[document][require_id_number]=true&options[document][require_matching_selfie]=true\
        &metadata[a]=b&client_reference_id=c&related_customer=cus_1&related_customer_account=acct_1\
        &related_person[account]=acct_1&related_person[person]=person_1\
        &provided_details[email]=a%40example.com&provided_details[phone]=%2B15550100";
    let mut sessions = Vec::new();
    for form in [
        rich,
        "type=id_number",
        "verification_flow=vf_1",
        "type=document",
    ] {
        for case in ["leave", "success", "success_async", "failure", "no_camera"] {
            let session = sandbox.post(SESSIONS, form).await.body;
            sandbox.outcome(&session, case).await;
            sessions.push(session);
        }
    }
    for code in [
        "selfie_face_mismatch",
        "id_number_mismatch",
        "email_unverified_other",
        "phone_unverified_other",
        "country_not_supported",
    ] {
        let session = sandbox.post(SESSIONS, rich).await.body;
        let path = format!("/_sessions/{}/outcome", id(&session));
        let failure = json!({ "case": "failure", "code": code });
        sandbox.control(&path, &failure).await;
        sessions.push(session);
    }
    sessions
}

#[tokio::test]
async fn sessions_and_reports_are_as_stripe_describes_them() {
    let (sandbox, mut contract) = (TestSandbox::start().await, Contract::new());
    let template = format!("{SESSIONS}/{{session}}");
    let expand = "expand[]=verified_outputs.dob&expand[]=verified_outputs.sex\
        &expand[]=verified_outputs.id_number&expand[]=provided_details\
        &expand[]=last_verification_report.document.dob\
        &expand[]=last_verification_report.document.number\
        &expand[]=last_verification_report.id_number.id_number";
    for session in every_kind_of_session(&sandbox).await {
        let path = format!("{SESSIONS}/{}", id(&session));
        contract.holds("get", &template, &sandbox.get(&path).await);
        let expanded = restricted(&sandbox, &format!("{path}?{expand}")).await;
        contract.holds("get", &template, &expanded);
        let updated = sandbox.post(&path, "metadata[x]=y").await;
        contract.holds("post", &template, &updated);
        for action in ["cancel", "redact"] {
            let done = sandbox.post(&format!("{path}/{action}"), "").await;
            if done.status == 200 {
                contract.holds("post", &format!("{template}/{action}"), &done);
            }
        }
        let finish = format!("/_sessions/{}/finish", id(&session));
        sandbox.control(&finish, &json!({})).await;
        let redacted = restricted(&sandbox, &format!("{path}?{expand}")).await;
        contract.holds("get", &template, &redacted);
    }
    contract.holds(
        "post",
        SESSIONS,
        &sandbox.post(SESSIONS, "type=document").await,
    );
    contract.holds(
        "get",
        SESSIONS,
        &sandbox.get(&format!("{SESSIONS}?limit=100")).await,
    );
    let reports = "/v1/identity/verification_reports";
    let every = "expand[]=data.document.dob&expand[]=data.document.sex&expand[]=data.id_number.dob";
    let listed = restricted(&sandbox, &format!("{reports}?limit=100&{every}")).await;
    contract.holds("get", reports, &listed);
    let one = format!("{reports}/{}", id(&listed.body["data"][0]));
    contract.holds(
        "get",
        &format!("{reports}/{{report}}"),
        &sandbox.get(&one).await,
    );
    assert!(contract.checked > 100, "{}", contract.checked);
}

#[tokio::test]
async fn everything_else_is_as_stripe_describes_it() {
    let (sandbox, mut contract) = (TestSandbox::start().await, Contract::new());
    let session = sandbox.create().await;
    sandbox.outcome(&session, "success").await;
    let events = sandbox.get("/v1/events").await;
    contract.holds("get", "/v1/events", &events);
    for event in events.body["data"].as_array().unwrap() {
        contract.is_a("identity.verification_session", &event["data"]["object"]);
        let thin = id(event).replace("evt_", "evt_test_");
        let thin = sandbox.get(&format!("/v2/core/events/{thin}")).await.body;
        contract.is_a("v2.core.event_notification", &thin);
    }
    let one = format!("/v1/events/{}", id(&events.body["data"][0]));
    contract.holds("get", "/v1/events/{id}", &sandbox.get(&one).await);

    let form = format!("verification_session={}", id(&session));
    let key = sandbox.post("/v1/ephemeral_keys", &form).await;
    contract.holds("post", "/v1/ephemeral_keys", &key);
    let path = format!("/v1/ephemeral_keys/{}", id(&key.body));
    contract.holds(
        "delete",
        "/v1/ephemeral_keys/{key}",
        &sandbox.delete(&path).await,
    );

    let reports = sandbox.get("/v1/identity/verification_reports").await.body;
    let file = reports["data"][0]["document"]["files"][0].as_str().unwrap();
    let found = restricted(&sandbox, &format!("/v1/files/{file}")).await;
    contract.holds("get", "/v1/files/{file}", &found);
    let soon = verigate::clock::Clock::system().unix() + 20;
    let link = async |path: &str, form: &[(&str, &str)]| {
        let request = sandbox.http.post(format!("{}{path}", sandbox.base));
        let request = request.bearer_auth("rk_test_any").form(form);
        Answer::of(request.send().await.unwrap()).await
    };
    let soon = soon.to_string();
    let form = [("file", file), ("expires_at", &soon), ("expand[]", "file")];
    let made = link("/v1/file_links", &form).await;
    contract.holds("post", "/v1/file_links", &made);
    let path = format!("/v1/file_links/{}", id(&made.body));
    let template = "/v1/file_links/{link}";
    contract.holds("get", template, &restricted(&sandbox, &path).await);
    let ended = link(&path, &[("expires_at", "now"), ("metadata[a]", "b")]).await;
    contract.holds("post", template, &ended);
    assert_eq!(ended.body["expired"], true);
    let links = restricted(&sandbox, "/v1/file_links").await;
    contract.holds("get", "/v1/file_links", &links);
}

#[tokio::test]
async fn errors_are_as_stripe_describes_them() {
    let (sandbox, mut contract) = (TestSandbox::start().await, Contract::new());
    let fault = json!({ "kind": "error", "status": 500, "path": SESSIONS, "method": "GET" });
    sandbox.fault(fault).await;
    for answer in [
        sandbox.post(SESSIONS, "").await,
        sandbox.get(&format!("{SESSIONS}/vs_nobody")).await,
        sandbox.get(SESSIONS).await,
        sandbox.get("/v1/nowhere").await,
        sandbox
            .post("/v1/webhook_endpoints", &format!("secret={SECRET}"))
            .await,
    ] {
        assert!(answer.status >= 400);
        contract.is_a("error", &answer.body);
    }
}
