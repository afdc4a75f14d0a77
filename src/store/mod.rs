//! The only SQL, as plain functions.
