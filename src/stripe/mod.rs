//! Knows Stripe, and nothing of us.

mod answer;
mod bucket;
mod calls;
mod client;
mod error;
pub mod event;
mod form;
mod json;
mod line;
mod params;
mod reply;
mod settings;
pub mod signature;
mod types;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use error::{ApiError, StripeError};
pub use event::{Event, EventKind, NotAnEvent, Snapshot};
pub use line::JobLine;
pub use params::{
    CreateSession, Created, DocumentOptions, DocumentType, ListEvents, ListSessions, Page,
    ProvidedDetails, SessionType, UpdateSession,
};
pub use reply::{AsOf, Reply};
pub use settings::{PINNED_VERSION, Priority, Settings};
pub use types::{ATTEMPT_KEY, EphemeralKey, LastError, List, SessionStatus, VerificationSession};
