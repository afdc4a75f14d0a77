//! A local Stripe for development and tests.
