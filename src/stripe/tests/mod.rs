//! Tests of the Stripe module.
