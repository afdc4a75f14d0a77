//! Keys, signing secrets and addresses of Stripe.

use super::*;

#[test]
fn live_and_test_keys_do_not_mix() {
    for (secret, publishable) in [
        ("sk_live_abc", "pk_test_abc"),
        ("rk_live_abc", "pk_test_abc"),
        ("sk_test_abc", "pk_live_abc"),
        ("rk_test_abc", "pk_live_abc"),
    ] {
        let keys = [
            ("STRIPE_SECRET_KEY", secret),
            ("STRIPE_PUBLISHABLE_KEY", publishable),
        ];
        let advice = refused(
            read(Mode::Serve, &good_but(&keys)),
            "STRIPE_PUBLISHABLE_KEY",
        );
        assert!(advice.contains("both be live or both be test"), "{advice}");
    }
    for (secret, publishable, livemode) in [
        ("rk_live_abc", "pk_live_abc", true),
        ("rk_test_abc", "pk_test_abc", false),
        ("sk_test_abc", "pk_test_abc", false),
    ] {
        let keys = [
            ("STRIPE_SECRET_KEY", secret),
            ("STRIPE_PUBLISHABLE_KEY", publishable),
        ];
        assert_eq!(serve(&keys).stripe.livemode, livemode);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    for not_a_key in [
        "sk_live_",
        "sk_live",
        "live",
        "sk_prod_abc",
        "pk_live_abc",
        "sk_live_a b",
        "SK_LIVE_abc",
    ] {
        serve_refuses("STRIPE_SECRET_KEY", not_a_key);
    }
    for not_a_key in ["pk_live_", "pk_prod_abc", "abc"] {
        serve_refuses("STRIPE_PUBLISHABLE_KEY", not_a_key);
    }
    let advice = serve_refuses("STRIPE_PUBLISHABLE_KEY", "sk_live_abc");
    assert!(
        advice.contains("secret key, which every visitor would be shown"),
        "{advice}"
    );
}

#[test]
fn an_empty_webhook_secret_is_refused_alone_and_among_several() {
    for empty in [
        "",
        "  ",
        ",",
        "whsec_a,",
        ",whsec_a",
        "whsec_a,,whsec_b",
        "whsec_a, ,whsec_b",
    ] {
        let advice = serve_refuses("STRIPE_WEBHOOK_SECRET", empty);
        assert!(advice.contains("empty"), "{advice}");
        dev_refuses("STRIPE_WEBHOOK_SECRET", empty);
    }
    for wrong in ["whsec_", "sk_live_abc", "whsec_a,b"] {
        serve_refuses("STRIPE_WEBHOOK_SECRET", wrong);
    }
    let two = serve(&[("STRIPE_WEBHOOK_SECRET", "whsec_old, whsec_new")]);
    let two: Vec<_> = two
        .stripe
        .webhook_secrets
        .iter()
        .map(ExposeSecret::expose_secret)
        .collect();
    assert_eq!(two, ["whsec_old", "whsec_new"]);
}

#[test]
fn another_stripe_is_taken_only_on_this_machine_and_with_test_keys() {
    let cases = [
        (
            "STRIPE_API_BASE",
            "http://127.0.0.1:12111",
            "https://stripe.example.com",
        ),
        (
            "STRIPE_JS_URL",
            "http://localhost:12111/stripe.js",
            "https://cdn.example.com/stripe.js",
        ),
        (
            "STRIPE_VERIFY_ORIGINS",
            "http://[::1]:12111",
            "https://verify.stripe.com.example.com",
        ),
    ];
    for (name, local, foreign) in cases {
        serve(&test_keys_and(name, local));
        let advice = serve_refuses(name, local);
        assert!(advice.contains("the keys are live"), "{advice}");
        serve_refuses(name, foreign);
        refused(
            read(Mode::Serve, &good_but(&test_keys_and(name, foreign))),
            name,
        );
    }
    serve_refuses("STRIPE_API_BASE", "http://api.stripe.com");
    serve_refuses("STRIPE_API_BASE", "https://api.stripe.com/v1");
    serve_refuses("STRIPE_JS_URL", "http://js.stripe.com/dahlia/stripe.js");
    serve_refuses("STRIPE_VERIFY_ORIGINS", "https://verify.stripe.com,");

    let named = serve(&[
        ("STRIPE_API_BASE", "https://api.stripe.com"),
        ("STRIPE_JS_URL", "https://js.stripe.com/clover/stripe.js"),
        (
            "STRIPE_VERIFY_ORIGINS",
            "https://verify.stripe.com, https://id.stripe.com",
        ),
    ]);
    assert_eq!(
        named.stripe.verify_origins,
        ["https://verify.stripe.com", "https://id.stripe.com"]
    );
}

#[test]
fn script_and_pages_come_from_where_the_api_is() {
    let config = serve(&test_keys_and("STRIPE_API_BASE", "http://127.0.0.1:5000"));
    assert_eq!(
        config.stripe.js_url.as_str(),
        "http://127.0.0.1:5000/stripe.js"
    );
    assert_eq!(config.stripe.verify_origins, ["http://127.0.0.1:5000"]);
    assert!(!config.stripe.is_sandbox, "production never runs one");
}

#[test]
fn the_tolerance_is_never_zero_or_endless() {
    for wrong in ["0", "-1", "5m", "86401", "18446744073709551616"] {
        serve_refuses("STRIPE_WEBHOOK_TOLERANCE", wrong);
    }
    let config = serve(&[("STRIPE_WEBHOOK_TOLERANCE", "1")]);
    assert_eq!(config.stripe.webhook_tolerance_seconds, 1);
}

#[test]
fn the_rate_of_calls_is_never_zero_or_endless() {
    for wrong in ["0", "-1", "2.5", "1001", "4294967297"] {
        serve_refuses("STRIPE_CALLS_PER_SECOND", wrong);
    }
    assert_eq!(serve(&[]).stripe.calls_per_second, 20);
    let config = serve(&[("STRIPE_CALLS_PER_SECOND", "100")]);
    assert_eq!(config.stripe.calls_per_second, 100);
}
