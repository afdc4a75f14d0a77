//! A `VerificationReport`, and the test person whose document it is about.

use serde_json::{Value, json};

use super::{
    codes::{Check, Code},
    expand::Expand,
    ids,
    session::{Session, Verdict},
    shelf::Identified,
    time::second,
};

/// Members that are there only when asked for, by check.
const EXPANDED_ONLY: [(&str, &[&str]); 2] = [
    (
        "document",
        &[
            "dob",
            "expiration_date",
            "number",
            "sex",
            "unparsed_sex",
            "unparsed_place_of_birth",
        ],
    ),
    ("id_number", &["dob", "id_number"]),
];
const REDACTED: &str = "[redacted]";
/// What says nothing about the person, or can be nothing but what it is.
const KEPT: [&str; 6] = [
    "status",
    "error",
    "type",
    "country",
    "issuing_country",
    "id_number_type",
];

/// A report, with everything in it; [`Report::render`] leaves out what was not asked for.
pub(crate) struct Report {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) kind: String,
    pub(crate) session: String,
    pub(crate) client_reference_id: Option<String>,
    pub(crate) files: Vec<(String, &'static str)>,
    whole: Value,
}

impl Identified for Report {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Report {
    /// The report of one processed attempt.
    pub(crate) fn new(session: &Session, verdict: Verdict, now_ms: i64) -> Self {
        let id = ids::id("vr");
        let mut files: Vec<(String, &'static str)> = vec![
            (ids::id("file"), "identity_document_downloadable"),
            (ids::id("file"), "identity_document_downloadable"),
        ];
        let options = &session.options["document"];
        let asks = |name: &str| options[name] == true;
        let failed = verdict.map_or(Check::None, |code| code.check);
        let mut whole = json!({
            "id": id,
            "object": "identity.verification_report",
            "created": second(now_ms),
            "livemode": false,
            "type": session.kind,
            "verification_session": session.id,
            "client_reference_id": session.client_reference_id,
            "options": { "document": if options.is_null() { json!({}) } else { options.clone() } },
        });
        if let Some(flow) = &session.verification_flow {
            whole["verification_flow"] = json!(flow);
        }
        if session.kind != "id_number" || failed == Check::Document {
            let document_type = options["allowed_types"][0].as_str().unwrap_or("passport");
            whole["document"] = document(verdict, document_type, &files);
        }
        if asks("require_matching_selfie") || failed == Check::Selfie {
            files.push((ids::id("file"), "selfie"));
            whole["selfie"] = selfie(verdict, &files);
        }
        if session.kind == "id_number" || asks("require_id_number") || failed == Check::IdNumber {
            whole["options"]["id_number"] = json!({});
            whole["id_number"] = id_number(verdict);
        }
        for (check, name) in [(Check::Email, "email"), (Check::Phone, "phone")] {
            if failed == check {
                let mut part = outcome(verdict, check);
                part[name] = session.provided_details[name].clone();
                whole[name] = part;
            }
        }
        Self {
            id,
            created: second(now_ms),
            kind: session.kind.clone(),
            session: session.id.clone(),
            client_reference_id: session.client_reference_id.clone(),
            files,
            whole,
        }
    }

    pub(crate) fn render(&self, expand: &Expand) -> Value {
        let mut rendered = self.whole.clone();
        for (check, members) in EXPANDED_ONLY {
            if let Some(part) = rendered.get_mut(check).and_then(Value::as_object_mut) {
                part.retain(|name, _| {
                    !members.contains(&name.as_str()) || expand.has(&format!("{check}.{name}"))
                });
            }
        }
        rendered
    }

    /// Takes the person out of it for good.
    pub(crate) fn redact(&mut self) {
        self.client_reference_id = None;
        self.files.clear();
        self.whole["client_reference_id"] = Value::Null;
        for check in ["document", "selfie", "id_number", "email", "phone"] {
            let part = self.whole.get_mut(check).and_then(Value::as_object_mut);
            for (name, value) in part.into_iter().flatten() {
                if !KEPT.contains(&name.as_str()) {
                    redact(value);
                }
            }
        }
    }
}

fn redact(value: &mut Value) {
    match value {
        Value::String(text) => REDACTED.clone_into(text),
        Value::Number(_) => *value = json!(1),
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Object(members) => {
            for (name, member) in members {
                if !KEPT.contains(&name.as_str()) {
                    redact(member);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// What the checks found out about the person, as far as asked for.
pub(crate) fn verified_outputs(session: &Session, expand: &Expand) -> Value {
    let mut outputs = json!({
        "first_name": "Jenny",
        "last_name": "Rosen",
        "address": address(),
        "email": null,
        "phone": null,
        "id_number_type": null,
        "dob": birth_date(),
        "id_number": null,
        "sex": "female",
        "unparsed_sex": "F",
        "unparsed_place_of_birth": "San Francisco",
    });
    if session.kind == "id_number" || session.options["document"]["require_id_number"] == true {
        outputs["id_number_type"] = json!("us_ssn");
        outputs["id_number"] = json!("6789");
    }
    if session.redaction.is_some() {
        redact(&mut outputs);
    }
    let only_when_asked = [
        "dob",
        "id_number",
        "sex",
        "unparsed_sex",
        "unparsed_place_of_birth",
    ];
    if let Some(members) = outputs.as_object_mut() {
        members.retain(|name, _| !only_when_asked.contains(&name.as_str()) || expand.has(name));
    }
    outputs
}

/// The status and error of one check.
fn outcome(verdict: Verdict, check: Check) -> Value {
    match verdict.filter(|code| code.check == check) {
        None => json!({ "status": "verified", "error": null }),
        Some(code) => json!({
            "status": "unverified",
            "error": { "code": code_in_report(code), "reason": code.reason },
        }),
    }
}

/// A report's document knows fewer codes than its session.
fn code_in_report(code: &Code) -> &'static str {
    match code.name {
        "country_not_supported" => "document_unverified_other",
        name => name,
    }
}

fn document(verdict: Verdict, document_type: &str, files: &[(String, &str)]) -> Value {
    let mut part = outcome(verdict, Check::Document);
    let files: Vec<&str> = files.iter().map(|(id, _)| id.as_str()).collect();
    let verified = part["status"] == "verified";
    let known = |value: Value| if verified { value } else { Value::Null };
    part["type"] = json!(document_type);
    part["files"] = json!(files);
    part["issuing_country"] = json!("US");
    part["first_name"] = known(json!("Jenny"));
    part["last_name"] = known(json!("Rosen"));
    part["address"] = known(address());
    part["issued_date"] = known(json!({ "day": 1, "month": 12, "year": 2020 }));
    part["expiration_date"] = known(json!({ "day": 1, "month": 12, "year": 2035 }));
    part["dob"] = known(birth_date());
    part["number"] = known(json!("E1234567"));
    part["sex"] = known(json!("female"));
    part["unparsed_sex"] = known(json!("F"));
    part["unparsed_place_of_birth"] = known(json!("San Francisco"));
    part
}

fn selfie(verdict: Verdict, files: &[(String, &str)]) -> Value {
    let mut part = outcome(verdict, Check::Selfie);
    part["document"] = json!(files.first().map(|(id, _)| id));
    part["selfie"] = json!(files.last().map(|(id, _)| id));
    part
}

fn id_number(verdict: Verdict) -> Value {
    let mut part = outcome(verdict, Check::IdNumber);
    part["first_name"] = json!("Jenny");
    part["last_name"] = json!("Rosen");
    part["id_number_type"] = json!("us_ssn");
    part["id_number"] = json!("6789");
    part["dob"] = birth_date();
    part
}

fn birth_date() -> Value {
    json!({ "day": 1, "month": 1, "year": 1990 })
}

fn address() -> Value {
    json!({
        "city": "San Francisco",
        "country": "US",
        "line1": "1234 Main St.",
        "line2": null,
        "postal_code": "94111",
        "state": "CA",
    })
}
