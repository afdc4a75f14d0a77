//! The rules themselves, as functions from one source to what is wrong with it.

use crate::paths::{NamedPath, named};

/// A module at the top and those it may name.
pub(crate) type Layers = &'static [(&'static str, &'static [&'static str])];
/// A path and the files or folders that may name it.
pub(crate) type Vendors = &'static [(&'static str, &'static [&'static str])];

/// Does the source name only what its module may?
pub(crate) fn layers(rules: Layers, path: &str, text: &str) -> Vec<String> {
    if is_test(path) {
        return Vec::new();
    }
    let module = top(path);
    let Some((_, allowed)) = rules.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{path}: module `{module}` has no layer")];
    };
    let may = |target: &str| {
        let known = rules.iter().any(|(name, _)| *name == target);
        !known || target == module || allowed.contains(&target)
    };
    let mut broken = Vec::new();
    for NamedPath { line, segments } in named(text) {
        let wrong = match from_the_top(path, &segments) {
            Reached::Sibling("*") => Some("everything".to_owned()),
            Reached::Sibling(target) if !may(target) => Some(format!("`{target}`")),
            Reached::TooFar => Some("`super::super`, which hides where it leads".to_owned()),
            _ => None,
        };
        if let Some(wrong) = wrong {
            broken.push(format!("{path}:{line}: `{module}` may not name {wrong}"));
        }
    }
    broken
}

enum Reached<'a> {
    /// A module at the top of the crate.
    Sibling(&'a str),
    /// Two or more levels up.
    TooFar,
    /// Something else.
    Elsewhere,
}

/// Where a path leads that begins at the top of our crate.
fn from_the_top<'a>(path: &str, segments: &'a [String]) -> Reached<'a> {
    let is_root = ["main.rs", "lib.rs"].contains(&path);
    // In a module's own file `super` is the top of the crate.
    let is_top_file = !is_root && (!path.contains('/') || is_mod_file_of_the_top(path));
    let mut names = segments.iter().map(String::as_str);
    let first = names.next().unwrap_or_default();
    let second = names.next();
    match (first, second) {
        ("super", Some("super")) => Reached::TooFar,
        ("crate", Some(target)) => Reached::Sibling(target),
        ("super", Some(target)) if is_top_file => Reached::Sibling(target),
        // The program names the library by the package's name.
        ("verigate", Some(target)) if is_root => Reached::Sibling(target),
        _ => Reached::Elsewhere,
    }
}

fn is_mod_file_of_the_top(path: &str) -> bool {
    path.split_once('/')
        .is_some_and(|(_, rest)| rest == "mod.rs")
}

/// Is what comes from outside named only at home?
pub(crate) fn vendors(rules: Vendors, path: &str, text: &str) -> Vec<String> {
    if is_test(path) {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for NamedPath { line, segments } in named(text) {
        for (vendor, homes) in rules {
            if mentions(&segments, vendor) && !homes.iter().any(|home| lives_in(path, home)) {
                broken.push(format!(
                    "{path}:{line}: `{vendor}` belongs in {}",
                    homes.join(", ")
                ));
            }
        }
    }
    broken
}

fn mentions(segments: &[String], vendor: &str) -> bool {
    let wanted: Vec<&str> = vendor.split("::").collect();
    let anywhere = vendor.starts_with(char::is_uppercase);
    let mut windows = segments.windows(wanted.len()).enumerate();
    windows.any(|(at, window)| window == wanted.as_slice() && (anywhere || at == 0))
}

fn lives_in(path: &str, home: &str) -> bool {
    path.strip_prefix(home)
        .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Is the file small, does it say what it is for, and does its name?
pub(crate) fn tidiness(
    max_lines: usize,
    says_nothing: &[&str],
    path: &str,
    text: &str,
) -> Vec<String> {
    let mut broken = Vec::new();
    let lines = text.lines().count();
    if lines > max_lines {
        broken.push(format!(
            "{path}: {lines} lines, and {max_lines} are allowed"
        ));
    }
    let first = text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("//! ").unwrap_or_default();
    if !sentence.contains(' ') {
        broken.push(format!("{path}: the first line is no `//!` sentence"));
    }
    let names = path.split('/').map(|part| part.trim_end_matches(".rs"));
    for name in names.filter(|name| says_nothing.contains(name)) {
        broken.push(format!("{path}: `{name}` says nothing: name the concept"));
    }
    broken
}

/// Whole files of tests; that they are built only for tests is what their parent says.
fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs")
}

fn top(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or_default();
    first.trim_end_matches(".rs")
}

/// Is there a module of tests that would be built into the program?
pub(crate) fn shipped_tests(path: &str, text: &str) -> Vec<String> {
    let mut names = named(text).into_iter().peekable();
    let mut broken = Vec::new();
    while let Some(NamedPath { line, segments }) = names.next() {
        let next = names.peek().map(|it| it.segments.as_slice());
        if segments == ["mod"] && next.is_some_and(|next| next == ["tests"]) {
            broken.push(format!("{path}:{line}: `mod tests` without #[cfg(test)]"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Layers = &[
        ("domain", &[]),
        ("store", &["domain"]),
        ("http", &["store"]),
        ("main", &["http"]),
    ];

    fn breaks(path: &str, text: &str) -> bool {
        !layers(RULES, path, text).is_empty()
    }

    #[test]
    fn a_layer_may_name_itself_and_what_lies_below() {
        assert!(!breaks(
            "store/users.rs",
            "use crate::{domain::Status, store::Db};"
        ));
        assert!(!breaks("store/mod.rs", "use super::domain::Status;"));
        assert!(!breaks(
            "store/users.rs",
            "use super::http_like; use std::http;"
        ));
        assert!(!breaks("main.rs", "use verigate::http::serve;"));
    }

    #[test]
    fn a_layer_may_not_name_what_lies_above_in_any_manner() {
        for (path, text) in [
            ("domain/mod.rs", "use crate::store::Db;"),
            (
                "domain/status.rs",
                "use crate::{\n    domain::A,\n    store::{Db, Tx},\n};",
            ),
            ("domain/status.rs", "fn f(db: &crate::store::Db) {}"),
            ("domain/status.rs", "fn f() { join!(crate::store::find()) }"),
            ("domain.rs", "use super::store;"),
            ("domain/mod.rs", "use super::{store};"),
            ("domain/status.rs", "use super::super::store;"),
            ("domain/status.rs", "use crate::*;"),
            ("store/users.rs", "pub use crate::http;"),
            ("main.rs", "use verigate::store::Db;"),
        ] {
            assert!(breaks(path, text), "{path}: {text}");
        }
    }

    #[test]
    fn a_module_without_a_layer_is_refused() {
        assert!(breaks("stray/mod.rs", ""));
        assert!(breaks("stray.rs", ""));
    }

    #[test]
    fn tests_may_name_what_they_like() {
        assert!(!breaks(
            "domain/status.rs",
            "#[cfg(test)]\nmod tests { use crate::store::Db; }"
        ));
        assert!(!breaks("domain/tests/life.rs", "use crate::store::Db;"));
    }

    const HOMES: Vendors = &[
        ("sqlx", &["store"]),
        ("hmac", &["stripe/signature"]),
        ("std::env", &["config"]),
        ("Utc::now", &["clock"]),
        ("SystemTime", &["clock"]),
    ];

    #[test]
    fn a_vendor_is_at_home_in_a_file_or_a_folder() {
        for (path, text) in [
            ("store/users.rs", "sqlx::query!()"),
            ("store.rs", "use sqlx;"),
            ("stripe/signature.rs", "use hmac::Hmac;"),
            ("stripe/signature/mod.rs", "use hmac::Hmac;"),
            (
                "http/mod.rs",
                "let env = env!(\"HOME\"); now(); // sqlx::query",
            ),
            ("config/mod.rs", "use std::{env, fs};"),
        ] {
            assert_eq!(vendors(HOMES, path, text), Vec::<String>::new());
        }
    }

    #[test]
    fn a_vendor_away_from_home_is_found_however_it_is_named() {
        for (path, text) in [
            ("http/mod.rs", "use sqlx;"),
            ("http/mod.rs", "#[derive(sqlx::FromRow)] struct A;"),
            ("storefront.rs", "use sqlx::PgPool;"),
            ("stripe/client.rs", "use hmac::Hmac;"),
            ("http/mod.rs", "use std::{env, fs};"),
            ("http/mod.rs", "std::env::var(\"HOME\")"),
            ("http/mod.rs", "let now = chrono::Utc::now();"),
            ("http/mod.rs", "Utc::now()"),
            ("http/mod.rs", "use std::time::{Duration, SystemTime};"),
        ] {
            assert_eq!(vendors(HOMES, path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn an_untidy_file_is_found() {
        let check = |path, text| tidiness(3, &["utils"], path, text).len();
        assert_eq!(check("a/b.rs", "//! What lives here.\n\nfn f() {}"), 0);
        assert_eq!(check("a/b.rs", "//! What lives here.\n\n\n\n"), 1);
        assert_eq!(check("a/b.rs", "fn f() {}"), 1);
        assert_eq!(check("a/b.rs", "//! Stub\n"), 1);
        assert_eq!(check("a/b.rs", ""), 1);
        assert_eq!(check("utils/b.rs", "//! What lives here."), 1);
        assert_eq!(check("a/utils.rs", "//! What lives here."), 1);
        assert_eq!(check("a/utilsarian.rs", "//! What lives here."), 0);
    }

    #[test]
    fn a_module_of_tests_that_would_be_shipped_is_found() {
        assert!(shipped_tests("a.rs", "#[cfg(test)]\nmod tests;").is_empty());
        assert_eq!(shipped_tests("a.rs", "mod tests;").len(), 1);
        assert_eq!(
            shipped_tests("a.rs", "#[cfg(feature = \"dev\")]\nmod tests {}").len(),
            1
        );
    }
}
