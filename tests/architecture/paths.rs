//! Every path that a source names: `a::b::c`, with the groups of `use` written out, and whatever stands in macros.
//!
//! Comments, strings and what is built only for tests do not count.

/// One path, by its segments, and the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// All paths in `text`, single names included.
pub(crate) fn named(text: &str) -> Vec<NamedPath> {
    let tokens = without_tests(&tokens(text));
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let follows = at.checked_sub(1).map(|before| tokens[before].text.as_str());
        if is_name(&tokens[at].text) && !matches!(follows, Some("::" | ".")) {
            at = read_path(&tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path from `at`, and every path of the group it may end in; gives the place after it.
fn read_path(tokens: &[Token], at: usize, prefix: &[String], found: &mut Vec<NamedPath>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let line = tokens[at].line;
    let mut segments = prefix.to_vec();
    let mut at = at;
    loop {
        segments.push(text(at).to_owned());
        at += 1;
        if text(at) != "::" {
            break;
        }
        match text(at + 1) {
            "{" => return read_group(tokens, at + 2, &segments, found),
            next if is_name(next) || next == "*" => at += 1,
            _ => break,
        }
    }
    found.push(NamedPath { line, segments });
    at
}

fn read_group(tokens: &[Token], at: usize, prefix: &[String], found: &mut Vec<NamedPath>) -> usize {
    let mut at = at;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "}" => return at + 1,
            "as" => at += 2,
            name if is_name(name) || name == "*" => at = read_path(tokens, at, prefix, found),
            _ => at += 1,
        }
    }
    at
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Leaves out each item that follows `#[cfg(test)]`, or a `cfg` of several conditions with `test` among them.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if text(at) == "#" && text(at + 1) == "[" {
            let end = after_matching(tokens, at + 1);
            let inside = at + 2..end;
            let is_test = text(at + 2) == "cfg"
                && inside.clone().any(|it| text(it) == "test")
                && !inside.clone().any(|it| ["not", "any"].contains(&text(it)));
            if is_test {
                at = after_item(tokens, end);
                continue;
            }
        }
        kept.push(tokens[at].clone());
        at += 1;
    }
    kept
}

/// The place after the item that begins at `at`: after its `;`, or after its body in braces.
fn after_item(tokens: &[Token], at: usize) -> usize {
    let mut at = at;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "{" => return after_matching(tokens, at),
            "(" | "[" => at = after_matching(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The place after the bracket that closes the one at `at`.
fn after_matching(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return place + 1;
        }
    }
    tokens.len()
}

/// Names, `::` and single signs; comments, strings, characters, numbers and lifetimes are left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, kind) = next(rest, first);
        if kind == Kind::Counts {
            let text = rest[..length].trim_start_matches("r#").to_owned();
            found.push(Token { line, text });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counts,
    Passed,
}

fn next(rest: &str, first: char) -> (usize, Kind) {
    let word = |text: &str| {
        text.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len())
    };
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Passed);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Kind::Passed);
    }
    if let Some(length) = string(rest) {
        return (length, Kind::Passed);
    }
    if first == '\'' {
        return (character_or_lifetime(rest), Kind::Passed);
    }
    if first.is_numeric() {
        return (word(rest), Kind::Passed);
    }
    if first.is_alphabetic() || first == '_' {
        let raw = if rest.starts_with("r#") { 2 } else { 0 };
        return (raw + word(&rest[raw..]), Kind::Counts);
    }
    if first.is_whitespace() {
        return (first.len_utf8(), Kind::Passed);
    }
    let length = if rest.starts_with("::") {
        2
    } else {
        first.len_utf8()
    };
    (length, Kind::Counts)
}

/// They nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of the string that `rest` begins with: plain, of bytes, of C, or raw.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["", "b", "c", "r", "br", "cr"]
        .into_iter()
        .filter(|prefix| rest.starts_with(prefix))
        .find(|prefix| {
            let after = rest[prefix.len()..].trim_start_matches('#');
            let hashes = rest.len() - prefix.len() - after.len();
            after.starts_with('"') && (hashes == 0 || prefix.ends_with('r'))
        })?;
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 1;
        let length = body[start..]
            .find(&end)
            .map_or(body.len(), |at| start + at + end.len());
        return Some(prefix.len() + length);
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// `'a'` and `'\n'` end with a quote; `'a` of a lifetime does not.
fn character_or_lifetime(rest: &str) -> usize {
    let mut inside = rest.char_indices().skip(1);
    match inside.next() {
        Some((_, '\\')) => {
            inside.next();
            inside
                .find(|(_, c)| *c == '\'')
                .map_or(rest.len(), |(at, _)| at + 1)
        }
        Some((at, c)) if rest[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        named(text)
            .into_iter()
            .map(|it| it.segments.join("::"))
            .collect()
    }

    #[track_caller]
    fn finds(text: &str, path: &str) {
        let all = paths(text);
        assert!(
            all.iter().any(|it| it == path),
            "{path} is not among {all:?}"
        );
    }

    #[track_caller]
    fn finds_not(text: &str, path: &str) {
        let all = paths(text);
        assert!(!all.iter().any(|it| it == path), "{path} is among {all:?}");
    }

    #[test]
    fn groups_are_written_out() {
        let text = "use std::{env, fs::{self, File}, io as input};\nuse crate::*;";
        for path in [
            "std::env",
            "std::fs::self",
            "std::fs::File",
            "std::io",
            "crate::*",
        ] {
            finds(text, path);
        }
        finds_not(text, "input");
    }

    #[test]
    fn paths_in_expressions_types_attributes_and_macros_count() {
        finds("fn f() -> Vec<sqlx::PgPool> { todo() }", "sqlx::PgPool");
        finds(
            "fn f() { select! { x = crate::http::serve() => x } }",
            "crate::http::serve",
        );
        finds("#[derive(askama::Template)] struct S;", "askama::Template");
        finds("#[sqlx(transparent)] struct S;", "sqlx");
        finds("let q = sqlx::query!(\"SELECT 1\");", "sqlx::query");
        finds("type A = r#crate_name::B;", "crate_name::B");
    }

    #[test]
    fn a_field_or_a_method_is_no_path() {
        finds_not("self.axum.sqlx()", "sqlx");
        finds_not("self.axum.sqlx()", "axum");
    }

    #[test]
    fn comments_and_strings_do_not_count() {
        let text = r##"
            // sqlx::a
            /* sqlx::b /* sqlx::c */ sqlx::d */
            let s = "sqlx::e \" sqlx::f";
            let r = r#"sqlx::g " sqlx::h"#;
            let b = b"sqlx::i"; let c = '"'; let d = '\''; let l: &'static str = real::path;
            let e = "";
            last::path
        "##;
        assert!(
            paths(text).iter().all(|it| !it.contains("sqlx")),
            "{:?}",
            paths(text)
        );
        finds(text, "real::path");
        finds(text, "last::path");
        let last = named(text).into_iter().last().unwrap();
        assert_eq!(last.line, 8);
    }

    #[test]
    fn what_is_built_only_for_tests_does_not_count() {
        let text = "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests { use sqlx::a; fn f() { { sqlx::b } } }\n\
                    #[cfg(test)]\nmod more;\n#[cfg(all(test, feature = \"dev\"))]\nfn g(x: [u8; 2]) { sqlx::c }\n\
                    fn kept() { kept::path }";
        let all = paths(text);
        assert!(all.iter().all(|it| !it.contains("sqlx")), "{all:?}");
        finds(text, "kept::path");
        finds("#[cfg(not(test))]\nfn f() { sqlx::a }", "sqlx::a");
        finds("#[cfg(feature = \"dev\")]\nfn f() { sqlx::a }", "sqlx::a");
    }
}
