//! The API tests: one binary, a file per route or promise.

#[path = "../support/mod.rs"]
mod support;
