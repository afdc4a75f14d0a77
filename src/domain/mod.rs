//! Pure rules: no clock, no database, no network.
#![deny(clippy::wildcard_enum_match_arm)]
