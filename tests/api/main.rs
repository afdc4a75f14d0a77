//! The API tests: one binary, a file per route or promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod budget;
mod canaries;
mod clicks;
mod clients;
mod command;
mod container;
mod corpus;
mod crash;
mod create;
mod deliveries;
mod dev;
mod explain;
mod hand_off;
mod intake;
mod limits;
mod matrix;
mod native;
mod npm;
mod observe;
mod oidc;
mod orders;
mod outage;
mod outbox;
mod pages;
mod pages_gallery;
mod policies;
mod process;
mod program;
mod refresh;
mod routes;
mod sandbox;
mod server;
mod sessions;
mod slow;
mod start;
mod status;
mod stripe;
#[path = "../support/mod.rs"]
mod support;
mod telling;
mod tokens;
mod v1;
mod webhook;
mod world;
