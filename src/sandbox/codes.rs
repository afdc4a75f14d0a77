//! Stripe's failure codes: which check each belongs to, and what the modal calls it.

/// The part of a report that fails with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The document.
    Document,
    /// The selfie.
    Selfie,
    /// The number.
    IdNumber,
    /// The e-mail address.
    Email,
    /// The phone number.
    Phone,
    /// None: the person never got as far as a check.
    None,
}

/// A `last_error.code` with the prose that goes beside it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) check: Check,
}

const fn code(name: &'static str, check: Check, reason: &'static str) -> Code {
    Code {
        name,
        reason,
        check,
    }
}

/// What a failed check says when nobody chose.
pub(crate) const DEFAULT: &str = "document_unverified_other";

/// Every code of a session's `last_error`.
pub(crate) static ALL: [Code; 19] = [
    code(
        DEFAULT,
        Check::Document,
        "The document could not be verified.",
    ),
    code(
        "document_expired",
        Check::Document,
        "The document is expired.",
    ),
    code(
        "document_type_not_supported",
        Check::Document,
        "This type of document is not accepted.",
    ),
    code(
        "selfie_document_missing_photo",
        Check::Selfie,
        "The document has no photo of a face.",
    ),
    code(
        "selfie_face_mismatch",
        Check::Selfie,
        "The selfie and the photo on the document differ.",
    ),
    code(
        "selfie_manipulated",
        Check::Selfie,
        "The selfie was manipulated.",
    ),
    code(
        "selfie_unverified_other",
        Check::Selfie,
        "The selfie could not be verified.",
    ),
    code(
        "id_number_insufficient_document_data",
        Check::IdNumber,
        "The document says too little to look the number up.",
    ),
    code(
        "id_number_mismatch",
        Check::IdNumber,
        "The number does not belong to the name on the document.",
    ),
    code(
        "id_number_unverified_other",
        Check::IdNumber,
        "The number could not be verified.",
    ),
    code(
        "email_unverified_other",
        Check::Email,
        "The e-mail address could not be verified.",
    ),
    code(
        "email_verification_declined",
        Check::Email,
        "The e-mail address was not confirmed.",
    ),
    code(
        "phone_unverified_other",
        Check::Phone,
        "The phone number could not be verified.",
    ),
    code(
        "phone_verification_declined",
        Check::Phone,
        "The phone number was not confirmed.",
    ),
    code(
        "country_not_supported",
        Check::Document,
        "Documents of this country are not supported.",
    ),
    code(
        "abandoned",
        Check::None,
        "The verification was not finished.",
    ),
    code(
        "consent_declined",
        Check::None,
        "The verification was declined.",
    ),
    code(
        "device_not_supported",
        Check::None,
        "No camera could be used.",
    ),
    code(
        "under_supported_age",
        Check::None,
        "The age is below the supported one.",
    ),
];

pub(crate) fn find(name: &str) -> Option<&'static Code> {
    ALL.iter().find(|code| code.name == name)
}

/// What `verifyIdentity` resolves with where the API's code has another name.
pub(crate) fn modal_name(name: &str) -> &str {
    match name {
        "device_not_supported" => "device_unsupported",
        "phone_verification_declined" => "phone_otp_declined",
        other => other,
    }
}
