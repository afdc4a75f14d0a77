//! Where settings come from, and what is never said about them.

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path};

use super::*;

#[test]
fn everything_wrong_is_said_at_once_and_no_value_is_repeated() {
    let names = asked_names();
    let vars: Vars = names
        .iter()
        .map(|name| (*name, "c4n4ry=$!".to_owned()))
        .collect();
    for mode in [Mode::Serve, Mode::Dev] {
        let error = read(mode, &vars).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains("c4n4ry"), "{said}");
        let listed: Vec<_> = error.problems().iter().map(|it| it.variable).collect();
        for name in &names {
            // Any line of text is a name or a purpose, and a filter may name any module.
            let free = [
                "APP_NAME",
                "APP_PURPOSE",
                "RUST_LOG",
                "JWT_ISSUER",
                "JWT_AUDIENCE",
                "OIDC_CLIENT_ID",
                "OIDC_CLIENT_SECRET",
            ]
            .contains(name);
            let unread = mode == Mode::Serve && *name == "SANDBOX_ADDR";
            if !free && !unread {
                assert!(listed.contains(name), "{name} is not among {listed:?}");
            }
        }
    }
}

#[test]
fn a_secret_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, "whsec_from_file\n").unwrap();
    let path = file.to_str().unwrap();
    let mut vars = good_but(&[("STRIPE_WEBHOOK_SECRET_FILE", path)]);
    let advice = refused(read(Mode::Serve, &vars), "STRIPE_WEBHOOK_SECRET");
    assert!(advice.contains("both set"), "{advice}");

    vars.remove("STRIPE_WEBHOOK_SECRET");
    let config = read(Mode::Serve, &vars).unwrap();
    assert_eq!(
        config.stripe.webhook_secrets[0].expose_secret(),
        "whsec_from_file"
    );

    fs::write(&file, "\n").unwrap();
    let advice = refused(read(Mode::Serve, &vars), "STRIPE_WEBHOOK_SECRET");
    assert!(advice.contains("is empty"), "{advice}");
}

#[test]
fn every_secret_knows_its_file_and_says_nothing_of_what_was_put_there_by_mistake() {
    for name in ["DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"] {
        let mut vars = good_but(&[]);
        vars.remove(name);
        let file: &'static str = Box::leak(format!("{name}_FILE").into_boxed_str());
        vars.insert(file, "whsec_c4n4ry".to_owned());
        let advice = refused(read(Mode::Serve, &vars), name);
        assert!(
            advice.contains(file) && !advice.contains("c4n4ry"),
            "{advice}"
        );
    }
}

#[test]
fn what_is_printed_of_the_settings_holds_no_secret() {
    let config = serve(&[
        ("DATABASE_URL", "postgres://me:c4n4ry@db/verigate"),
        ("STRIPE_SECRET_KEY", "sk_live_c4n4ry"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_c4n4ry"),
    ]);
    let printed = format!("{config:?}");
    assert!(
        printed.contains("verify.example.com") && !printed.contains("c4n4ry"),
        "{printed}"
    );
}

#[test]
fn single_settings_are_read_without_the_others() {
    let vars = only(&[
        ("DATABASE_URL", "postgres://db/verigate"),
        ("BIND_ADDR", "0.0.0.0:80"),
    ]);
    let lookup = |name: &str| vars.get(name).cloned();
    assert!(database_url(Mode::Serve, lookup).unwrap().is_some());
    assert_eq!(bind_addr(Mode::Serve, lookup).unwrap().port(), 80);
    assert_eq!(sandbox_addr(lookup).unwrap().port(), 12111);
    assert_eq!(log(Mode::Serve, lookup).unwrap().filter, "info");
    assert!(database_url(Mode::Serve, |_| None).is_err());
    assert!(database_url(Mode::Dev, |_| None).unwrap().is_none());
}

#[test]
fn a_file_fills_in_what_the_process_does_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    // PATH is set in every process that runs tests.
    fs::write(
        &file,
        "# ours\nAPP_NAME=\"Of the file\"\nPATH=/of/the/file\n",
    )
    .unwrap();
    let environment = Environment::with_file(&file).unwrap();
    assert_eq!(
        environment.lookup("APP_NAME").as_deref(),
        Some("Of the file")
    );
    assert_ne!(environment.lookup("PATH").as_deref(), Some("/of/the/file"));
    assert!(std::env::var_os("APP_NAME").is_none(), "it is only read");
    assert!(!format!("{environment:?}").contains("Of the file"));

    let none = Environment::with_file(&folder.path().join("none")).unwrap();
    assert_eq!(none.lookup("APP_NAME"), None);
}

#[test]
fn a_broken_file_is_an_error_that_quotes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    for (before, broken) in [
        ("", "STRIPE_SECRET_KEY=sk_test_c4n4ry with blanks\n"),
        (
            "# ours\n\nAPP_NAME='of\ntwo lines'\n  # more",
            "sk_test_c4n4ry\n",
        ),
        (
            "APP_NAME=Acme",
            "STRIPE_SECRET_KEY='sk_test_c4n4ry\nBIND_ADDR=\n",
        ),
    ] {
        fs::write(&file, format!("{before}\n{broken}")).unwrap();
        let error = Environment::with_file(&file).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c4n4ry"), "{error}");
        let line = format!(
            ".env cannot be read in line {}:",
            before.lines().count().max(1) + 1
        );
        assert!(error.to_string().contains(&line), "{line} {error}");
    }
}

#[test]
fn each_line_of_the_example_can_be_uncommented_alone() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let text = fs::read_to_string(example).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    for line in text.lines() {
        let set = line.strip_prefix('#').filter(|it| {
            let name = it.split_once('=');
            name.is_some_and(|(name, _)| is_variable(name))
        });
        let Some(set) = set else { continue };
        fs::write(&file, text.replace(line, set)).unwrap();
        let environment = Environment::with_file(&file).unwrap();
        let (name, written) = set.split_once('=').unwrap();
        assert_eq!(format!("{environment:?}"), format!("{{{name:?}}}"));
        let whole = written.trim_matches(['\'', '"']).replace("\\n", "\n");
        // What the process has set wins.
        if std::env::var_os(name).is_none() {
            assert_eq!(environment.lookup(name), Some(whole), "{name}");
        }
    }
}

#[test]
fn what_stands_in_single_quotes_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    let value = r##"postgres://me:p$word${x}\n"# b@db/verigate"##.to_owned();
    fs::write(&file, format!("DATABASE_URL='{value}'\n")).unwrap();
    let environment = Environment::with_file(&file).unwrap();
    assert_eq!(environment.lookup("DATABASE_URL"), Some(value));
}

#[test]
fn the_example_lists_exactly_the_settings_there_are_each_with_a_comment() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let text = fs::read_to_string(file).unwrap();
    let mut listed = BTreeSet::new();
    let mut commented = false;
    for line in text.lines() {
        let name = line.strip_prefix('#').and_then(|it| it.split_once('='));
        if let Some((name, _)) = name.filter(|(name, _)| is_variable(name)) {
            assert!(commented, "{name} has no comment");
            assert!(listed.insert(name), "{name} is listed twice");
            continue;
        }
        assert!(
            line.is_empty() || line.starts_with("# ") || line == "#",
            "is set: {line}"
        );
        commented = !line.is_empty();
    }
    assert_eq!(listed, asked_names());
}

/// Every variable that is looked up in either mode, files of secrets left out.
fn asked_names() -> BTreeSet<&'static str> {
    let asked = RefCell::new(BTreeSet::new());
    for mode in [Mode::Serve, Mode::Dev] {
        let _ = Config::from_lookup(mode, |name| {
            asked.borrow_mut().insert(name.to_owned());
            None
        });
    }
    let asked = asked.into_inner();
    let is_file = |name: &str| {
        name.strip_suffix("_FILE")
            .is_some_and(|it| asked.contains(it))
    };
    let names = asked.iter().filter(|name| !is_file(name));
    names
        .map(|name| &*Box::leak(name.clone().into_boxed_str()))
        .collect()
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}
