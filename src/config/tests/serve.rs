//! What production needs and refuses.

use std::collections::BTreeSet;

use super::*;

#[test]
fn production_in_order_is_taken_with_the_usual_values() {
    let config = serve(&[]);
    assert_eq!(config.bind_addr, "127.0.0.1:4242".parse().unwrap());
    assert_eq!(config.metrics_addr, None);
    assert_eq!(config.public_url.as_str(), "https://verify.example.com/");
    assert_eq!(config.shutdown_delay, Duration::from_secs(5));
    assert_eq!(config.idle_timeout, Duration::from_secs(15));
    assert_eq!(config.log.filter, "info");
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.app.purpose, "");
    assert_eq!(config.app.alternative_url, None);
    assert_eq!(config.app.home_url, None);
    let url = config.database_url.unwrap();
    assert_eq!(
        url.expose_secret(),
        "postgres://verigate:hunter2@db/verigate"
    );

    let stripe = config.stripe;
    assert!(stripe.livemode);
    assert!(!stripe.is_sandbox);
    assert_eq!(stripe.secret_key.expose_secret(), "sk_live_abc");
    assert_eq!(stripe.publishable_key, "pk_live_abc");
    assert_eq!(stripe.webhook_secrets.len(), 1);
    assert_eq!(stripe.webhook_tolerance_seconds, 300);
    assert_eq!(stripe.api_base.as_str(), "https://api.stripe.com/");
    assert_eq!(
        stripe.js_url.as_str(),
        "https://js.stripe.com/dahlia/stripe.js"
    );
    assert_eq!(stripe.verify_origins, ["https://verify.stripe.com"]);
}

#[test]
fn production_with_nothing_set_names_everything_it_needs_at_once() {
    let error = read(Mode::Serve, &Vars::new()).unwrap_err();
    let named: BTreeSet<_> = error.problems().iter().map(|it| it.variable).collect();
    let needed: BTreeSet<_> = GOOD.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, needed);
    assert_eq!(error.problems().len(), needed.len(), "each once: {error}");
    for line in error.to_string().lines().skip(1) {
        assert!(line.contains(" is not set: "), "{line}");
    }
}

#[test]
fn a_public_url_is_an_origin_and_https_with_live_keys() {
    let advice = serve_refuses("PUBLIC_URL", "http://verify.example.com");
    assert!(advice.contains("https://"), "{advice}");
    for not_an_origin in [
        "verify.example.com",
        "https://verify.example.com/path",
        "https://verify.example.com/?a=b",
        "https://verify.example.com/#a",
        "https://user@verify.example.com",
        "https://user:secret@verify.example.com",
        "ftp://verify.example.com",
        "javascript:alert(1)",
        "https://",
    ] {
        serve_refuses("PUBLIC_URL", not_an_origin);
    }
    let test = serve(&test_keys_and(
        "PUBLIC_URL",
        "http://verify.example.com:8080/",
    ));
    assert_eq!(test.public_url.as_str(), "http://verify.example.com:8080/");
}

#[test]
fn a_public_url_without_https_is_named_even_when_other_live_settings_are_wrong() {
    let vars = good_but(&[
        ("PUBLIC_URL", "http://verify.example.com"),
        ("STRIPE_WEBHOOK_SECRET", ""),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_abc"),
    ]);
    let error = read(Mode::Serve, &vars).unwrap_err();
    let named: Vec<_> = error.problems().iter().map(|it| it.variable).collect();
    assert_eq!(
        named,
        [
            "STRIPE_PUBLISHABLE_KEY",
            "STRIPE_WEBHOOK_SECRET",
            "PUBLIC_URL"
        ]
    );
}

#[test]
fn a_database_is_postgres() {
    for wrong in [
        "mysql://db/verigate",
        "db",
        "/var/run/postgresql",
        "https://db",
        "postgres://db/verigate?sslmode=verify-full&sslpassword=hunter2",
    ] {
        serve_refuses("DATABASE_URL", wrong);
        dev_refuses("DATABASE_URL", wrong);
    }
    serve(&[("DATABASE_URL", "postgresql://db/verigate")]);
    serve(&[("DATABASE_URL", "postgres:///verigate?host=/run/postgresql")]);
    serve(&[(
        "DATABASE_URL",
        "postgres://db/verigate?sslmode=verify-full&sslrootcert=/ca.pem&options[search_path]=x",
    )]);
}

#[test]
fn addresses_are_addresses_and_no_two_are_the_same() {
    for wrong in ["4242", "localhost:4242", "0.0.0.0", "0.0.0.0:70000"] {
        serve_refuses("BIND_ADDR", wrong);
        serve_refuses("METRICS_ADDR", wrong);
    }
    serve_refuses("METRICS_ADDR", "127.0.0.1:4242");
    dev_refuses("SANDBOX_ADDR", "127.0.0.1:4242");
    let config = serve(&[("BIND_ADDR", "0.0.0.0:80"), ("METRICS_ADDR", "[::]:9464")]);
    assert_eq!(config.metrics_addr, Some("[::]:9464".parse().unwrap()));
    assert_eq!(serve(&[("METRICS_ADDR", "")]).metrics_addr, None);
    serve(&[
        ("BIND_ADDR", "127.0.0.1:0"),
        ("METRICS_ADDR", "127.0.0.1:0"),
    ]);
}

#[test]
fn links_lead_to_pages_and_nowhere_else() {
    for name in ["SUPPORT_URL", "PRIVACY_URL", "ALTERNATIVE_URL", "APP_URL"] {
        for wrong in [
            "javascript:alert(1)",
            "help",
            "data:text/html,hi",
            "https://me:secret@acme.example",
            "mailto:",
        ] {
            serve_refuses(name, wrong);
        }
        serve(&[(name, "https://acme.example/page?a=b#c")]);
    }
    serve(&[("SUPPORT_URL", "mailto:help@acme.example")]);
    serve(&[("ALTERNATIVE_URL", "mailto:help@acme.example")]);
    serve_refuses("PRIVACY_URL", "mailto:help@acme.example");
    serve_refuses("APP_URL", "mailto:help@acme.example");
}

#[test]
fn text_is_one_printable_line() {
    serve_refuses("APP_NAME", &"A".repeat(301));
    serve_refuses("APP_NAME", "Ac\nme");
    serve_refuses("APP_PURPOSE", "not UTF-8: \u{FFFD}");
    serve_refuses("APP_NAME", " ");
    let config = serve(&[("APP_NAME", " Größe & Söhne "), ("APP_PURPOSE", "Because.")]);
    assert_eq!(config.app.name, "Größe & Söhne");
    assert_eq!(config.app.purpose, "Because.");
}

#[test]
fn delays_and_logs_are_checked_too() {
    for wrong in ["five", "-1", "601", "1.5"] {
        serve_refuses("SHUTDOWN_DELAY", wrong);
    }
    assert_eq!(
        serve(&[("SHUTDOWN_DELAY", "0")]).shutdown_delay,
        Duration::ZERO
    );
    serve_refuses("LOG_FORMAT", "xml");
    serve_refuses("RUST_LOG", "verigate=loud");
    let config = serve(&[("LOG_FORMAT", "json"), ("RUST_LOG", "warn,verigate=debug")]);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.log.filter, "warn,verigate=debug");
}
