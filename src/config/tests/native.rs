//! Phones' apps.

use super::*;

#[test]
fn apps_are_served_in_development_and_in_production_when_asked() {
    assert!(dev(&[]).native.on);
    assert!(!dev(&[("NATIVE", "off")]).native.on);
    assert!(!serve(&[]).native.on);
    assert!(serve(&[("NATIVE", "on")]).native.on);
    serve_refuses("NATIVE", "yes");
}

#[test]
fn a_link_opens_an_app_or_is_refused() {
    let links = "myapp://verified, https://example.com/app,com.example.app://x";
    let links = serve(&[("APP_LINKS", links)]).native.links;
    assert_eq!(
        links,
        [
            "myapp://verified",
            "https://example.com/app",
            "com.example.app://x"
        ]
    );
    for wrong in [
        "myapp",
        "myapp:x",
        "http://example.com/",
        "https://me@example.com/",
        "https://",
        "javascript://x%0aalert(1)",
        "JavaScript://x",
        "data://x",
        "myapp://a b",
        "myapp://a,,https://example.com",
        "//example.com",
        "myapp://a\u{2028}b",
    ] {
        let advice = serve_refuses("APP_LINKS", wrong);
        assert!(!advice.is_empty(), "{wrong}");
    }
}
