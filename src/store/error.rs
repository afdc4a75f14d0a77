//! What can go wrong between us and Postgres, by what the caller should do about it.

use uuid::Uuid;

/// A statement that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, a time-out, no resources, or a server going down: the same call may work later.
    #[error("the database cannot be reached or is too busy; try again")]
    Unavailable(#[source] sqlx::Error),
    /// It stood still in the middle of a transaction, which may or may not have been committed.
    #[error("the database did not finish in time; try again")]
    TimedOut,
    /// A deadlock or a serialisation failure: run the whole transaction once more.
    #[error("the transaction lost against another; run it once more")]
    Contention(#[source] sqlx::Error),
    /// Postgres refuses the data itself: trying again changes nothing.
    #[error("the database refuses this data")]
    Data(#[source] sqlx::Error),
    /// A row that our own code can never have written.
    #[error(
        "row {id} of {table} holds an impossible {column}; restore it from a backup or correct it by hand"
    )]
    Inconsistent {
        /// Its table.
        table: &'static str,
        /// The column at fault.
        column: &'static str,
        /// Its primary key.
        id: Uuid,
    },
    /// A row moved between finding and locking it: run the whole transaction once more.
    #[error("a row changed while it was being locked; run the transaction once more")]
    Moved,
    /// Anything else: a bug of ours, or a schema that is not ours.
    #[error("the database refused a statement; check that its migrations are current")]
    Unexpected(#[source] sqlx::Error),
}

impl StoreError {
    /// For callers that find a row other than they left it.
    pub fn moved() -> Self {
        Self::Moved
    }

    /// Should the whole transaction be run once more, at once?
    pub fn is_contention(&self) -> bool {
        matches!(self, Self::Contention(_) | Self::Moved)
    }

    /// Is it the data, so that the same call can never work?
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Data(_))
    }

    /// May the very same call work later, with nothing changed by us?
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut) || self.is_contention()
    }
}

impl From<sqlx::Error> for StoreError {
    /// Sorts by SQLSTATE class (appendix A of the Postgres manual) rather than by message.
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let code = match &error {
            E::Database(database) => database.code(),
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => {
                return Self::Unavailable(error);
            }
            E::Encode(_) => return Self::Data(error),
            _ => None,
        };
        match code.as_deref() {
            Some("40001" | "40P01") => Self::Contention(error),
            Some(c) if ["08", "53", "57"].iter().any(|class| c.starts_with(class)) => {
                Self::Unavailable(error)
            }
            // A lock we could not get in time; more notifications than Postgres has room for, as long as somebody does not
            // fetch theirs; a server that only reads; a database that is not there, or does not know us, for now.
            Some("55P03" | "54000" | "25006" | "3D000" | "28000" | "28P01") => {
                Self::Unavailable(error)
            }
            Some(c) if ["22", "23", "54"].iter().any(|class| c.starts_with(class)) => {
                Self::Data(error)
            }
            _ => Self::Unexpected(error),
        }
    }
}
