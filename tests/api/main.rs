//! The API tests: one binary, a file per route or promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;
mod deliveries;
mod observe;
mod sandbox;

mod command;
mod corpus;
mod create;
mod outage;
mod pages;
mod pages_gallery;
mod routes;
mod server;
mod status;
mod stripe;
#[path = "../support/mod.rs"]
mod support;
mod webhook;
