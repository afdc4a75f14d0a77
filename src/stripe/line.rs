//! The line in which the jobs of all processes wait together; whoever has a place to keep it in makes one.

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;

/// One line for the calls that nobody waits for.
pub trait JobLine: fmt::Debug + Send + Sync {
    /// Takes the next place, where `per_second` are served, and says how long it is until its turn. `None`, and no place
    /// taken, if that is longer than `patience`, or nobody can tell.
    fn take_place(&self, per_second: u32, patience: Duration) -> BoxFuture<'_, Option<Duration>>;
}
