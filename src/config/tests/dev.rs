//! What development takes, refuses and makes up.

use super::*;

#[test]
fn development_needs_nothing_and_speaks_with_its_own_sandbox() {
    let config = dev(&[]);
    assert!(config.database_url.is_none());
    assert_eq!(config.public_url.as_str(), "http://localhost:4242/");
    assert_eq!(config.sandbox_addr, "127.0.0.1:12111".parse().unwrap());
    assert_eq!(config.shutdown_delay, Duration::ZERO);
    assert!(config.stripe.is_sandbox);
    assert!(!config.stripe.livemode);
    assert_eq!(config.stripe.api_base.as_str(), "http://127.0.0.1:12111/");
    assert_eq!(
        config.stripe.js_url.as_str(),
        "http://127.0.0.1:12111/stripe.js"
    );
    assert_eq!(config.stripe.verify_origins, ["http://127.0.0.1:12111"]);
    assert_eq!(config.stripe.webhook_secrets.len(), 1);
    assert!(
        config.app.alternative_url.is_some(),
        "every part of the page can be seen"
    );
    // What it uses by itself would pass as given, too.
    assert!(secret_is_taken(&config));
}

#[test]
fn development_honours_what_is_set() {
    let config = dev(&[
        ("DATABASE_URL", "postgres://localhost/mine"),
        ("BIND_ADDR", "[::1]:8080"),
        ("SANDBOX_ADDR", "127.0.0.2:9000"),
        ("APP_NAME", "Mine"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_mine"),
    ]);
    assert!(config.database_url.is_some());
    assert_eq!(config.public_url.as_str(), "http://localhost:8080/");
    assert_eq!(config.stripe.api_base.as_str(), "http://127.0.0.2:9000/");
    assert_eq!(config.app.name, "Mine");
    assert_eq!(
        config.stripe.webhook_secrets[0].expose_secret(),
        "whsec_mine"
    );
}

#[test]
fn development_with_test_keys_speaks_with_the_real_stripe() {
    let config = dev(&TEST_KEYS);
    assert!(!config.stripe.is_sandbox);
    assert_eq!(config.stripe.api_base.as_str(), "https://api.stripe.com/");
    assert_eq!(config.stripe.verify_origins, ["https://verify.stripe.com"]);
    refused(
        read(Mode::Dev, &only(&TEST_KEYS[..1])),
        "STRIPE_PUBLISHABLE_KEY",
    );
    refused(read(Mode::Dev, &only(&TEST_KEYS[1..])), "STRIPE_SECRET_KEY");
}

#[test]
fn development_with_a_sandbox_elsewhere_runs_none() {
    let config = dev(&[("STRIPE_API_BASE", "http://localhost:7000")]);
    assert!(!config.stripe.is_sandbox);
    assert_eq!(
        config.stripe.js_url.as_str(),
        "http://localhost:7000/stripe.js"
    );
    let real = [("STRIPE_API_BASE", "https://api.stripe.com")];
    let advice = refused(read(Mode::Dev, &only(&real)), "STRIPE_SECRET_KEY");
    assert!(advice.contains("test keys of your own"), "{advice}");
}

#[test]
fn development_refuses_live_keys_and_every_address_but_loopback() {
    for key in ["sk_live_abc", "rk_live_abc"] {
        let error = read(Mode::Dev, &only(&[("STRIPE_SECRET_KEY", key)])).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("development is for test keys only"),
            "{error}"
        );
    }
    let error = read(
        Mode::Dev,
        &only(&[("STRIPE_PUBLISHABLE_KEY", "pk_live_abc")]),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("development is for test keys only"),
        "{error}"
    );
    for name in ["BIND_ADDR", "SANDBOX_ADDR", "METRICS_ADDR"] {
        for open in [
            "0.0.0.0:9000",
            "[::]:9000",
            "192.168.1.1:9000",
            "[::ffff:10.0.0.1]:9000",
        ] {
            let advice = dev_refuses(name, open);
            assert!(advice.contains("this machine only"), "{advice}");
        }
        dev(&[(name, "[::ffff:127.0.0.1]:9000")]);
    }
}

#[test]
fn port_zero_is_named_once_it_is_known() {
    let mut config = dev(&[
        ("BIND_ADDR", "127.0.0.1:0"),
        ("SANDBOX_ADDR", "127.0.0.1:0"),
    ]);
    let (server, sandbox) = ("127.0.0.1:5001", "127.0.0.1:5002");
    config.name_ports(server.parse().unwrap(), sandbox.parse().ok());
    assert_eq!(config.public_url.as_str(), "http://localhost:5001/");
    assert_eq!(config.stripe.api_base.as_str(), "http://127.0.0.1:5002/");
    assert_eq!(
        config.stripe.js_url.as_str(),
        "http://127.0.0.1:5002/stripe.js"
    );
    assert_eq!(config.stripe.verify_origins, ["http://127.0.0.1:5002"]);

    let mut config = serve(&[]);
    config.name_ports(server.parse().unwrap(), None);
    assert_eq!(config.public_url.as_str(), "https://verify.example.com/");
}

fn secret_is_taken(config: &Config) -> bool {
    let given = [
        (
            "STRIPE_SECRET_KEY",
            config.stripe.secret_key.expose_secret(),
        ),
        (
            "STRIPE_PUBLISHABLE_KEY",
            config.stripe.publishable_key.as_str(),
        ),
        (
            "STRIPE_WEBHOOK_SECRET",
            config.stripe.webhook_secrets[0].expose_secret(),
        ),
    ];
    read(Mode::Dev, &only(&given)).is_ok()
}
