//! The program from outside: what it says and how it ends when it cannot do what it is asked for.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::{server::unanswered, support::database::TestDb};

/// Runs the program with these variables alone.
fn verigate(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_verigate"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn serve_with_nothing_set_names_all_it_needs_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = verigate(&["serve"], &[], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = said(&output);
    for name in [
        "DATABASE_URL",
        "PUBLIC_URL",
        "STRIPE_SECRET_KEY",
        "STRIPE_PUBLISHABLE_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "APP_NAME",
        "SUPPORT_URL",
        "PRIVACY_URL",
        "HAND_OFF",
    ] {
        let line = said
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        assert!(
            line.is_some_and(|it| it.contains("is not set")),
            "{name}: {said}"
        );
    }
    let left = folder.path().read_dir().unwrap().count();
    assert_eq!(left, 0, "no file is left");
}

#[test]
fn serve_refuses_doubtful_values_with_the_reason_and_without_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let file = "STRIPE_SECRET_KEY=sk_live_c4n4ry\nSTRIPE_PUBLISHABLE_KEY=pk_test_c4n4ry\n\
                STRIPE_WEBHOOK_SECRET=\nPUBLIC_URL=http://c4n4ry.example.com\n";
    std::fs::write(folder.path().join(".env"), file).unwrap();
    let output = verigate(&["serve"], &[("APP_NAME", "Acme")], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("both be live or both be test"), "{said}");
    assert!(said.contains("STRIPE_WEBHOOK_SECRET is empty"), "{said}");
    assert!(
        said.contains("PUBLIC_URL must begin with https://"),
        "{said}"
    );
    assert!(!said.contains("APP_NAME"), "that one is set: {said}");
    assert!(!said.contains("c4n4ry"), "{said}");
}

#[test]
fn dev_refuses_a_live_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [("STRIPE_SECRET_KEY", "sk_live_c4n4ry")];
    let output = verigate(&["dev"], &keys, folder.path());
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.contains("test keys only") && !said.contains("c4n4ry"),
        "{said}"
    );
}

#[test]
fn without_a_command_it_explains_itself_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let output = verigate(&[], &[], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("Usage: verigate"));
    let output = verigate(&["--version"], &[], folder.path());
    assert!(output.status.success());
    let version = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        version.trim(),
        concat!("verigate ", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn migrate_may_run_any_number_of_times() {
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = verigate(&["migrate"], &[("DATABASE_URL", db.url())], folder.path());
        assert!(output.status.success(), "{}", said(&output));
    }
    let missing = verigate(&["migrate"], &[], folder.path());
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("DATABASE_URL is not set"));
}

#[test]
fn health_fails_where_nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let (_nobody, address) = unanswered();
    let address = address.to_string();
    let output = verigate(&["health"], &[("BIND_ADDR", &address)], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("does not answer"));
}
