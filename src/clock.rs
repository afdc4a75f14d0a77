//! The only reader of the wall clock.
