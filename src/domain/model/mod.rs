//! A model of the world outside: a truthful Stripe, a bad line, and a receiver that has only our rules.
//!
//! | module | what lives there |
//! |---|---|
//! | [`life`] | the truth: what happened to a session at which moment, and the events Stripe makes of it |
//! | [`line`] | what reaches us of it, and when: deliveries, and looks through the API |
//! | [`receiver`] | merges what arrives, asks when in doubt, until nothing is left to do |
//! | [`chance`] | draws lives and bad lines at random |
//! | [`random_lives`], [`all_orders`] | the tests: whatever happened, the receiver ends up with the truth |
//!
//! The world counts milliseconds, of which events and answers only show the second.

mod all_orders;
mod chance;
mod life;
mod line;
mod random_lives;
mod receiver;
