//! Packages from npm, pinned in a folder beside the tests and installed again only when a pin has changed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

/// Generous: registries and machines may be slow.
const LIMIT: Duration = Duration::from_mins(5);

/// A folder below `tests`.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// Installs what this folder below `tests` pins.
pub(crate) async fn install(name: &str) {
    let folder = folder(name);
    let pinned = folder.join("package-lock.json");
    let installed = folder.join("node_modules/installed-from.json");
    let _lock = locked(name).await;
    let read = |path: &Path| fs::read(path).ok();
    if read(&installed).is_some_and(|it| Some(it) == read(&pinned)) {
        return;
    }
    let install = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, install).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "npm in {}: {said}",
        folder.display()
    );
    fs::copy(&pinned, &installed).unwrap();
}

/// One process at a time: two installs into one folder would tear at each other.
async fn locked(name: &str) -> fs::File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("npm-{name}.lock"));
    tokio::task::spawn_blocking(move || {
        let file = fs::File::create(path).unwrap();
        file.lock().unwrap();
        file
    })
    .await
    .unwrap()
}
