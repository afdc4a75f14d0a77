//! Typed settings from the environment; every problem is reported at once.
