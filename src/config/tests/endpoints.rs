//! Who is told.

use super::*;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn one(url: &str) -> String {
    format!(r#"{{"shop": {{"url": "{url}", "secrets": ["{SECRET}"]}}}}"#)
}

#[test]
fn nobody_is_told_unless_endpoints_are_named() {
    for config in [serve(&[]), dev(&[])] {
        assert!(config.endpoints.all.is_empty());
        assert!(config.endpoints.allowed_networks.is_empty());
    }
}

#[test]
fn an_endpoint_hears_of_everything_or_of_what_it_asks_for() {
    let all = serve(&[(
        "WEBHOOK_ENDPOINTS",
        &one("https://shop.example.com/hooks?v=1"),
    )])
    .endpoints
    .all;
    assert_eq!(all[0].name, "shop");
    assert_eq!(all[0].events, EVENTS);
    let some = format!(
        r#"{{"shop": {{"url": "https://a.example", "secrets": ["{SECRET}", "{SECRET}"], "events": ["user.status_changed"]}}}}"#
    );
    let some = serve(&[("WEBHOOK_ENDPOINTS", &some)]).endpoints.all;
    assert_eq!(some[0].events, ["user.status_changed"]);
    assert_eq!(some[0].secrets.len(), 2);
}

#[test]
fn plain_http_is_for_addresses_of_networks_that_are_allowed() {
    let networks = ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8, ::1");
    for fine in [
        "http://10.1.2.3:8080/x",
        "http://[::1]/",
        "https://10.1.2.3/",
        "https://host/",
    ] {
        let all = serve(&[networks, ("WEBHOOK_ENDPOINTS", &one(fine))])
            .endpoints
            .all;
        assert_eq!(all.len(), 1, "{fine}");
    }
    for wrong in ["http://10.1.2.3/", "http://shop.example.com/"] {
        serve_refuses("WEBHOOK_ENDPOINTS", &one(wrong));
    }
    serve_refuses("WEBHOOK_ALLOWED_NETWORKS", "everywhere");
}

#[test]
fn what_cannot_be_an_endpoint_is_refused_without_being_repeated() {
    let wrong = [
        "shop".to_owned(),
        "[]".to_owned(),
        one("shop.example.com"),
        one("ftp://shop.example.com/"),
        one("https://me:hunter2@shop.example.com/"),
        one("https://shop.example.com/#x"),
        one("https://a.example").replace("shop", "My Shop"),
        one("https://a.example").replace("shop", "mail"),
        one("https://a.example").replace("whsec_", "sk_"),
        one("https://a.example").replace(SECRET, "whsec_MDEyMzQ1Njc4OTAx"),
        one("https://a.example").replace(SECRET, "whsec_short"),
        r#"{"shop": {"url": "https://a.example", "secrets": []}}"#.to_owned(),
        one("https://a.example").replace("\"]", "\"], \"events\": []"),
        one("https://a.example").replace("\"]", "\"], \"events\": [\"user.deleted\"]"),
        one("https://a.example").replace("\"]", "\"], \"event\": []"),
    ];
    for text in wrong {
        let advice = serve_refuses("WEBHOOK_ENDPOINTS", &text);
        assert!(
            !advice.contains("hunter2") && !advice.contains("MDEy"),
            "{advice}"
        );
    }
}
