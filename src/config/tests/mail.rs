//! Mail: off unless it is asked for, and never in the clear to another machine.

use super::*;

const FROM: (&str, &str) = ("MAIL_FROM", "Acme <no-reply@acme.example>");

fn server(url: &str) -> ServerConfig {
    serve(&[("SMTP_URL", url), FROM]).mail.unwrap().server
}

#[test]
fn nobody_is_mailed_unless_a_server_and_a_sender_are_named() {
    assert!(serve(&[]).mail.is_none());
    assert!(dev(&[]).mail.is_none());
    let advice = refused(
        read(
            Mode::Serve,
            &good_but(&[("SMTP_URL", "smtps://mail.acme.example")]),
        ),
        "MAIL_FROM",
    );
    assert!(advice.starts_with("is not set"), "{advice}");
    for alone in [FROM, ("SMTP_CA", "-----BEGIN CERTIFICATE-----")] {
        refused(read(Mode::Serve, &good_but(&[alone])), "SMTP_URL");
    }
}

#[test]
fn a_server_is_spoken_with_in_the_clear_only_on_this_machine() {
    for (url, protection, port) in [
        ("smtps://mail.acme.example", Protection::Tls, 465),
        ("smtps://127.0.0.1:1465", Protection::Tls, 1465),
        ("smtp://mail.acme.example", Protection::StartTls, 587),
        ("smtp://mail.acme.example:25/", Protection::StartTls, 25),
        ("smtp://10.0.0.1:25", Protection::StartTls, 25),
        ("smtp://localhost.acme.example", Protection::StartTls, 587),
        ("smtp://127.0.0.1.acme.example", Protection::StartTls, 587),
        ("smtp://2130706433:25", Protection::StartTls, 25),
        ("smtp://localhost:1025", Protection::Nothing, 1025),
        ("smtp://127.0.0.1:1025", Protection::Nothing, 1025),
        ("smtp://[::1]:1025", Protection::Nothing, 1025),
    ] {
        let server = server(url);
        assert_eq!(
            (server.protection, server.port),
            (protection, port),
            "{url}"
        );
        assert!(server.credentials.is_none());
    }
    let own = serve(&[
        ("SMTP_URL", "smtp://localhost:1025"),
        ("SMTP_CA", "-----BEGIN CERTIFICATE-----"),
        FROM,
    ]);
    assert_eq!(own.mail.unwrap().server.protection, Protection::StartTls);
}

#[test]
fn credentials_are_decoded_and_shown_to_nobody() {
    let config = serve(&[
        (
            "SMTP_URL",
            "smtps://me%40acme.example:c4n%2fn4ry+@[2001:db8::1]",
        ),
        FROM,
    ]);
    assert!(!format!("{config:?}").contains("n4ry"));
    let server = config.mail.unwrap().server;
    let (user, password) = server.credentials.unwrap();
    assert_eq!(
        (user.as_str(), password.expose_secret()),
        ("me@acme.example", "c4n/n4ry+")
    );
    assert_eq!(server.host, "2001:db8::1");
}

#[test]
fn what_is_no_mail_server_is_refused_without_being_repeated() {
    for wrong in [
        "mail.acme.example:25",
        "https://mail.acme.example",
        "smtp://",
        "smtps://me@mail.acme.example",
        "smtps://:hunter2@mail.acme.example",
        "smtps://me:hunter2@mail.acme.example/inbox",
        "smtps://me:hunter2@mail.acme.example?tls=none",
        "smtps://me:hunter2%ff@mail.acme.example",
    ] {
        let vars = good_but(&[("SMTP_URL", wrong), FROM]);
        let advice = refused(read(Mode::Serve, &vars), "SMTP_URL");
        assert!(!advice.contains("hunter2"), "{advice}");
    }
}

#[test]
fn mail_is_from_an_address_with_or_without_a_name() {
    let from = |text| {
        let mail = serve(&[
            ("SMTP_URL", "smtps://mail.acme.example"),
            ("MAIL_FROM", text),
        ])
        .mail;
        let mail = mail.unwrap();
        (mail.from_name, mail.from_address)
    };
    let address = "no-reply@acme.example".to_owned();
    assert_eq!(
        from("no-reply@acme.example"),
        (String::new(), address.clone())
    );
    assert_eq!(from(FROM.1), ("Acme".to_owned(), address.clone()));
    assert_eq!(from("\"Acme, Søn\" <no-reply@acme.example>").0, "Acme, Søn");
    for wrong in [
        "Acme",
        "Acme <no-reply>",
        "a@b <c@d",
        "a@b, c@d",
        "@acme.example",
        "a@b@c",
        "a b@acme.example",
        "<a@b>c",
    ] {
        let vars = good_but(&[
            ("SMTP_URL", "smtps://mail.acme.example"),
            ("MAIL_FROM", wrong),
        ]);
        refused(read(Mode::Serve, &vars), "MAIL_FROM");
    }
}
