//! Form encoding, as Stripe reads it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use url::form_urlencoded::parse;

use crate::stripe::{
    CreateSession, Created, DocumentOptions, DocumentType, ListEvents, ListSessions, Page,
    ProvidedDetails, SessionStatus, SessionType, UpdateSession,
    form::{Form, Value},
};

fn pairs(form: &Form) -> Vec<String> {
    let encoded = form.encode();
    parse(encoded.as_bytes())
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn nested_members_and_arrays_become_brackets() {
    let person = |name: &str| {
        Form::default()
            .with("name", name)
            .with("tags", ["x"].into_iter().collect::<Value>())
    };
    let form = Form::default()
        .with("text", "a b&c=d[é]")
        .with("yes", true)
        .with("no", false)
        .with("number", -5)
        .with("unset", "")
        .with_some("absent", None::<&str>)
        .with("list", ["a", "b"].into_iter().collect::<Value>())
        .with(
            "people",
            [person("A"), person("B")].into_iter().collect::<Value>(),
        )
        .with(
            "deep",
            Form::default().with("er", Form::default().with("still", "here")),
        );
    assert_eq!(
        pairs(&form),
        [
            "text=a b&c=d[é]",
            "yes=true",
            "no=false",
            "number=-5",
            "unset=",
            "list[]=a",
            "list[]=b",
            "people[0][name]=A",
            "people[0][tags][]=x",
            "people[1][name]=B",
            "people[1][tags][]=x",
            "deep[er][still]=here",
        ]
    );
}

#[test]
fn the_encoding_uses_only_characters_of_a_form() {
    let encoded = Form::default().with("a[b]", "ü &=+%\n\"").encode();
    assert_eq!(encoded, "a%5Bb%5D=%C3%BC+%26%3D%2B%25%0A%22");
    assert_eq!(Form::default().encode(), "");
}

#[test]
fn a_session_is_created_with_stripes_parameters() {
    let create = CreateSession {
        type_: Some(SessionType::Document),
        document: DocumentOptions {
            allowed_types: vec![
                DocumentType::Passport,
                DocumentType::IdCard,
                DocumentType::DrivingLicense,
            ],
            require_id_number: Some(false),
            require_live_capture: None,
            require_matching_selfie: Some(true),
        },
        provided_details: ProvidedDetails {
            email: Some("user+1@example.com".into()),
            phone: None,
        },
        return_url: Some("https://app.example/submitted?s=1".into()),
        client_reference_id: Some("0198c0de".into()),
        metadata: BTreeMap::from([("verigate_attempt".into(), "0198c0de".into())]),
        ..CreateSession::default()
    };
    assert_eq!(
        pairs(&create.form()),
        [
            "type=document",
            "options[document][allowed_types][]=passport",
            "options[document][allowed_types][]=id_card",
            "options[document][allowed_types][]=driving_license",
            "options[document][require_id_number]=false",
            "options[document][require_matching_selfie]=true",
            "provided_details[email]=user+1@example.com",
            "return_url=https://app.example/submitted?s=1",
            "client_reference_id=0198c0de",
            "metadata[verigate_attempt]=0198c0de",
        ]
    );
}

#[test]
fn a_flow_replaces_type_and_options() {
    let create = CreateSession {
        type_: Some(SessionType::IdNumber),
        verification_flow: Some("vf_1".into()),
        document: DocumentOptions {
            require_matching_selfie: Some(true),
            ..DocumentOptions::default()
        },
        ..CreateSession::default()
    };
    assert_eq!(pairs(&create.form()), ["verification_flow=vf_1"]);
}

#[test]
fn nothing_given_is_nothing_sent() {
    assert_eq!(CreateSession::default().form().encode(), "");
    assert_eq!(UpdateSession::default().form().encode(), "");
    assert_eq!(ListSessions::default().form().encode(), "");
    assert_eq!(ListEvents::default().form().encode(), "");
}

#[test]
fn an_update_may_delete_a_metadata_key() {
    let update = UpdateSession {
        type_: Some(SessionType::IdNumber),
        metadata: BTreeMap::from([("old".into(), String::new())]),
        ..UpdateSession::default()
    };
    assert_eq!(pairs(&update.form()), ["type=id_number", "metadata[old]="]);
}

#[test]
fn lists_are_filtered_and_paged() {
    let page = Page {
        limit: Some(100),
        starting_after: Some("vs_9".into()),
    };
    let created = Created {
        gte: Some(5),
        lt: Some(9),
        ..Created::default()
    };
    let sessions = ListSessions {
        status: Some(SessionStatus::Verified),
        client_reference_id: Some("a".into()),
        created,
        page,
    };
    assert_eq!(
        pairs(&sessions.form()),
        [
            "status=verified",
            "client_reference_id=a",
            "created[gte]=5",
            "created[lt]=9",
            "limit=100",
            "starting_after=vs_9"
        ]
    );
}

#[test]
fn a_list_of_events_has_filters_of_its_own() {
    let events = ListEvents {
        types: vec!["a.b".into(), "c.d".into()],
        created: Created {
            gt: Some(1),
            lte: Some(2),
            ..Created::default()
        },
        page: Page {
            starting_after: Some("evt_1".into()),
            ..Page::default()
        },
    };
    assert_eq!(
        pairs(&events.form()),
        [
            "types[]=a.b",
            "types[]=c.d",
            "created[gt]=1",
            "created[lte]=2",
            "starting_after=evt_1"
        ]
    );
}

#[test]
fn frozen_parameters_come_back_the_same() {
    let create = CreateSession {
        type_: Some(SessionType::Document),
        document: DocumentOptions {
            allowed_types: vec![DocumentType::Passport],
            ..DocumentOptions::default()
        },
        metadata: BTreeMap::from([("k".into(), "v".into())]),
        ..CreateSession::default()
    };
    let frozen = serde_json::to_value(&create).unwrap();
    assert_eq!(frozen["type"], "document");
    assert_eq!(frozen["document"]["allowed_types"][0], "passport");
    assert_eq!(
        serde_json::from_value::<CreateSession>(frozen).unwrap(),
        create
    );
    assert_eq!(
        serde_json::from_str::<CreateSession>("{}").unwrap(),
        CreateSession::default()
    );
}

proptest! {
    #[test]
    fn any_text_arrives_as_it_was(name in "[a-z]{1,8}", key in ".{0,8}", value in any::<String>()) {
        let map = BTreeMap::from([(key.clone(), value.clone())]);
        let encoded = Form::default().with(&name, &map).encode();
        prop_assert!(encoded.is_ascii());
        let decoded: Vec<_> = parse(encoded.as_bytes()).collect();
        prop_assert_eq!(decoded, [(format!("{name}[{key}]").into(), value.into())]);
    }
}
