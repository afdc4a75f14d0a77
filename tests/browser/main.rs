//! Walks through the pages in real Chromium, against the whole system: server, Postgres and sandbox.
#![expect(
    clippy::unwrap_used,
    reason = "a walk that cannot go on fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod browser;
mod endings;
mod forged;
mod gallery;
mod links;
mod look;
mod modal;
mod outcomes;
mod page;
mod records;
mod stage;
mod together;
mod walk;
