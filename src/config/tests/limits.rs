//! The limits that guard money, and whose word counts for where people are.

use super::*;

const LIMITS: [&str; 6] = [
    "ATTEMPTS_PER_DAY",
    "ATTEMPTS_IN_TOTAL",
    "CREATIONS_PER_USER_PER_HOUR",
    "CREATIONS_PER_ADDRESS_PER_HOUR",
    "BUDGET_CHECKS_PER_DAY",
    "BUDGET_CHECKS_PER_MONTH",
];
const MONEY: [&str; 3] = [
    "BUDGET_MONEY_PER_DAY",
    "BUDGET_MONEY_PER_MONTH",
    "CHECK_PRICE",
];

#[test]
fn production_limits_people_by_itself_and_development_does_not() {
    let limits = serve(&[]).limits;
    assert_eq!(limits.attempts_per_day, Some(5));
    assert_eq!(limits.attempts_in_total, Some(10));
    assert_eq!(limits.creations_per_user_per_hour, Some(10));
    assert_eq!(limits.creations_per_address_per_hour, Some(60));
    assert_eq!(limits.checks_per_day, None);
    assert_eq!(limits.money_per_month, None);
    assert_eq!(limits.check_price, 150);
    assert!(limits.trusted_proxies.is_empty());

    let free = dev(&[]).limits;
    assert_eq!(free.attempts_per_day, None);
    assert_eq!(free.creations_per_address_per_hour, None);
    let asked = dev(&[("ATTEMPTS_PER_DAY", "2")]).limits;
    assert_eq!(asked.attempts_per_day, Some(2));
}

#[test]
fn no_limit_is_asked_for_by_name() {
    let limits = serve(&[
        ("ATTEMPTS_PER_DAY", "none"),
        ("BUDGET_CHECKS_PER_DAY", "none"),
        ("BUDGET_MONEY_PER_DAY", "none"),
    ])
    .limits;
    assert_eq!(limits.attempts_per_day, None);
    assert_eq!(limits.checks_per_day, None);
    assert_eq!(limits.money_per_day, None);
    for name in LIMITS {
        for wrong in [
            "0",
            "-1",
            "+5",
            "five",
            "1.5",
            "1000000001",
            "99999999999999999999",
            "None",
        ] {
            serve_refuses(name, wrong);
            dev_refuses(name, wrong);
        }
    }
}

#[test]
fn money_is_hundredths_and_never_a_float() {
    for (text, hundredths) in [
        ("1.50", 150),
        ("1.5", 150),
        ("2", 200),
        ("0.01", 1),
        ("0.1", 10),
        // As a float this would be 28.999999999999996 hundredths.
        ("0.29", 29),
        ("1000000000", 100_000_000_000),
    ] {
        let limits = serve(&[("CHECK_PRICE", text), ("BUDGET_MONEY_PER_MONTH", text)]).limits;
        assert_eq!(limits.check_price, hundredths, "{text}");
        assert_eq!(limits.money_per_month, Some(hundredths), "{text}");
    }
    for name in MONEY {
        for wrong in [
            "0",
            "0.00",
            "1.505",
            "1,50",
            "-1",
            "+1",
            ".5",
            "1.",
            "1e3",
            "1.-5",
            "$1.50",
            "1 000",
            "NaN",
            "inf",
            "1000000001",
            "1.5.0",
        ] {
            serve_refuses(name, wrong);
        }
    }
    serve_refuses("CHECK_PRICE", "none");
}

#[test]
fn proxies_are_networks_and_never_everybody() {
    let limits = serve(&[("TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,192.0.2.7")]).limits;
    let shown: Vec<_> = limits
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]);
    for wrong in [
        "proxy.internal",
        "10.0.0.0/33",
        "10.0.0.0/8;1.2.3.4",
        "10.0.0.0/8,",
        "0.0.0.0/0",
        "::/0",
        "*",
    ] {
        serve_refuses("TRUSTED_PROXIES", wrong);
    }
}
