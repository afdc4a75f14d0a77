//! Knows Stripe, and nothing of us.
