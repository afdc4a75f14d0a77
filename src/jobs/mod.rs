//! Background work, each a loop of claim, act, finish.

mod books;
mod heal;
mod outbox;
mod refresh;

pub use books::run_books;
pub use heal::run_heal;
pub use outbox::{Outbox, OutboxError, run_outbox};
pub use refresh::run_refresh;
