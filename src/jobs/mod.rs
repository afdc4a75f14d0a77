//! Background work, each a loop of claim, act, finish.

mod books;
mod courier;
mod erase;
mod heal;
mod mail;
mod outbox;
mod refresh;
mod retention;

pub use books::run_books;
pub use erase::run_erasure;
pub use heal::run_heal;
pub use mail::{MailError, Mailer, run_mailer};
pub use outbox::{NameServer, Outbox, OutboxError, run_outbox};
pub use refresh::run_refresh;
pub use retention::{clear_old, run_retention};
