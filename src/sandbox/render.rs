//! A session as the API and its events show it.

use serde_json::{Value, json};

use super::{expand::Expand, report::verified_outputs, session::Session, world::World};

impl World {
    /// The session with its newest working secret and address, if it is open.
    pub(crate) fn render_session(&self, session: &Session, expand: &Expand, now_ms: i64) -> Value {
        let token = session.token(now_ms);
        let url = token.map(|token| self.address(&format!("/start/{token}")));
        let mut shown = json!({
            "id": session.id,
            "object": "identity.verification_session",
            "client_reference_id": session.client_reference_id,
            "client_secret": session.client_secret(now_ms),
            "created": session.created,
            "last_error": session.last_error.map(|code| {
                json!({ "code": code.name, "reason": code.reason })
            }),
            "last_verification_report": session.report,
            "livemode": false,
            "metadata": session.metadata,
            "options": session.options,
            "redaction": session.redaction.map(|r| json!({ "status": r.as_str() })),
            "related_customer": session.related_customer,
            "related_customer_account": session.related_customer_account,
            "status": session.status.as_str(),
            "type": session.kind,
            "url": url,
        });
        if let Some(person) = &session.related_person {
            shown["related_person"] = person.clone();
        }
        if let Some(flow) = &session.verification_flow {
            shown["verification_flow"] = json!(flow);
        }
        if expand.has("provided_details") {
            shown["provided_details"] = session.provided_details.clone();
        }
        if expand.has("verified_outputs") {
            let is_verified = session.status == super::session::Status::Verified;
            shown["verified_outputs"] = if is_verified {
                verified_outputs(session, &expand.within("verified_outputs"))
            } else {
                Value::Null
            };
        }
        if expand.has("last_verification_report") {
            let report = session
                .report
                .as_deref()
                .and_then(|id| self.reports.find(id));
            if let Some(report) = report {
                shown["last_verification_report"] =
                    report.render(&expand.within("last_verification_report"));
            }
        }
        shown
    }
}
