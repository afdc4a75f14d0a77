//! Tricks that lead people elsewhere, none of which passes, beside what honest applications write.

use super::*;

/// What the operator allowed in all of these.
const RULES: [&str; 4] = [
    "https://app.example",
    "https://app.example:8443",
    "http://localhost:3000",
    "myapp://",
];

fn rules() -> Vec<ReturnRule> {
    RULES
        .iter()
        .map(|rule| ReturnRule::parse(rule, false).unwrap())
        .collect()
}

fn parse(text: &str) -> Result<ReturnAddress, ReturnAddressError> {
    ReturnAddress::parse(text, &rules())
}

const HONEST: [&str; 14] = [
    "https://app.example",
    "https://app.example/",
    "https://app.example/account/identity?done=1&from=verify#result",
    "https://app.example?done=1",
    "https://app.example#/spa/route",
    "https://app.example/a%20b/%C3%A9",
    "https://app.example/@ada",
    "https://app.example/back?to=https://app.example/",
    "https://app.example:8443/x",
    "http://localhost:3000",
    "http://localhost:3000/after?x=1",
    "myapp://",
    "myapp://verified",
    "myapp://verified/ada?x=1#y",
];

#[test]
fn what_the_rules_name_is_taken_as_it_is() {
    for address in HONEST {
        assert_eq!(parse(address).unwrap().as_str(), address);
    }
}

/// Each is refused though the application's own origins and scheme are allowed.
const TRICKS: [&str; 110] = [
    // Another host.
    "https://evil.example",
    "https://evil.example/https://app.example",
    "https://evil.example?https://app.example",
    "https://evil.example#https://app.example",
    // The allowed one as a part of another.
    "https://app.example.evil.example/",
    "https://app.example.evil.example",
    "https://evil-app.example/",
    "https://evilapp.example/",
    "https://app.examples/",
    "https://app.exampl/",
    "https://sub.app.example/",
    "https://app.example-evil.example/",
    "https://app.exampleevil/",
    // A user's name where a host is looked for.
    "https://app.example@evil.example/",
    "https://app.example:443@evil.example/",
    "https://app.example:8443@evil.example/",
    "https://app.example%40evil.example/",
    "https://app.example%2f@evil.example/",
    "https://app.example%2F%2F@evil.example/",
    "https://user@app.example/",
    "https://user:password@app.example/",
    "https://:@app.example/",
    "https://@app.example/",
    "https://evil.example@app.example/",
    "http://localhost:3000@evil.example/",
    // Slashes that some take for others.
    "//evil.example",
    "//app.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "https:\\\\evil.example",
    "https:\\\\app.example\\",
    "https://app.example\\@evil.example/",
    "https://app.example\\.evil.example/",
    "https://evil.example\\@app.example/",
    "https:/evil.example",
    "https:evil.example",
    "https:app.example",
    "https:/app.example",
    "https:///app.example",
    "https:////evil.example",
    "https://app.example%2fevil.example",
    "https://app.example%5cevil.example",
    "https://app.example%00.evil.example/",
    "https://app.example%23.evil.example/",
    "https://app.example%3f.evil.example/",
    "https://app.example;evil.example/",
    "https://app.example&evil.example/",
    "https://app.example,evil.example/",
    // No address of its own.
    "",
    "/",
    "/verified",
    "verified",
    "?next=https://evil.example",
    "#https://evil.example",
    "..//evil.example",
    "app.example",
    "app.example/verified",
    "://evil.example",
    // What a browser skips and another reader does not.
    " https://app.example/",
    "https://app.example/ ",
    "\thttps://app.example/",
    "ht\ntps://app.example/",
    "https://app.example\n.evil.example/",
    "https://app.example/\r\nLocation: https://evil.example",
    "https://\tevil.example/",
    "/\t/evil.example",
    "https://app.example/\0",
    "\0https://app.example/",
    "https://app.example\u{a0}/",
    "\u{feff}https://app.example/",
    "https://app.example/\u{7f}",
    // Letters and dots that only look the same.
    "https://аpp.example/",
    "https://app.exаmple/",
    "https://app。example/",
    "https://app．example/",
    "https://app｡example/",
    "https://ａpp.example/",
    "https://app.example／evil",
    "https://evil.example℀.app.example/",
    "https://xn--pp-6kc.example/",
    "https://app.example\u{202e}/",
    "https://app.exam\u{ad}ple/",
    // The same host by another name, port, scheme or dot.
    "https://app.example./",
    "https://APP.example/",
    "HTTPS://app.example/",
    "Https://app.example/",
    "http://app.example/",
    "https://app.example:443/",
    "https://app.example:80/",
    "https://app.example:84430/",
    "https://app.example:08443/",
    "https://app.example:/",
    "http://localhost/",
    "http://localhost:30000/",
    "https://localhost:3000/",
    // Addresses as numbers.
    "http://127.0.0.1:3000/",
    "http://[::1]:3000/",
    "http://[::ffff:127.0.0.1]:3000/",
    "http://2130706433:3000/",
    "http://0x7f.1:3000/",
    // Other schemes.
    "javascript:alert(1)//https://app.example/",
    "javascript://app.example/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "intent://app.example/#Intent;scheme=https;package=evil;end",
    "view-source:https://app.example/",
    "blob:https://app.example/1",
    "file:///app.example/",
];

#[test]
fn no_trick_leads_elsewhere() {
    for trick in TRICKS {
        assert!(parse(trick).is_err(), "{trick:?} passes");
    }
    let mut different = TRICKS.to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), TRICKS.len(), "each is there once");
}

#[test]
fn no_trick_with_an_apps_scheme_leads_elsewhere() {
    for trick in [
        "myapp:",
        "myapp:/verified",
        "myapp:verified",
        "MyApp://verified",
        "myapp2://verified",
        "evilmyapp://verified",
        "evil.myapp://verified",
        "myapp+evil://verified",
        "myapp\t://verified",
        "myapp://\\evil",
        "myapp://verified here",
        "myapp://verified\"onclick",
        "myapp://<script>",
        "myapp:///\u{2028}",
        "web+myapp://verified",
    ] {
        assert!(parse(trick).is_err(), "{trick:?} passes");
    }
}

#[test]
fn with_no_rule_nobody_is_sent_anywhere() {
    for address in HONEST {
        let refused = ReturnAddress::parse(address, &[]);
        assert_eq!(refused, Err(ReturnAddressError::NotAllowed), "{address}");
    }
}

#[test]
fn an_address_without_end_is_refused() {
    let long = |length: usize| format!("https://app.example/{}", "a".repeat(length - 20));
    assert!(parse(&long(LONGEST)).is_ok());
    assert_eq!(parse(&long(LONGEST + 1)), Err(ReturnAddressError::Unplain));
}

#[test]
fn a_rule_is_one_origin_or_one_scheme_and_is_written_in_one_way() {
    for fine in [
        "https://app.example",
        "https://xn--pp-6kc.example",
        "https://app.example:8443",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        "com.example.app://",
        "my-app2://",
    ] {
        assert_eq!(ReturnRule::parse(fine, true).unwrap().to_string(), fine);
    }
    for wrong in [
        "",
        "app.example",
        "https://app.example/",
        "https://app.example/path",
        "https://app.example?x",
        "https://app.example#x",
        "https://app.example:443",
        "https://user@app.example",
        "https://APP.example",
        "https://*.app.example",
        "https://*",
        "*",
        "https://аpp.example",
        "https://app.example ",
        "https://0x7f.1",
        "myapp:",
        "myapp:/",
        "myapp://host",
        "MyApp://",
        "m://",
        "2app://",
        "*://",
        "my app://",
        "://",
    ] {
        assert_eq!(
            ReturnRule::parse(wrong, true),
            Err(ReturnRuleError::Unreadable),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_scheme_that_every_browser_or_phone_knows_is_no_apps() {
    for scheme in NOT_AN_APPS {
        let rule = format!("{scheme}://");
        let refused = ReturnRule::parse(&rule, false);
        assert_eq!(refused, Err(ReturnRuleError::NotAnApps), "{scheme}");
    }
    let refused = ReturnRule::parse("ftp://app.example", false);
    assert_eq!(refused, Err(ReturnRuleError::NotAnApps));
}

#[test]
fn without_https_only_a_test_key_leads_and_only_to_this_machine() {
    for local in [
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
    ] {
        assert!(ReturnRule::parse(local, false).is_ok(), "{local}");
        let live = ReturnRule::parse(local, true);
        assert_eq!(live, Err(ReturnRuleError::Insecure), "{local}");
    }
    for elsewhere in [
        "http://app.example",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "http://[::2]",
    ] {
        let refused = ReturnRule::parse(elsewhere, false);
        assert_eq!(refused, Err(ReturnRuleError::Insecure), "{elsewhere}");
    }
}
