//! What a policy may ask for, and everything that is wrong with one at once.

use std::fs;

use super::*;
use crate::config::{Check, CheckType, DocumentOptions, DocumentType, Policies};

const GOOD: &str = r#"{
  "age": {"type": "document", "default": true, "description": "Over eighteen"},
  "rent": {
    "type": "document",
    "options": {"document": {"allowed_types": ["passport", "id_card"], "require_matching_selfie": true, "require_live_capture": false}},
    "satisfies": ["age"]
  },
  "bank": {"verification_flow": "vf_1abc", "satisfies": ["rent"]},
  "number": {"type": "id_number", "satisfied_by": ["bank"]}
}"#;

fn policies(text: &str) -> Policies {
    serve(&[("POLICIES", text)]).policies
}

fn satisfied_by(policies: &Policies, name: &str) -> String {
    let all = &policies.find(name).unwrap().satisfied_by;
    all.iter().cloned().collect::<Vec<_>>().join(" ")
}

#[test]
fn without_the_setting_a_document_is_asked_for() {
    let plain = Check::Of {
        kind: CheckType::Document,
        document: DocumentOptions::default(),
    };
    let policies = serve(&[]).policies;
    assert_eq!(policies.default_name(), "default");
    assert_eq!(policies.iter().count(), 1);
    assert_eq!(policies.find("default").unwrap().check, plain);
    let policies = dev(&[]).policies;
    assert_eq!(policies.find(policies.default_name()).unwrap().check, plain);
    assert_eq!(satisfied_by(&policies, "default"), "default selfie");
    assert_eq!(satisfied_by(&policies, "selfie"), "selfie");
}

#[test]
fn a_policy_says_what_is_asked_for_and_what_satisfies_it() {
    let policies = policies(GOOD);
    assert_eq!(policies.default_name(), "age");
    let rent = Check::Of {
        kind: CheckType::Document,
        document: DocumentOptions {
            allowed_types: vec![DocumentType::Passport, DocumentType::IdCard],
            require_id_number: None,
            require_live_capture: Some(false),
            require_matching_selfie: Some(true),
        },
    };
    assert_eq!(policies.find("rent").unwrap().check, rent);
    let bank = Check::Flow("vf_1abc".to_owned());
    assert_eq!(policies.find("bank").unwrap().check, bank);
    assert_eq!(policies.find("nothing"), None);
    // What satisfies the one that satisfies it does, too.
    assert_eq!(satisfied_by(&policies, "age"), "age bank rent");
    assert_eq!(satisfied_by(&policies, "rent"), "bank rent");
    assert_eq!(satisfied_by(&policies, "bank"), "bank");
    assert_eq!(satisfied_by(&policies, "number"), "bank number");
}

#[test]
fn two_policies_may_satisfy_each_other() {
    let both = r#"{"a": {"type": "document", "satisfies": ["b"], "satisfied_by": ["b"], "default": true}, "b": {"type": "document"}}"#;
    let policies = policies(both);
    assert_eq!(satisfied_by(&policies, "a"), "a b");
    assert_eq!(satisfied_by(&policies, "b"), "a b");
}

#[test]
fn the_only_policy_is_the_default_whatever_its_name() {
    let only = policies(r#"{"kyc": {"type": "id_number"}}"#);
    assert_eq!(only.default_name(), "kyc");
}

#[test]
fn policies_may_come_from_a_file_of_several_lines() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), GOOD).unwrap();
    let path = file.path().to_str().unwrap();
    let read = serve(&[("POLICIES_FILE", path)]).policies;
    assert_eq!(read, policies(GOOD));
    let both = good_but(&[("POLICIES_FILE", path), ("POLICIES", GOOD)]);
    let advice = refused(super::read(Mode::Serve, &both), "POLICIES");
    assert!(advice.contains("both set"), "{advice}");
}

#[rustfmt::skip]
const WRONG: [(&str, &str); 22] = [
    ("[]", "not a JSON object"),
    (r#"{"a": {"type": "document"}} more"#, "not a JSON object"),
    ("{}", "no default"),
    (r#"{"a": {"type": "document"}, "b": {"type": "document"}}"#, "no default"),
    (r#"{"a": {"type": "document", "default": true}, "b": {"type": "document", "default": true}}"#, "no default"),
    (r#"{"a": {"type": "document"}, "a": {"type": "id_number"}}"#, "policy a is there twice"),
    (r#"{"A b": {"type": "document"}}"#, "a name that is none"),
    (r#"{"a": []}"#, "policy a is not an object"),
    (r#"{"a": {}}"#, "neither a type nor a verification_flow"),
    (r#"{"a": {"type": "passport"}}"#, "neither document nor id_number"),
    (r#"{"a": {"type": "document", "require_matching_selfie": true}}"#, "a member that is not known"),
    (r#"{"a": {"type": "document", "and": true}}"#, "a member that is not known"),
    (r#"{"a": {"type": "document", "default": 1}}"#, "a default that is neither true nor false"),
    (r#"{"a": {"type": "document", "options": {"selfie": {}}}}"#, "options that are not"),
    (r#"{"a": {"type": "document", "options": {"document": {"selfie": true}}}}"#, "an option of documents that is not known"),
    (r#"{"a": {"type": "document", "options": {"document": {"allowed_types": []}}}}"#, "allowed_types"),
    (r#"{"a": {"type": "document", "options": {"document": {"allowed_types": ["visa"]}}}}"#, "allowed_types"),
    (r#"{"a": {"type": "document", "options": {"document": {"require_id_number": "yes"}}}}"#, "a require_id_number that is neither"),
    (r#"{"a": {"type": "id_number", "options": {"document": {}}}}"#, "the type id_number"),
    (r#"{"a": {"verification_flow": "vf_1", "type": "document"}}"#, "neither type nor options"),
    (r#"{"a": {"verification_flow": "1"}}"#, "not vf_ and an id"),
    (r#"{"a": {"type": "document", "satisfies": ["b"]}}"#, "a policy that is not there"),
];

#[test]
fn what_is_wrong_with_a_policy_is_said() {
    for (text, expected) in WRONG {
        let advice = serve_refuses("POLICIES", text);
        assert!(advice.contains(expected), "{text}: {advice}");
    }
}

#[test]
fn everything_wrong_with_the_policies_is_said_at_once() {
    let text = r#"{"a": {"type": "x", "more": 1, "satisfies": "b", "default": true},
        "b": {"verification_flow": "vf", "options": 1, "satisfied_by": ["c"]}, "C": 1}"#;
    let advice = serve_refuses("POLICIES", text);
    for expected in [
        "policy a has a type that",
        "policy a has a member",
        "policy a has a satisfies that is no list",
        "policy b has a verification_flow, which",
        "policy b has a verification_flow that",
        "policy b has options that",
        "policy b satisfies, or is satisfied by",
        "a name that is none",
    ] {
        assert!(advice.contains(expected), "{expected}: {advice}");
    }
}
