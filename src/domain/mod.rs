//! Pure rules: what we know of a session, what it amounts to, and what to say about it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`knowledge`] | the sum of everything we were told of one session, and how two such sums merge |
//! | [`verdict`] | what that sum amounts to: the status it shows, and whether to doubt it |
//! | [`refresh`] | when to ask Stripe because of a doubt |
//! | [`person`] | the status of a person, out of all of their attempts |
//! | [`budget`] | what all of them together may cost |
//! | [`network`] | whose address counts as one |
//! | [`policy`] | the same under one policy, out of those that satisfy it |
//! | [`failure`] | failure codes, in words that help |
//! | [`api_key`] | keys of applications, and what each may do |
//! | [`message`] | what applications are told of |
//! | [`request`] | who asks to be verified, and through what |
//! | [`return_address`] | where a person may be sent back to |
//! | [`token`], [`masked`] | what proves a link or a browser; an e-mail address for its owner's eyes |
//! | [`status`], [`ids`] | the vocabulary |
//!
//! Nothing here reads a clock, a database or the network, so every rule can be tested over any order of events: `laws` holds
//! the merge against arbitrary observations, and `model` lives random lives with a truthful Stripe and a bad line.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod api_key;
pub mod budget;
pub mod failure;
pub mod ids;
pub mod knowledge;
#[cfg(test)]
mod laws;
pub mod masked;
pub mod message;
#[cfg(test)]
mod model;
pub mod network;
pub mod person;
pub mod policy;
pub mod refresh;
pub mod request;
pub mod return_address;
pub mod status;
pub mod token;
pub mod verdict;

pub use api_key::{KeyText, Scope};
pub use budget::{Allowance, Budget, Period, Tally, Usage};
pub use failure::{Advice, Retry, advice, is_result, tries_used};
pub use ids::{AttemptId, SessionId, UserId};
pub use knowledge::{Detail, EventMaximum, Knowledge, ReadMaximum, Told};
pub use masked::mask_email;
pub use message::MessageType;
pub use network::Network;
pub use person::{AttemptFacts, PersonState, derive_person};
pub use policy::{AttemptUnder, Standing, derive_standing};
pub use request::{Client, Person};
pub use return_address::{ReturnAddress, ReturnAddressError, ReturnRule, ReturnRuleError};
pub use status::{Redaction, Status, UserStatus};
pub use token::{TOKEN_BYTES, Token, TokenHash};
pub use verdict::{Doubt, Verdict};
