//! Background work, each a loop of claim, act, finish.

mod books;
mod refresh;

pub use books::run_books;
pub use refresh::run_refresh;
