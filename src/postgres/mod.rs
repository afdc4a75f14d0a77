//! A private Postgres cluster for development and tests: found, started, and stopped however we end.
//!
//! It listens on a socket in a folder that only its owner may enter, and on nothing else. As root,
//! which Postgres refuses to run as, everything is done as `postgres`, else `nobody`.

mod binaries;
mod folder;
mod leash;
mod owner;

use std::{
    io,
    path::{Path, PathBuf},
};

use self::{binaries::Binaries, folder::Folder, leash::Leash, owner::Ownership};

/// How much a cluster's data is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Kept from one start to the next.
    Durable,
    /// Never flushed to disk, and removed with its folder when we end.
    Throwaway,
}

/// A running private cluster. It stops when this value is dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the server is down before somebody else may own the folder.
    leash: Leash,
    ownership: Ownership,
    folder: Folder,
}

impl Cluster {
    /// Starts the cluster that lives in `wanted`, or, where Postgres cannot work there, in a folder of
    /// its own below the temporary one. Blocks until the server takes connections.
    pub fn start(wanted: &Path, durability: Durability) -> Result<Self, ClusterError> {
        Self::start_with(binaries::installed(), wanted, durability)
    }

    fn start_with(
        installed: Vec<Binaries>,
        wanted: &Path,
        durability: Durability,
    ) -> Result<Self, ClusterError> {
        if installed.is_empty() {
            return Err(ClusterError::NotInstalled);
        }
        let folder = Folder::prepare(wanted, durability)?;
        let ownership = Ownership::take(folder.path())?;
        let lock = owner::wait_for_the_last_one(folder.path())?;
        let binaries = Binaries::choose(installed, folder.path())?;
        let leash = Leash::start(&folder, &binaries, lock, durability)?;
        Ok(Self {
            leash,
            ownership,
            folder,
        })
    }

    /// The address of one of its databases; a new cluster has one called `postgres`.
    pub fn url(&self, database: &str) -> String {
        url(&self.folder, database)
    }

    /// The same for a cluster that lives in `wanted` and is run by another process.
    pub fn url_of_another(wanted: &Path, database: &str) -> Result<String, ClusterError> {
        Ok(url(
            &Folder::prepare(wanted, Durability::Durable)?,
            database,
        ))
    }

    /// The folder it really lives in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The number of the server's first process, while it runs.
    pub fn process(&self) -> Option<u32> {
        let file = self.folder.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Leaves word, such as our address, for a second start that finds the cluster taken.
    pub fn announce(&self, note: &str) -> Result<(), ClusterError> {
        self.ownership.announce(note).map_err(ClusterError::lock)
    }

    /// Stops the server and waits until it is down, as dropping does, but says so if it could not.
    pub fn stop(mut self) -> Result<(), ClusterError> {
        self.leash.release()
    }
}

/// Why there is no private cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Neither on PATH nor in the places where packages put it.
    #[error(
        "Postgres 14 or newer is needed and was not found: install it (Debian, Ubuntu: apt-get install postgresql; \
         macOS: brew install postgresql) or set DATABASE_URL to a server of your own"
    )]
    NotInstalled,
    /// The data was written by a major version that is not installed.
    #[error(
        "{} was made by Postgres {made_by}, which is not installed: install it, or delete that folder to begin anew",
        .data.display()
    )]
    OtherVersion {
        /// Where the data is.
        data: PathBuf,
        /// The major version that wrote it.
        made_by: String,
    },
    /// Another living process runs it.
    #[error("{} is in use by {holder}", .folder.display())]
    Held {
        /// The cluster's folder.
        folder: PathBuf,
        /// Who runs it.
        holder: Holder,
    },
    /// The last owner is gone, but its server is not yet down.
    #[error("the server that ran in {} before does not end: stop it by hand and start again", .folder.display())]
    StillStopping {
        /// The cluster's folder.
        folder: PathBuf,
    },
    /// We are root, and there is nobody to be instead.
    #[error(
        "Postgres does not run as root, and there is no user `postgres` or `nobody` to run it as: start as another user"
    )]
    NobodyToRunAs,
    /// No folder that Postgres could use.
    #[error("no folder for Postgres: {} {reason}", .folder.display())]
    Folder {
        /// The last one tried.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The locked file could not be read or written.
    #[error("could not take the lock of the private cluster")]
    Lock {
        /// What the system said.
        source: io::Error,
    },
    /// The shell that runs Postgres could not be started or heard.
    #[error("could not run Postgres")]
    Run {
        /// What the system said.
        source: io::Error,
    },
    /// Postgres itself failed.
    #[error("Postgres did not start ({step}); its log in {} ends with:\n{log}", .folder.display())]
    Server {
        /// The cluster's folder.
        folder: PathBuf,
        /// What was done when it failed.
        step: String,
        /// The last lines of its log.
        log: String,
    },
    /// It did not go down.
    #[error("Postgres in {} does not stop: stop it by hand", .folder.display())]
    DoesNotStop {
        /// The cluster's folder.
        folder: PathBuf,
    },
}

impl ClusterError {
    fn lock(source: io::Error) -> Self {
        Self::Lock { source }
    }

    fn run(source: io::Error) -> Self {
        Self::Run { source }
    }
}

pub use self::owner::Holder;

fn url(folder: &Folder, database: &str) -> String {
    let host = percent_encoded(folder.sockets());
    // Port and TLS are said, or a shell's PGPORT and PGSSLMODE for another server would fill them in.
    format!("postgres://verigate@localhost:5432/{database}?host={host}&sslmode=disable")
}

/// Escapes what a URL or libpq would read as something else than a part of the path.
fn percent_encoded(path: &Path) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut encoded = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
