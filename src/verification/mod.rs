//! The use cases, and the one door for a status change.
