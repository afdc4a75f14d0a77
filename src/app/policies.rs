//! Hands the configured policies to the use cases, which know Stripe's words for what they ask.

use crate::{
    config,
    stripe::{DocumentOptions, DocumentType, SessionType},
    verification::{Check, Policies, Policy},
};

pub(super) fn policies(configured: &config::Policies) -> Policies {
    let all = configured.iter().map(|policy| Policy {
        name: policy.name.clone(),
        check: check(&policy.check),
        satisfied_by: policy.satisfied_by.clone(),
    });
    Policies::new(all, configured.default_name())
}

fn check(check: &config::Check) -> Check {
    match check {
        config::Check::Flow(flow) => Check::Flow(flow.clone()),
        config::Check::Of { kind, document } => Check::Of {
            kind: match kind {
                config::CheckType::Document => SessionType::Document,
                config::CheckType::IdNumber => SessionType::IdNumber,
            },
            document: DocumentOptions {
                allowed_types: document
                    .allowed_types
                    .iter()
                    .map(|it| document_type(*it))
                    .collect(),
                require_id_number: document.require_id_number,
                require_live_capture: document.require_live_capture,
                require_matching_selfie: document.require_matching_selfie,
            },
        },
    }
}

fn document_type(kind: config::DocumentType) -> DocumentType {
    match kind {
        config::DocumentType::DrivingLicense => DocumentType::DrivingLicense,
        config::DocumentType::IdCard => DocumentType::IdCard,
        config::DocumentType::Passport => DocumentType::Passport,
    }
}
