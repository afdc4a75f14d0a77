//! What a person should have ready, as far as the policy they come under tells.

use crate::{
    stripe::{DocumentType, SessionType},
    verification::Check,
};

/// The documents there are, in the order and the words in which people are told.
const DOCUMENTS: [(DocumentType, &str); 3] = [
    (DocumentType::Passport, "passport"),
    (DocumentType::DrivingLicense, "driving licence"),
    (DocumentType::IdCard, "identity card"),
];

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// A document, one of these.
    pub(super) document: Option<String>,
    /// The number on one.
    pub(super) number: bool,
    /// The face; nothing where nobody but Stripe knows.
    pub(super) face: Option<bool>,
}

impl Needs {
    pub(crate) fn of(check: &Check) -> Self {
        match check {
            Check::Of {
                kind: SessionType::Document,
                document,
            } => Self {
                document: Some(one_of(&document.allowed_types)),
                number: document.require_id_number == Some(true),
                face: Some(document.require_matching_selfie == Some(true)),
            },
            Check::Of {
                kind: SessionType::IdNumber,
                ..
            } => Self {
                document: None,
                number: true,
                face: Some(false),
            },
            Check::Flow(_) => Self::unknown(),
        }
    }

    /// In words that are true of whatever is asked for.
    pub(crate) fn unknown() -> Self {
        Self {
            document: Some(one_of(&[])),
            number: false,
            face: None,
        }
    }
}

/// Without any of them all are meant.
fn one_of(allowed: &[DocumentType]) -> String {
    let is_meant = |kind| allowed.is_empty() || allowed.contains(kind);
    let mut names = DOCUMENTS
        .iter()
        .filter(|(kind, _)| is_meant(kind))
        .map(|(_, name)| *name);
    let last = names.next_back().unwrap_or_default();
    let others = names.collect::<Vec<_>>().join(", ");
    if others.is_empty() {
        last.to_owned()
    } else {
        format!("{others} or {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_listed_as_people_list_them() {
        use DocumentType::{DrivingLicense, IdCard, Passport};
        for (allowed, words) in [
            (&[][..], "passport, driving licence or identity card"),
            (&[IdCard, Passport], "passport or identity card"),
            (&[DrivingLicense], "driving licence"),
        ] {
            assert_eq!(one_of(allowed), words);
        }
    }
}
