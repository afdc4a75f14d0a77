//! Failure codes, in words that help: what happened, what to do differently, and whether to try again.

mod words;

use std::borrow::Cow;

use words::{FAILURES, Failure, NOT_SO_FAR, TRIES_USED, TRIES_USED_TODAY, UNKNOWN};

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Yes, just as before.
    Same,
    /// Yes, with something else: another document, another number.
    Other,
    /// Hardly: only another way or a person can help.
    No,
}

/// What to tell a person about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The code as it was given; empty if there was none.
    pub code: String,
    /// How things stand, as a heading.
    pub heading: &'static str,
    /// What happened, in plain words and without blame.
    pub reason: Cow<'static, str>,
    /// The two things most likely to help.
    pub tips: [Cow<'static, str>; 2],
    /// Whether trying again can help.
    pub retry: Retry,
}

/// What to tell a person about this code: a `last_error.code` of the API, or the `error.code` with which the
/// modal in the browser ends. Stripe adds codes without notice, so an unknown one is a failure like any other.
pub fn advice(code: Option<&str>) -> Advice {
    let code = code.unwrap_or_default();
    let words = FAILURES
        .iter()
        .find(|failure| failure.codes.contains(&code))
        .unwrap_or(&UNKNOWN);
    words.about(code)
}

/// What to tell a person who has used every try, for good or only those of the day: that, and how the last one failed,
/// if it did. Nobody else would tell them any more.
pub fn tries_used(only_today: bool, last: Option<&str>) -> Advice {
    let words = if only_today {
        &TRIES_USED_TODAY
    } else {
        &TRIES_USED
    };
    let mut used = words.about("attempts_exhausted");
    used.reason = match last.map(|code| advice(Some(code))) {
        Some(last) => format!("{}. {} {}", last.heading, last.reason, used.reason),
        None => format!("{NOT_SO_FAR} {}", used.reason),
    }
    .into();
    used
}

/// Codes of tries in which nothing was handed in.
const NOTHING_GIVEN: [&str; 5] = [
    "abandoned",
    "session_cancelled",
    "consent_declined",
    "device_not_supported",
    "device_unsupported",
];

/// Is this the result of a check, which somebody who left may be waiting for? Where nothing was handed in there is
/// none: whoever stopped, refused or had no camera was told on the spot, and a letter would only press them.
pub fn is_result(code: &str) -> bool {
    !NOTHING_GIVEN.contains(&code)
}

impl Failure {
    fn about(&self, code: &str) -> Advice {
        Advice {
            code: code.to_owned(),
            heading: self.heading,
            reason: self.reason.into(),
            tips: self.tips.map(Cow::Borrowed),
            retry: self.retry,
        }
    }
}

/// Every code that has words of its own.
pub fn codes() -> impl Iterator<Item = &'static str> {
    FAILURES.iter().flat_map(|failure| failure.codes).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The enum of `last_error.code` in Stripe's OpenAPI document.
    const STRIPE: [&str; 19] = [
        "abandoned",
        "consent_declined",
        "country_not_supported",
        "device_not_supported",
        "document_expired",
        "document_type_not_supported",
        "document_unverified_other",
        "email_unverified_other",
        "email_verification_declined",
        "id_number_insufficient_document_data",
        "id_number_mismatch",
        "id_number_unverified_other",
        "phone_unverified_other",
        "phone_verification_declined",
        "selfie_document_missing_photo",
        "selfie_face_mismatch",
        "selfie_manipulated",
        "selfie_unverified_other",
        "under_supported_age",
    ];

    /// What only the modal says.
    const MODAL: [&str; 3] = [
        "device_unsupported",
        "phone_otp_declined",
        "session_cancelled",
    ];

    #[test]
    fn every_code_of_stripes_has_words_of_its_own_and_no_other_has() {
        let known: Vec<_> = codes().collect();
        let once: BTreeSet<_> = codes().collect();
        assert_eq!(known.len(), once.len(), "a code stands there twice");
        assert_eq!(once, STRIPE.into_iter().chain(MODAL).collect());
        let words: BTreeSet<_> = STRIPE.map(|code| advice(Some(code)).tips).into();
        assert_eq!(words.len(), STRIPE.len());
    }

    #[test]
    fn the_modals_words_for_the_same_thing_get_the_same_advice() {
        for (modal, api) in [
            ("device_unsupported", "device_not_supported"),
            ("phone_otp_declined", "phone_verification_declined"),
        ] {
            let (modal, api) = (advice(Some(modal)), advice(Some(api)));
            assert_eq!((modal.heading, modal.tips), (api.heading, api.tips));
        }
    }

    #[test]
    fn a_code_we_do_not_know_is_kept_and_gets_general_advice() {
        let unknown = advice(Some("address_mismatch"));
        assert_eq!(unknown.code, "address_mismatch");
        for none in [advice(None), advice(Some(""))] {
            assert_eq!(none.code, "");
            assert_eq!((none.heading, &none.tips), (unknown.heading, &unknown.tips));
        }
        assert!(codes().all(|code| advice(Some(code)).reason != unknown.reason));
    }

    #[test]
    fn trying_again_is_offered_where_it_can_help() {
        let by = |retry| -> BTreeSet<_> {
            let mine = |code: &&str| advice(Some(code)).retry == retry;
            STRIPE.into_iter().filter(mine).collect()
        };
        let other = by(Retry::Other);
        assert_eq!(
            by(Retry::No),
            BTreeSet::from([
                "consent_declined",
                "country_not_supported",
                "selfie_manipulated",
                "under_supported_age"
            ])
        );
        assert!(
            other
                .iter()
                .all(|code| code.contains("document") || code.contains("id_number"))
        );
        assert_eq!(other.len(), 7);
    }

    #[test]
    fn what_ends_before_anything_is_given_is_no_result() {
        let ends: BTreeSet<_> = codes().filter(|code| !is_result(code)).collect();
        assert_eq!(ends, NOTHING_GIVEN.into());
        assert!(is_result("a_code_of_tomorrow"));
        // Nobody can try again after these, but everybody who was checked is told how it ended.
        for last in [
            "under_supported_age",
            "country_not_supported",
            "selfie_manipulated",
        ] {
            assert!(is_result(last), "{last}");
        }
    }

    #[test]
    fn the_words_are_short_plain_and_blame_nobody() {
        let ours = [&UNKNOWN, &TRIES_USED, &TRIES_USED_TODAY];
        for words in FAILURES.iter().chain(ours) {
            let sentences = [words.reason, words.tips[0], words.tips[1]];
            assert!(words.heading.chars().count() <= 42, "{}", words.heading);
            assert!(!words.heading.ends_with('.'));
            assert_ne!(words.tips[0], words.tips[1]);
            for text in sentences {
                assert!(text.ends_with('.') && text.chars().count() <= 80, "{text}");
            }
            for text in sentences.into_iter().chain([words.heading]) {
                let lower = text.to_lowercase();
                for never in [
                    "!", "oops", "sorry", "invalid", "fail", "error", "fraud", "fake",
                ] {
                    assert!(!lower.contains(never), "{text:?} says {never:?}");
                }
            }
        }
    }
}
