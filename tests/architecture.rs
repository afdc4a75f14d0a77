//! Architecture rules, checked from the source text so that they need no build of the app.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each top-level module of `src/` and the siblings it may name. Anything absent is forbidden.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("stripe", &[]),
    ("clock", &[]),
    ("config", &[]),
    ("telemetry", &[]),
    ("postgres", &[]),
    ("store", &["domain"]),
    ("verification", &["clock", "domain", "store", "stripe"]),
    (
        "jobs",
        &[
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

/// Vendor names and the only places that may mention them.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("axum", &["http", "sandbox", "app"]),
    (
        "reqwest",
        &["stripe", "http/auth", "jobs/outbox", "sandbox"],
    ),
    ("askama", &["http/views", "jobs/mail", "sandbox"]),
    ("lettre", &["jobs/mail"]),
    ("hmac", &["stripe/signature", "jobs/outbox"]),
    ("std::env", &["config", "postgres"]),
    ("SystemTime", &["clock"]),
    ("Utc::now", &["clock"]),
];

const MAX_LINES: usize = 400;
const BANNED_NAMES: &[&str] = &["utils", "util", "helpers", "common", "misc", "manager"];

#[test]
fn modules_import_only_what_their_layer_allows() {
    let rules: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let module = top_level(&path);
        let Some(allowed) = rules.get(module.as_str()) else {
            broken.push(format!(
                "{path}: module `{module}` has no layer; add it to MAY_IMPORT"
            ));
            continue;
        };
        let is_module_root = path.matches('/').count() == 0 || path.ends_with("/mod.rs");
        for (line, target) in crate_paths(&text, is_module_root) {
            let known = rules.contains_key(target.as_str()) || target == "super";
            if known && target != module && !allowed.contains(&target.as_str()) {
                broken.push(format!(
                    "{path}:{line}: `{module}` may not import `{target}`"
                ));
            }
        }
    }
    assert!(broken.is_empty(), "layering broken:\n{}", broken.join("\n"));
}

#[test]
fn vendor_crates_stay_behind_their_adapter() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (line, code) in code_lines(&text) {
            for (name, homes) in ONLY_IN {
                let at_home = homes.iter().any(|h| {
                    path == *h || path == format!("{h}.rs") || path.starts_with(&format!("{h}/"))
                });
                if mentions(&code, name) && !at_home {
                    broken.push(format!("{path}:{line}: `{name}` belongs in {homes:?}"));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "adapter boundary broken:\n{}",
        broken.join("\n")
    );
}

#[test]
fn files_are_small_documented_and_well_named() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            broken.push(format!("{path}: {lines} lines (limit {MAX_LINES})"));
        }
        if !text.starts_with("//! ") {
            broken.push(format!("{path}: first line must be a `//!` sentence"));
        }
        if Path::new(&path).iter().any(|part| {
            let stem = part.to_str().unwrap().trim_end_matches(".rs");
            BANNED_NAMES.contains(&stem)
        }) {
            broken.push(format!("{path}: name says nothing; name the concept"));
        }
    }
    assert!(broken.is_empty(), "tidiness broken:\n{}", broken.join("\n"));
}

/// Every `crate::x` reached from `text`: in `use crate::x`, `use crate::{x, y::z}` and inline paths.
/// In a module's root file `super::x` is the same path. `super::super::x` is refused outright.
fn crate_paths(text: &str, is_module_root: bool) -> Vec<(usize, String)> {
    let code: Vec<(usize, String)> = code_lines(text)
        .into_iter()
        .map(|(n, l)| {
            (
                n,
                if is_module_root {
                    l.replace("super::", "crate::")
                } else {
                    l
                },
            )
        })
        .collect();
    let mut found = Vec::new();
    for (i, (line, code_line)) in code.iter().enumerate() {
        if code_line.contains("super::super::") {
            found.push((*line, "super".into()));
        }
        let mut rest = code_line.as_str();
        while let Some(at) = rest.find("crate::") {
            let boundary = rest[..at]
                .chars()
                .next_back()
                .is_none_or(|c| !c.is_alphanumeric() && c != '_');
            rest = &rest[at + "crate::".len()..];
            if !boundary {
                continue;
            }
            if rest.starts_with('{') {
                // A group may span lines: take text up to the matching brace.
                let joined: String = std::iter::once(rest.to_owned())
                    .chain(code[i + 1..].iter().map(|(_, l)| l.clone()))
                    .collect::<Vec<_>>()
                    .join(" ");
                for name in group_heads(&joined) {
                    found.push((*line, name));
                }
            } else {
                found.push((*line, ident(rest)));
            }
        }
    }
    found
}

/// First path segment of each item at depth one of `{a, b::c, d::{e, f}}`.
fn group_heads(text: &str) -> Vec<String> {
    let (mut depth, mut start_of_item, mut heads) = (0, false, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '{' => {
                depth += 1;
                start_of_item = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' if depth == 1 => start_of_item = true,
            c if start_of_item && (c.is_alphanumeric() || c == '_') => {
                heads.push(ident(&text[i..]));
                start_of_item = false;
            }
            _ => {}
        }
    }
    heads
}

fn ident(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Is `name` used as a path (`name::x`, `name(`) or imported (`use name`)? Prose in strings is not.
fn mentions(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let starts_word = before
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let used = after.starts_with("::") || after.starts_with('(');
        let imported = before.trim_end().ends_with("use")
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        starts_word && (used || imported)
    })
}

/// Numbered lines without comments, up to the inline `mod tests` that closes a file.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let end = lines
        .windows(2)
        .position(|w| w[0].trim() == "#[cfg(test)]" && w[1].trim().starts_with("mod tests"))
        .unwrap_or(lines.len());
    lines[..end]
        .iter()
        .enumerate()
        .map(|(n, l)| (n + 1, l.split("//").next().unwrap_or_default().to_owned()))
        .collect()
}

fn top_level(path: &str) -> String {
    path.split('/')
        .next()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

fn sources() -> Vec<(String, String)> {
    fn walk(dir: PathBuf, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(root.clone(), &mut files);
    files.sort();
    assert!(!files.is_empty());
    files
        .into_iter()
        .map(|p| {
            (
                p.strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .replace('\\', "/"),
                fs::read_to_string(&p).unwrap(),
            )
        })
        .collect()
}
