//! The only SQL, as plain functions: callers compose them in a transaction of their own.

mod connection;
mod error;

pub use connection::{Db, Listener, MIGRATOR, Tx, connect, listen};
pub use error::StoreError;
