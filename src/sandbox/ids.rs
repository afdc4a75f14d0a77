//! Ids and secrets that look like Stripe's.

use rand::{RngExt, distr::Alphanumeric};

/// The random part of every id; addresses of the hosted page begin with their session's.
pub(crate) const ID_LENGTH: usize = 24;

pub(crate) fn random(length: usize) -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(length)
        .map(char::from)
        .collect()
}

/// `prefix` and enough randomness that nobody guesses it.
pub(crate) fn id(prefix: &str) -> String {
    format!("{prefix}_{}", random(ID_LENGTH))
}
