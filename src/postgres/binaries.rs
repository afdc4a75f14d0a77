//! Where Postgres' programs are on this machine.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::ClusterError;

/// The oldest major version whose programs know every option we give them.
const OLDEST: u32 = 14;

/// Parents of the version folders that packages use, and what lies between version and programs.
const PACKAGED: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// One installed Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    version: (u32, u32),
    folder: PathBuf,
}

impl Binaries {
    /// The newest, except that existing data is read by the major version that wrote it.
    pub(super) fn choose(installed: Vec<Self>, cluster: &Path) -> Result<Self, ClusterError> {
        let data = cluster.join("data");
        let made_by = fs::read_to_string(data.join("PG_VERSION"))
            .ok()
            .map(|text| text.trim().to_owned());
        installed
            .into_iter()
            .filter(|it| {
                made_by
                    .as_ref()
                    .is_none_or(|major| *major == it.version.0.to_string())
            })
            .reduce(|best, it| if it.version > best.version { it } else { best })
            .ok_or(ClusterError::OtherVersion {
                data,
                made_by: made_by.unwrap_or_default(),
            })
    }

    /// The folder with `initdb`, `pg_ctl` and `postgres`.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Every usable Postgres: those on PATH first, then the packaged ones.
pub(super) fn installed() -> Vec<Binaries> {
    let path = env::var_os("PATH").unwrap_or_default();
    let packaged = PACKAGED
        .iter()
        .flat_map(|(parent, prefix, below)| subfolders(parent, prefix, below));
    usable(env::split_paths(&path).chain(packaged))
}

fn subfolders(parent: &str, prefix: &str, below: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(below))
        .collect()
}

fn usable(folders: impl Iterator<Item = PathBuf>) -> Vec<Binaries> {
    let mut seen = BTreeSet::new();
    folders
        // A link on PATH stands for the folder it leads to, where the other programs are.
        .filter_map(|folder| {
            Some(
                folder
                    .join("initdb")
                    .canonicalize()
                    .ok()?
                    .parent()?
                    .to_owned(),
            )
        })
        .filter(|folder| seen.insert(folder.clone()))
        .filter(|folder| folder.join("pg_ctl").exists())
        .filter_map(|folder| {
            let version = version(&folder)?;
            (version.0 >= OLDEST).then_some(Binaries { version, folder })
        })
        .collect()
}

fn version(folder: &Path) -> Option<(u32, u32)> {
    let asked = Command::new(folder.join("postgres"))
        .arg("--version")
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    parse_version(&String::from_utf8_lossy(&asked.stdout))
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, or `18beta1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let word = text.split_whitespace().nth(2)?;
    let (major, minor) = word.split_once('.').unwrap_or((word, "0"));
    let leading = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit());
        text[..end.unwrap_or(text.len())].parse().ok()
    };
    Some((leading(major)?, leading(minor).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn pretend(parent: &Path, name: &str, version: &str) -> PathBuf {
        let folder = parent.join(name);
        fs::create_dir_all(&folder).unwrap();
        for program in ["initdb", "pg_ctl", "postgres"] {
            let file = folder.join(program);
            fs::write(
                &file,
                format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"),
            )
            .unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder.canonicalize().unwrap()
    }

    #[test]
    fn versions_are_read_as_numbers() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some((15, 14)));
        assert_eq!(
            parse_version("postgres (PostgreSQL) 18beta1"),
            Some((18, 0))
        );
        assert_eq!(parse_version("command not found"), None);
    }

    #[test]
    fn the_newest_wins_and_one_too_old_does_not_count() {
        let here = tempfile::tempdir().unwrap();
        let nine = pretend(here.path(), "nine", "9.6.24");
        let sixteen = pretend(here.path(), "sixteen", "16.4");
        let ten_of_sixteen = pretend(here.path(), "ten", "16.10");
        let found = usable([nine, sixteen, ten_of_sixteen.clone()].into_iter());
        assert_eq!(found.len(), 2);
        let chosen = Binaries::choose(found, here.path()).unwrap();
        assert_eq!(chosen.folder(), ten_of_sixteen);
    }

    #[test]
    fn data_is_read_by_the_version_that_wrote_it_or_not_at_all() {
        let here = tempfile::tempdir().unwrap();
        let old = pretend(here.path(), "old", "15.3");
        let new = pretend(here.path(), "new", "17.1");
        fs::create_dir(here.path().join("data")).unwrap();
        fs::write(here.path().join("data/PG_VERSION"), "15\n").unwrap();

        let both = usable([new.clone(), old.clone()].into_iter());
        assert_eq!(Binaries::choose(both, here.path()).unwrap().folder(), old);

        let refused = Binaries::choose(usable([new].into_iter()), here.path()).unwrap_err();
        assert!(
            refused.to_string().contains("made by Postgres 15"),
            "{refused}"
        );
    }

    #[test]
    fn a_folder_without_all_the_programs_is_passed_over() {
        let here = tempfile::tempdir().unwrap();
        let half = pretend(here.path(), "half", "17.1");
        fs::remove_file(half.join("pg_ctl")).unwrap();
        assert_eq!(usable([half, here.path().join("nowhere")].into_iter()), []);
    }

    #[test]
    fn a_link_on_path_and_the_package_behind_it_are_one() {
        let here = tempfile::tempdir().unwrap();
        let real = pretend(here.path(), "real", "17.1");
        let linked = here.path().join("linked");
        fs::create_dir(&linked).unwrap();
        std::os::unix::fs::symlink(real.join("initdb"), linked.join("initdb")).unwrap();
        assert_eq!(usable([linked, real].into_iter()).len(), 1);
    }
}
