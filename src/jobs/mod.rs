//! Background work, each a loop of claim, act, finish.

mod refresh;

pub use refresh::run_refresh;
