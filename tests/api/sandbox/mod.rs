//! The sandbox over real HTTP.

mod api;
mod faults;
mod hosted;
mod idempotency;
mod support;
mod webhooks;
