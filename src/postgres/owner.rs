//! Who owns a cluster: two locked files that tell a living owner from one whose server is going down.
//!
//! `owner` is held by the owning process alone, so it is free the moment that process is gone. `lock`
//! is held by the shell that runs Postgres, so it is free only when Postgres is down.

use std::{
    env,
    fmt::{self, Display, Formatter},
    fs::{self, File, TryLockError},
    io,
    path::Path,
    process, thread,
    time::{Duration, Instant},
};

use super::ClusterError;

/// A child that is just being started may hold a dead owner's file for a moment.
const OWNER_PATIENCE: Duration = Duration::from_millis(300);
/// Longer than the shell gives Postgres to stop, first kindly, then not.
const SERVER_PATIENCE: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(10);

/// The process that runs a cluster, as it introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number and program, such as `process 4711 (verigate)`.
    pub process: String,
    /// What it announced, such as its address.
    pub note: Option<String>,
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.process)?;
        match &self.note {
            Some(note) => write!(f, ", {note}"),
            None => Ok(()),
        }
    }
}

/// Held while we own the cluster.
#[derive(Debug)]
pub(super) struct Ownership(File);

impl Ownership {
    /// Takes the folder for this process, or says who has it.
    pub(super) fn take(folder: &Path) -> Result<Self, ClusterError> {
        let path = folder.join("owner");
        let file = locked(&path, OWNER_PATIENCE)?.ok_or_else(|| ClusterError::Held {
            folder: folder.to_owned(),
            holder: introduced(&fs::read_to_string(&path).unwrap_or_default()),
        })?;
        let ownership = Self(file);
        ownership.introduce(None).map_err(ClusterError::lock)?;
        Ok(ownership)
    }

    pub(super) fn announce(&self, note: &str) -> io::Result<()> {
        self.introduce(Some(note))
    }

    fn introduce(&self, note: Option<&str>) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let program = env::current_exe().ok();
        let program = program.as_deref().and_then(Path::file_name);
        let program = program.unwrap_or_default().to_string_lossy();
        let text = format!(
            "process {} ({program})\n{}",
            process::id(),
            note.unwrap_or_default()
        );
        self.0.set_len(0)?;
        self.0.write_all_at(text.as_bytes(), 0)
    }
}

/// Waits until the server of an owner that has just ended is down. Whoever has the result may start one.
pub(super) fn wait_for_the_last_one(folder: &Path) -> Result<File, ClusterError> {
    locked(&folder.join("lock"), SERVER_PATIENCE)?.ok_or_else(|| ClusterError::StillStopping {
        folder: folder.to_owned(),
    })
}

fn introduced(text: &str) -> Holder {
    let (process, note) = text.split_once('\n').unwrap_or((text, ""));
    Holder {
        process: match process {
            "" => "another process".to_owned(),
            named => named.to_owned(),
        },
        note: Some(note.trim())
            .filter(|note| !note.is_empty())
            .map(str::to_owned),
    }
}

fn locked(path: &Path, patience: Duration) -> Result<Option<File>, ClusterError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(ClusterError::lock)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(ClusterError::lock(source)),
        }
    }
}
