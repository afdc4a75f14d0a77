//! Knows Stripe, and nothing of us.

mod json;
pub mod signature;
mod types;

pub use types::{
    ATTEMPT_KEY, EphemeralKey, LastError, List, SessionStatus, VerificationReport,
    VerificationSession,
};
