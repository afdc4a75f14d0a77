//! The rules of the house, checked from the source text so that they need no build of the program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "architecture/checker.rs"]
mod checker;
#[path = "architecture/paths.rs"]
mod paths;

use std::{
    fs,
    path::{Path, PathBuf},
};

use checker::{Layers, Vendors};

/// Each module at the top of `src/` and the others it may name.
const LAYERS: Layers = &[
    ("domain", &[]),
    ("stripe", &[]),
    ("causes", &[]),
    ("clock", &[]),
    ("config", &[]),
    ("telemetry", &[]),
    ("postgres", &[]),
    ("store", &["domain"]),
    (
        "verification",
        &["causes", "clock", "domain", "store", "stripe"],
    ),
    (
        "jobs",
        &[
            "causes",
            "clock",
            "config",
            "domain",
            "store",
            "stripe",
            "verification",
        ],
    ),
    (
        "http",
        &[
            "causes",
            "clock",
            "config",
            "domain",
            "store",
            "stripe",
            "telemetry",
            "verification",
        ],
    ),
    ("sandbox", &["clock", "stripe"]),
    (
        "app",
        &[
            "causes",
            "clock",
            "config",
            "domain",
            "http",
            "jobs",
            "postgres",
            "sandbox",
            "store",
            "stripe",
            "telemetry",
            "verification",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "clock",
            "config",
            "domain",
            "jobs",
            "postgres",
            "sandbox",
            "store",
            "stripe",
            "telemetry",
            "verification",
        ],
    ),
    ("main", &["cli", "config", "telemetry"]),
    ("lib", &[]),
];

/// What comes from outside and the only places that may name it. A path that begins with a small letter
/// is matched from its start, another anywhere.
const VENDORS: Vendors = &[
    ("sqlx", &["store"]),
    ("axum", &["http", "sandbox", "app"]),
    (
        "reqwest",
        &["stripe", "http/auth", "jobs/outbox", "sandbox"],
    ),
    ("askama", &["http/views", "jobs/mail", "sandbox"]),
    ("lettre", &["jobs/mail"]),
    ("hmac", &["stripe/signature", "jobs/outbox"]),
    ("clap", &["cli"]),
    ("dotenvy", &["config"]),
    ("tracing_subscriber", &["telemetry", "config"]),
    ("metrics_exporter_prometheus", &["telemetry"]),
    ("anyhow", &["app", "cli", "main"]),
    ("std::env", &["config", "postgres"]),
    ("std::process", &["cli", "main", "postgres"]),
    ("std::thread", &["app/intake", "postgres", "telemetry"]),
    ("SystemTime", &["clock"]),
    ("Utc::now", &["clock"]),
    ("Local::now", &["clock"]),
];

const MAX_LINES: usize = 400;
const NAMES_THAT_SAY_NOTHING: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "misc", "manager", "service", "dto",
];

#[test]
fn modules_name_only_what_their_layer_allows() {
    let broken = sources().flat_map(|(path, text)| checker::layers(LAYERS, &path, &text));
    nothing(broken);
}

#[test]
fn what_comes_from_outside_stays_in_its_home() {
    let broken = sources().flat_map(|(path, text)| checker::vendors(VENDORS, &path, &text));
    nothing(broken);
}

#[test]
fn files_are_small_documented_and_well_named() {
    let broken = sources().flat_map(|(path, text)| {
        checker::tidiness(MAX_LINES, NAMES_THAT_SAY_NOTHING, &path, &text)
    });
    nothing(broken);
}

#[test]
fn no_test_is_built_into_the_program() {
    let broken = sources().filter(|(path, _)| !path.contains("tests"));
    nothing(broken.flat_map(|(path, text)| checker::shipped_tests(&path, &text)));
}

#[test]
fn every_module_is_on_the_map_of_the_house_and_has_a_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = fs::read_to_string(root.join("lib.rs")).unwrap();
    for (module, _) in LAYERS
        .iter()
        .filter(|(name, _)| !["main", "lib"].contains(name))
    {
        let at = [
            root.join(format!("{module}.rs")),
            root.join(module).join("mod.rs"),
        ];
        assert!(
            at.iter().any(|path| path.exists()),
            "`{module}` is no module any more"
        );
        assert!(
            map.contains(&format!("`{module}`")),
            "`{module}` is not on the map in lib.rs"
        );
    }
}

#[track_caller]
fn nothing(broken: impl Iterator<Item = String>) {
    let broken: Vec<_> = broken.collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Every file below `src`, by its path from there.
fn sources() -> impl Iterator<Item = (String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    assert!(files.len() > 20, "the sources were not found");
    files.into_iter().map(move |file| {
        let path = file
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        (path, fs::read_to_string(file).unwrap())
    })
}
