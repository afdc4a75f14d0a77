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
