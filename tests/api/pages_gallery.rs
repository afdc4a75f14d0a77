//! What people see: every page in every state, as rendered.

use verigate::http::gallery;

/// Everything a browser loads for the first page, before compression.
const FIRST_PAGE: usize = 30_000;

#[test]
fn every_state_keeps_its_words() {
    for (name, html) in pages() {
        let (title, main) = (
            between(&html, "<title>", "</title>"),
            between(&html, "<main", "</main>"),
        );
        insta::assert_snapshot!(name, format!("{title}\n<main{main}</main>"));
    }
}

#[test]
fn the_first_page_keeps_its_frame_and_the_words_for_the_modals_outcomes() {
    insta::assert_snapshot!("whole-page", page("not-started"));
}

#[test]
fn every_page_says_its_state_first_and_then_who_asks() {
    for (name, html) in pages() {
        let title = between(&html, "<title>", "</title>");
        let app = if name == "long-name" {
            "Kraftfahrzeughaft"
        } else {
            "Acme"
        };
        let (state, rest) = title.split_once(" – ").unwrap();
        assert!(
            !state.is_empty() && rest.starts_with(app),
            "{name}: {title}"
        );
    }
}

#[test]
fn every_page_has_one_heading_and_at_most_one_main_action() {
    for (name, html) in pages() {
        let main = between(&html, "<main", "</main>");
        assert_eq!(main.matches("<h1").count(), 1, "{name}");
        let scripted = main.split("<noscript>").next().unwrap();
        assert!(scripted.matches("class=\"button\"").count() <= 1, "{name}");
        assert!(main.matches("id=\"verify-button\"").count() <= 1, "{name}");
    }
}

#[test]
fn nothing_on_a_page_needs_an_inline_script_or_style() {
    for (name, html) in pages() {
        assert!(
            !html.contains(" style=") && !html.contains("<style"),
            "{name}"
        );
        for handler in [
            "javascript:",
            " onclick",
            " onload",
            " onerror",
            " onsubmit",
        ] {
            assert!(!html.contains(handler), "{name} has {handler}");
        }
        let scripts = html.matches("<script").count();
        assert_eq!(
            html.matches("<script src=\"/static/").count(),
            scripts,
            "{name}"
        );
    }
}

#[test]
fn nobody_is_shouted_at_or_apologised_to() {
    for (name, html) in pages() {
        let lower = html.trim_start_matches("<!doctype html>").to_lowercase();
        for word in [
            "!",
            "oops",
            "sorry",
            "please try",
            "invalid",
            "unfortunately",
        ] {
            assert!(!lower.contains(word), "{name} says {word:?}");
        }
    }
}

#[test]
fn names_from_outside_are_escaped() {
    let html = page("long-name");
    assert!(!html.contains("<& Søn>"));
    assert!(html.contains("&#60;&#38; Søn&#62;"));
}

#[test]
fn the_first_page_is_small() {
    let files: usize = gallery::files().iter().map(|(_, body)| body.len()).sum();
    let all = page("not-started").len() + files;
    assert!(all < FIRST_PAGE, "{all} bytes");
}

#[test]
fn every_file_a_page_asks_for_is_there_under_the_hash_of_its_content() {
    let files = gallery::files();
    for (name, html) in gallery::pages().unwrap() {
        for asked in html.split('"').filter(|part| part.starts_with("/static/")) {
            assert!(
                files.iter().any(|(address, _)| address == asked),
                "{name} asks for {asked}"
            );
        }
    }
}

fn page(name: &str) -> String {
    pages()
        .into_iter()
        .find(|(found, _)| found == name)
        .unwrap()
        .1
}

/// With plain names for the files, so that a new hash changes no snapshot.
fn pages() -> Vec<(String, String)> {
    let plain = |html: String| {
        gallery::files()
            .into_iter()
            .fold(html, |html, (address, _)| {
                let mut parts = address.split('.');
                let (name, _, extension) =
                    (parts.next().unwrap(), parts.next(), parts.next().unwrap());
                html.replace(&address, &format!("{name}.{extension}"))
            })
    };
    let pages = gallery::pages().unwrap();
    assert!(pages.len() > 30, "the gallery has lost its pages");
    pages
        .into_iter()
        .map(|(name, html)| (name, plain(html)))
        .collect()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}
