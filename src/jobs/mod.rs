//! Background work, each a loop of claim, act, finish.

mod books;
mod courier;
mod erase;
mod heal;
mod mail;
mod outbox;
mod refresh;
mod retention;

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

pub use books::run_books;
pub use erase::run_erasure;
pub use heal::run_heal;
pub use mail::{MailError, Mailer, run_mailer};
pub use outbox::{NameServer, Outbox, OutboxError, run_outbox};
pub use refresh::run_refresh;
pub use retention::{clear_old, run_retention};

/// Ticks at once and then so often; after a tick that took longer, not sooner for that.
fn every(pause: Duration) -> Interval {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
