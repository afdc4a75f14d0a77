//! The words: a heading that says how things stand, a reason that blames nobody, two tips.
//!
//! Only the person's own next step is named here. The page adds what depends on the application: the other
//! way to verify, and where help is.

use super::Retry;

/// The words for one failure.
pub(super) struct Failure {
    /// The API's code first, then the modal's where it has another for the same thing.
    pub(super) codes: &'static [&'static str],
    pub(super) heading: &'static str,
    pub(super) reason: &'static str,
    pub(super) tips: [&'static str; 2],
    pub(super) retry: Retry,
}

const DOCUMENT: &str = "We could not verify your document";
const NUMBER: &str = "We could not confirm your ID number";
const SELFIE: &str = "We could not match your selfie";
const EMAIL: &str = "We could not confirm your e-mail address";
const PHONE: &str = "We could not confirm your phone number";
const ASK_FOR_ANOTHER_WAY: &str = "Contact help and ask for another way.";

/// For a code we do not know, and for none.
pub(super) const UNKNOWN: Failure = Failure {
    codes: &[],
    heading: "We could not verify your identity",
    reason: "The check did not succeed, and we were not told more.",
    tips: [
        "Use the original document, in good light.",
        "If you have another document, try that one.",
    ],
    retry: Retry::Other,
};

/// Every check a person may have was made; no code of Stripe's.
pub(super) const TRIES_USED: Failure = Failure {
    codes: &[],
    heading: "You have used all your tries",
    reason: "The number of tries is limited.",
    tips: [
        "Contact help and ask for another try.",
        "Say which document you used, and do not send a picture of it.",
    ],
    retry: Retry::No,
};

/// The same, but only for the day.
pub(super) const TRIES_USED_TODAY: Failure = Failure {
    codes: &[],
    heading: "You have used today’s tries",
    reason: "Tries are limited each day.",
    tips: [
        "Try again tomorrow. The new day begins at midnight UTC.",
        "If you cannot wait, contact help and ask for another try.",
    ],
    retry: Retry::No,
};

/// What is said before the reason of both where no code tells why.
pub(super) const NOT_SO_FAR: &str = "We could not verify you so far.";

/// In the order of a verification: the start, the document, the number, the selfie, the ways to reach.
pub(super) const FAILURES: &[Failure] = &[
    Failure {
        codes: &["abandoned"],
        heading: "Your verification is not finished",
        reason: "It was started, but no document was sent.",
        tips: [
            "Have your document at hand before you start.",
            "Take about two minutes, in a place with good light.",
        ],
        retry: Retry::Same,
    },
    Failure {
        codes: &["session_cancelled"],
        heading: "Nothing was sent",
        reason: "The window was closed before the end. Start again when you are ready.",
        tips: [
            "Have your document at hand before you start.",
            "If the window closed by itself, reload this page first.",
        ],
        retry: Retry::Same,
    },
    Failure {
        codes: &["consent_declined"],
        heading: "You chose not to continue",
        reason: "That is for you to choose, and no document was checked.",
        tips: [
            ASK_FOR_ANOTHER_WAY,
            "If you change your mind, you can start again.",
        ],
        retry: Retry::No,
    },
    Failure {
        codes: &["device_not_supported", "device_unsupported"],
        heading: "We need a camera",
        reason: "The check takes pictures of your document, and found no camera it may use.",
        tips: [
            "Allow the camera when your browser asks, or in its settings.",
            "Open this page on a phone instead.",
        ],
        retry: Retry::Same,
    },
    Failure {
        codes: &["under_supported_age"],
        heading: "This check has an age limit",
        reason: "It is only open to people who have reached the required age.",
        tips: [
            ASK_FOR_ANOTHER_WAY,
            "If your date of birth was read wrongly, tell them so.",
        ],
        retry: Retry::No,
    },
    Failure {
        codes: &["country_not_supported"],
        heading: "We cannot check this country's documents",
        reason: "The check does not cover this country.",
        tips: [
            ASK_FOR_ANOTHER_WAY,
            "If you have a document from another country, tell them so.",
        ],
        retry: Retry::No,
    },
    Failure {
        codes: &["document_expired"],
        heading: DOCUMENT,
        reason: "The date until which it is valid has passed.",
        tips: [
            "Use a document that is still valid.",
            "If you have renewed it, use the new one.",
        ],
        retry: Retry::Other,
    },
    Failure {
        codes: &["document_type_not_supported"],
        heading: DOCUMENT,
        reason: "This kind of document is not accepted here.",
        tips: [
            "Use a kind that the check offers, such as a passport.",
            "Choose the kind that matches the document in your hand.",
        ],
        retry: Retry::Other,
    },
    Failure {
        codes: &["document_unverified_other"],
        heading: DOCUMENT,
        reason: "It could not be read well enough, or could not be accepted.",
        tips: [
            "Lay the original flat in good light, all four corners in the picture.",
            "If you have another document, try that one.",
        ],
        retry: Retry::Other,
    },
    Failure {
        codes: &["id_number_insufficient_document_data"],
        heading: NUMBER,
        reason: "The document does not show everything we need to check the number.",
        tips: [
            "Use a document that shows your full name and date of birth.",
            "Make sure that every line of it can be read.",
        ],
        retry: Retry::Other,
    },
    Failure {
        codes: &["id_number_mismatch"],
        heading: NUMBER,
        reason: "We could not find this number together with this name and date of birth.",
        tips: [
            "Compare the number with your papers, digit by digit.",
            "Write your name exactly as your papers do.",
        ],
        retry: Retry::Other,
    },
    Failure {
        codes: &["id_number_unverified_other"],
        heading: NUMBER,
        reason: "The number could not be checked.",
        tips: [
            "Compare the number with your papers, digit by digit.",
            "If you have another ID number that the check takes, try that one.",
        ],
        retry: Retry::Other,
    },
    Failure {
        codes: &["selfie_document_missing_photo"],
        heading: SELFIE,
        reason: "The document shows no photo of a face to compare it with.",
        tips: [
            "Use a document with your photo on it, such as a passport.",
            "Show the side that has the photo.",
        ],
        retry: Retry::Other,
    },
    Failure {
        codes: &["selfie_face_mismatch"],
        heading: SELFIE,
        reason: "The selfie and the photo on the document did not look alike enough.",
        tips: [
            "Face the light, and take off anything that covers your face.",
            "If the photo on the document is old, use a newer document.",
        ],
        retry: Retry::Same,
    },
    Failure {
        codes: &["selfie_manipulated"],
        heading: "We could not accept the selfie",
        reason: "The check could not tell that it came straight from the camera.",
        tips: [
            "Contact help and ask for a person to look at it.",
            "Tell them which device and which browser you used.",
        ],
        retry: Retry::No,
    },
    Failure {
        codes: &["selfie_unverified_other"],
        heading: SELFIE,
        reason: "Your face could not be seen well enough.",
        tips: [
            "Face a window or a lamp, so that the light is even.",
            "Hold the camera at the height of your eyes, and keep still.",
        ],
        retry: Retry::Same,
    },
    Failure {
        codes: &["email_unverified_other"],
        heading: EMAIL,
        reason: "The check did not succeed for this address.",
        tips: [
            "Look at every letter of the address once more.",
            "Use an address whose mail you can read right now.",
        ],
        retry: Retry::Same,
    },
    Failure {
        codes: &["email_verification_declined"],
        heading: EMAIL,
        reason: "The code that was sent to it was not confirmed.",
        tips: [
            "Look for the code in your inbox, and among the spam.",
            "If it does not come within a few minutes, ask for a new one.",
        ],
        retry: Retry::Same,
    },
    Failure {
        codes: &["phone_unverified_other"],
        heading: PHONE,
        reason: "The check did not succeed for this number.",
        tips: [
            "Look at every digit once more, and at the country code.",
            "Use a phone that can receive messages right now.",
        ],
        retry: Retry::Same,
    },
    Failure {
        codes: &["phone_verification_declined", "phone_otp_declined"],
        heading: PHONE,
        reason: "The code that was sent to it was not confirmed.",
        tips: [
            "Give the message a minute, then ask for a new code.",
            "Use a phone that you have at hand and that has reception.",
        ],
        retry: Retry::Same,
    },
];
