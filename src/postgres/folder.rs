//! The folder a cluster lives in: one that Postgres' user can reach and nobody else can enter.

use std::{
    env,
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{ClusterError, Durability};

/// What the system's `sockaddr_un` has room for, less the closing zero.
const LONGEST_SOCKET: usize = if cfg!(target_os = "macos") { 103 } else { 107 };
const SOCKET: &str = ".s.PGSQL.5432";

/// The user that Postgres runs as, when we are root and must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StandIn {
    uid: u32,
    gid: u32,
}

/// A folder that is ours, mode 0700, and another for the sockets where its own path will not do for one.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    sockets: Option<PathBuf>,
    stand_in: Option<StandIn>,
}

impl Folder {
    /// Makes `wanted` ready, or a folder below the temporary one where `wanted` cannot be used.
    pub(super) fn prepare(wanted: &Path, durability: Durability) -> Result<Self, ClusterError> {
        let wanted = std::path::absolute(wanted).map_err(ClusterError::run)?;
        let me = number("-u", None).ok_or_else(|| {
            ClusterError::run(io::Error::other("`id -u` does not say who we are"))
        })?;
        let stand_in = if me == 0 { Some(stand_in()?) } else { None };
        let owner = stand_in.map_or(me, |it| it.uid);

        let name = format!("verigate-{owner}-{:016x}", fingerprint(&wanted));
        let elsewhere = temporary(durability).into_iter().map(|it| it.join(&name));
        let mut failed = None;
        for path in std::iter::once(wanted.clone()).chain(elsewhere) {
            match make_ready(&path, me, stand_in) {
                Ok(()) => {
                    let sockets = sockets_for(&path, me, stand_in)?;
                    return Ok(Self {
                        path,
                        sockets,
                        stand_in,
                    });
                }
                Err(reason) => {
                    failed.get_or_insert((path, reason));
                }
            }
        }
        let (folder, reason) = failed.unwrap_or_else(|| (wanted, "was not tried".to_owned()));
        Err(ClusterError::Folder { folder, reason })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where clients find the socket.
    pub(super) fn sockets(&self) -> &Path {
        self.sockets.as_deref().unwrap_or(&self.path)
    }

    /// The same as the server shall name it: relative to its data, unless it lies elsewhere. So a path
    /// with blanks or commas is never pasted into an option.
    pub(super) fn sockets_for_the_server(&self) -> &Path {
        self.sockets.as_deref().unwrap_or(Path::new(".."))
    }

    /// A command that runs as the folder's owner.
    pub(super) fn command(&self, program: &str) -> Command {
        as_owner(program, self.stand_in)
    }
}

fn as_owner(program: &str, stand_in: Option<StandIn>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some(StandIn { uid, gid }) = stand_in {
        command.uid(uid).gid(gid);
    }
    command
}

fn stand_in() -> Result<StandIn, ClusterError> {
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| {
            let (uid, gid) = (number("-u", Some(name))?, number("-g", Some(name))?);
            (uid != 0).then_some(StandIn { uid, gid })
        })
        .ok_or(ClusterError::NobodyToRunAs)
}

/// Asks `id`, which also knows the users that are in no local file.
fn number(flag: &str, name: Option<&str>) -> Option<u32> {
    let asked = Command::new("id")
        .arg(flag)
        .args(name)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(asked.stdout).ok()?.trim().parse().ok()
}

/// What is kept should outlive a restart of the machine, and /var/tmp does.
fn temporary(durability: Durability) -> Vec<PathBuf> {
    let (kept, cleared) = (PathBuf::from("/var/tmp"), PathBuf::from("/tmp"));
    match durability {
        Durability::Durable => vec![kept, env::temp_dir(), cleared],
        Durability::Throwaway => vec![env::temp_dir(), cleared, kept],
    }
}

/// Creates the folder, or takes one over that is an earlier cluster's or empty.
fn make_ready(path: &Path, me: u32, stand_in: Option<StandIn>) -> Result<(), String> {
    let created = create(path).map_err(|error| format!("cannot be made: {error}"))?;
    let ready = take_over(path, me, stand_in, created);
    if ready.is_err() && created {
        let _ = fs::remove_dir(path);
    }
    ready
}

fn create(path: &Path) -> io::Result<bool> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn take_over(path: &Path, me: u32, stand_in: Option<StandIn>, created: bool) -> Result<(), String> {
    let said = |error: io::Error| format!("cannot be used: {error}");
    let found = fs::symlink_metadata(path).map_err(said)?;
    // In a folder that all may write to somebody else could have been there first.
    if !found.is_dir() || ![me, stand_in.map_or(me, |it| it.uid)].contains(&found.uid()) {
        return Err("is not a folder of ours".to_owned());
    }
    if !created && !is_ours_by_content(path).map_err(said)? {
        return Err("holds files that are no cluster's; nothing was changed in it".to_owned());
    }
    if let Some(StandIn { uid, gid }) = stand_in {
        chown(path, Some(uid), Some(gid)).map_err(said)?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(said)?;
    if can_work_in(path, stand_in) {
        Ok(())
    } else {
        Err("cannot be reached by the user that Postgres runs as".to_owned())
    }
}

/// Empty, or with a file that a cluster leaves, even one that another process is just about to start.
fn is_ours_by_content(path: &Path) -> io::Result<bool> {
    let known = ["owner", "lock", "probe", SOCKET];
    Ok(known.iter().any(|name| path.join(name).exists()) || fs::read_dir(path)?.next().is_none())
}

/// Tried rather than computed: a parent's mode, an access list or a mount may forbid it.
fn can_work_in(path: &Path, stand_in: Option<StandIn>) -> bool {
    as_owner("sh", stand_in)
        .args(["-c", "cd \"$1\" && : >probe && rm probe", "sh"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn sockets_for(
    path: &Path,
    me: u32,
    stand_in: Option<StandIn>,
) -> Result<Option<PathBuf>, ClusterError> {
    let socket = path.join(SOCKET);
    let socket = socket.as_os_str().as_bytes();
    // A comma would make two hosts of it in a client's address.
    if socket.len() <= LONGEST_SOCKET && !socket.contains(&b',') {
        return Ok(None);
    }
    let short = PathBuf::from(format!("/tmp/verigate-s-{:016x}", fingerprint(path)));
    match make_ready(&short, me, stand_in) {
        Ok(()) => Ok(Some(short)),
        Err(reason) => Err(ClusterError::Folder {
            folder: short,
            reason,
        }),
    }
}

/// FNV-1a: the same for one path in every build of ours, which std's hasher does not promise.
fn fingerprint(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_bytes().iter();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> tempfile::TempDir {
        tempfile::Builder::new()
            .prefix("verigate-folder-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_folder_is_closed_to_everybody_else() {
        let base = base();
        let wanted = base.path().join("cluster");
        let folder = Folder::prepare(&wanted, Durability::Throwaway).unwrap();
        assert_eq!(folder.path(), wanted);
        assert_eq!(mode(&wanted), 0o700);
        assert_eq!(folder.sockets(), wanted);
    }

    #[test]
    fn a_folder_of_somebody_elses_files_is_left_alone() {
        let base = base();
        let wanted = base.path().join("photos");
        fs::create_dir(&wanted).unwrap();
        fs::write(wanted.join("cat.png"), "meow").unwrap();
        let before = fs::metadata(&wanted).unwrap();

        let folder = Folder::prepare(&wanted, Durability::Throwaway).unwrap();
        assert_ne!(folder.path(), wanted);
        assert_eq!(mode(folder.path()), 0o700);
        let after = fs::metadata(&wanted).unwrap();
        assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
        fs::remove_dir_all(folder.path()).unwrap();
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let base = base();
        let (target, wanted) = (base.path().join("target"), base.path().join("link"));
        fs::create_dir(&target).unwrap();
        std::os::unix::fs::symlink(&target, &wanted).unwrap();
        let folder = Folder::prepare(&wanted, Durability::Throwaway).unwrap();
        assert_ne!(folder.path(), wanted);
        fs::remove_dir_all(folder.path()).unwrap();
    }

    #[test]
    fn where_postgres_cannot_go_the_cluster_lives_elsewhere_and_always_in_one_place() {
        let base = base();
        let closed = base.path().join("closed");
        fs::create_dir(&closed).unwrap();
        // Root is stopped by nothing, but the user it becomes is; anybody else needs to be stopped here.
        let root = fs::metadata(&closed).unwrap().uid() == 0;
        let mode = if root { 0o700 } else { 0o500 };
        fs::set_permissions(&closed, Permissions::from_mode(mode)).unwrap();

        let wanted = closed.join("cluster");
        let folder = Folder::prepare(&wanted, Durability::Throwaway).unwrap();
        assert!(!folder.path().starts_with(&closed), "{folder:?}");
        assert!(!wanted.exists(), "nothing is left behind");
        let again = Folder::prepare(&wanted, Durability::Throwaway).unwrap();
        assert_eq!(folder.path(), again.path());

        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir_all(folder.path()).unwrap();
    }

    #[test]
    fn a_path_too_long_for_a_socket_gets_a_short_folder_for_it() {
        let base = base();
        let wanted = base.path().join("d".repeat(120));
        let folder = Folder::prepare(&wanted, Durability::Throwaway).unwrap();
        assert_eq!(folder.path(), wanted);
        assert!(folder.sockets().join(SOCKET).as_os_str().len() <= LONGEST_SOCKET);
        assert_eq!(mode(folder.sockets()), 0o700);
        fs::remove_dir_all(folder.sockets()).unwrap();
    }
}
