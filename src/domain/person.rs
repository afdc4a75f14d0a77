//! The status of a person, out of all of their attempts.

use chrono::{DateTime, Utc};

use super::{
    ids::AttemptId,
    status::{Status, UserStatus},
};

/// What counts of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptFacts {
    /// The verdict on its session; none while nobody has told us one.
    pub status: Option<Status>,
    /// The second of that verdict, by Stripe's clock.
    pub second: Option<i64>,
    /// Stripe no longer knows the session.
    pub gone: bool,
    /// When our row was made; the id settles a tie.
    pub created_order: (DateTime<Utc>, AttemptId),
    /// A session belongs to it.
    pub has_session: bool,
    /// The session is of the mode this server runs in.
    pub livemode_matches: bool,
}

/// What their attempts make of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PersonState {
    /// The status.
    pub status: UserStatus,
    /// Verified since this second, by Stripe's clock; none unless verified.
    pub verified_at_second: Option<i64>,
}

/// A person is verified if any attempt of theirs is, a superseded or a redacted one too, and also one whose
/// session Stripe no longer knows. Otherwise the newest attempt speaks for them.
///
/// Attempts without a session, of the other mode, or on which nothing was ever told, do not count; those
/// whose session is gone count only if verified.
pub fn derive_person(attempts: &[AttemptFacts]) -> PersonState {
    let counting = || {
        attempts
            .iter()
            .filter(|attempt| attempt.has_session && attempt.livemode_matches)
    };
    let verified = || counting().filter(|attempt| attempt.status == Some(Status::Verified));
    if verified().next().is_some() {
        return PersonState {
            status: UserStatus::Verified,
            verified_at_second: verified().filter_map(|attempt| attempt.second).min(),
        };
    }
    let newest = counting()
        .filter(|attempt| !attempt.gone)
        .filter_map(|attempt| Some((attempt.created_order, attempt.status?)))
        .max_by_key(|(created_order, _)| *created_order);
    PersonState {
        status: newest.map_or(UserStatus::None, |(_, status)| status.into()),
        verified_at_second: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*, sample::select};
    use uuid::Uuid;

    use super::*;

    /// The `n`th attempt, with a session of our mode that Stripe still knows.
    fn attempt(n: u8, status: Status) -> AttemptFacts {
        AttemptFacts {
            status: Some(status),
            second: Some(i64::from(n) * 100),
            gone: false,
            created_order: (
                DateTime::from_timestamp(i64::from(n), 0).unwrap(),
                AttemptId(Uuid::from_u128(u128::from(n))),
            ),
            has_session: true,
            livemode_matches: true,
        }
    }

    fn status(attempts: &[AttemptFacts]) -> UserStatus {
        derive_person(attempts).status
    }

    #[test]
    fn nobody_has_a_status_before_a_session() {
        assert_eq!(derive_person(&[]), PersonState::default());
        let mut alone = attempt(1, Status::Processing);
        alone.has_session = false;
        assert_eq!(status(&[alone]), UserStatus::None);
    }

    #[test]
    fn one_attempt_speaks_for_the_person() {
        for of_session in Status::ALL {
            let person = derive_person(&[attempt(3, of_session)]);
            assert_eq!(person.status, UserStatus::from(of_session));
            let verified = of_session == Status::Verified;
            assert_eq!(person.verified_at_second, verified.then_some(300));
        }
    }

    #[test]
    fn the_newest_attempt_speaks_for_a_person_who_is_not_verified() {
        let first = attempt(1, Status::Canceled);
        let second = attempt(2, Status::Processing);
        assert_eq!(
            status(&[second.clone(), first.clone()]),
            UserStatus::Processing
        );
        let mut same_time = attempt(1, Status::RequiresInput);
        same_time.created_order.1 = AttemptId(Uuid::from_u128(9));
        assert_eq!(status(&[same_time, first]), UserStatus::RequiresInput);
    }

    #[test]
    fn a_superseded_session_that_is_verified_after_all_still_counts() {
        let superseded = attempt(1, Status::Verified);
        let newest = attempt(2, Status::RequiresInput);
        let person = derive_person(&[superseded, newest]);
        assert_eq!(person.status, UserStatus::Verified);
        assert_eq!(person.verified_at_second, Some(100));
    }

    #[test]
    fn of_two_verified_attempts_the_person_is_verified_since_the_earlier() {
        let person = derive_person(&[attempt(2, Status::Verified), attempt(1, Status::Verified)]);
        assert_eq!(person.verified_at_second, Some(100));
    }

    #[test]
    fn a_demotion_takes_the_time_away_too() {
        let person = derive_person(&[attempt(1, Status::RequiresInput)]);
        assert_eq!(person.verified_at_second, None);
    }

    #[test]
    fn a_gone_session_counts_only_if_verified() {
        let gone = |n, status| AttemptFacts {
            gone: true,
            ..attempt(n, status)
        };
        assert_eq!(status(&[gone(1, Status::Processing)]), UserStatus::None);
        assert_eq!(status(&[gone(1, Status::Verified)]), UserStatus::Verified);
        let before = attempt(1, Status::Canceled);
        assert_eq!(
            status(&[before, gone(2, Status::Processing)]),
            UserStatus::Canceled
        );
    }

    #[test]
    fn the_other_mode_never_counts() {
        let other_mode = |n, status| AttemptFacts {
            livemode_matches: false,
            ..attempt(n, status)
        };
        assert_eq!(status(&[other_mode(1, Status::Verified)]), UserStatus::None);
        let ours = attempt(1, Status::RequiresInput);
        assert_eq!(
            status(&[ours, other_mode(2, Status::Verified)]),
            UserStatus::RequiresInput
        );
    }

    #[test]
    fn a_session_nobody_told_us_of_leaves_the_word_to_the_one_before() {
        let silent = AttemptFacts {
            status: None,
            second: None,
            ..attempt(2, Status::Processing)
        };
        let before = attempt(1, Status::Canceled);
        assert_eq!(status(&[before, silent]), UserStatus::Canceled);
    }

    proptest! {
        #[test]
        fn the_order_in_which_attempts_are_read_does_not_matter(
            (attempts, shuffled) in vec(facts(), 0..6)
                .prop_flat_map(|attempts| (Just(attempts.clone()), Just(attempts).prop_shuffle()))
        ) {
            prop_assert_eq!(derive_person(&attempts), derive_person(&shuffled));
        }
    }

    fn facts() -> impl Strategy<Value = AttemptFacts> {
        let status = option::of(select(&Status::ALL[..]));
        (any::<u8>(), status, any::<(bool, bool, bool)>()).prop_map(|(n, status, flags)| {
            AttemptFacts {
                status,
                gone: flags.0,
                has_session: flags.1,
                livemode_matches: flags.2,
                ..attempt(n, Status::Verified)
            }
        })
    }
}
