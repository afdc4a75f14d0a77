//! The sandbox over real HTTP.

mod api;
mod contract;
mod faults;
mod hosted;
mod idempotency;
pub(crate) mod support;
mod webhooks;
