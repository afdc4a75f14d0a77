//! Verigate: a self-hosted verification gateway for Stripe Identity.
//!
//! # The map of the house
//!
//! | module | what lives there |
//! |---|---|
//! | [`domain`] | pure rules: ids, the merge of observations, a person's status, failure codes and their advice |
//! | [`stripe`] | the Stripe client, wire types, webhook signatures and event envelopes; knows nothing of us |
//! | [`store`] | the only SQL, as plain functions |
//! | [`verification`] | the use cases, and the one door for a status change: start, observe, refresh |
//! | [`jobs`] | background loops: claim, act, finish |
//! | [`http`] | the router, pages, the webhook, the JSON routes |
//! | [`app`] | the composition root: wiring, listeners, graceful shutdown |
//! | [`cli`] | the subcommands |
//! | [`config`] | typed settings from the environment |
//! | [`telemetry`] | logs, request ids, metrics |
//! | [`causes`] | an error with its causes, as a line of the log tells it |
//! | [`clock`] | the only reader of the wall clock |
//! | `sandbox` | feature `dev`: a local Stripe |
//! | `postgres` | feature `dev`: a private Postgres cluster |
//!
//! Imports point one way, and `tests/architecture.rs` holds them to it.

pub mod app;
pub mod causes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod jobs;
#[cfg(feature = "dev")]
pub mod postgres;
#[cfg(feature = "dev")]
pub mod sandbox;
pub mod store;
pub mod stripe;
pub mod telemetry;
pub mod verification;
