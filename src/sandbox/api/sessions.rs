//! The routes of `/v1/identity/verification_sessions`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Call,
    paging::{AFTER, BEFORE, LIMIT, equals, in_range, page},
};
use crate::sandbox::{
    events::Cause,
    expand::{self, Expand},
    life::Stuck,
    refusal::Refusal,
    session::{Session, Status},
    shape::{EXPAND, Field, Shape, TEXT, may, must, read},
    world::World,
};

const URL: &str = "/v1/identity/verification_sessions";
const NOUN: &str = "verificationsession";

const KIND: Shape = Shape::Choice(&["document", "id_number"]);
static DOCUMENT: [Field; 4] = [
    may(
        "allowed_types",
        Shape::List(&Shape::Choice(&["driving_license", "id_card", "passport"])),
    ),
    may("require_id_number", Shape::Flag),
    may("require_live_capture", Shape::Flag),
    may("require_matching_selfie", Shape::Flag),
];
static OPTIONS: [Field; 1] = [may(
    "document",
    Shape::Unsettable(&Shape::Fields(&DOCUMENT)),
)];
static DETAILS: [Field; 2] = [
    may("email", Shape::Unsettable(&TEXT)),
    may("phone", Shape::Unsettable(&TEXT)),
];
static PERSON: [Field; 2] = [must("account", TEXT), must("person", TEXT)];
static CREATE: [Field; 11] = [
    EXPAND,
    may("type", KIND),
    may("verification_flow", TEXT),
    may("options", Shape::Fields(&OPTIONS)),
    may("provided_details", Shape::Fields(&DETAILS)),
    may("metadata", Shape::Metadata),
    may("client_reference_id", TEXT),
    may("return_url", TEXT),
    may("related_customer", TEXT),
    may("related_customer_account", TEXT),
    may("related_person", Shape::Fields(&PERSON)),
];
static UPDATE: [Field; 5] = [
    EXPAND,
    may("type", KIND),
    may("options", Shape::Fields(&OPTIONS)),
    may("provided_details", Shape::Fields(&DETAILS)),
    may("metadata", Shape::Metadata),
];
static LIST: [Field; 9] = [
    EXPAND,
    LIMIT,
    AFTER,
    BEFORE,
    may("created", Shape::Range),
    may("client_reference_id", TEXT),
    may("related_customer", TEXT),
    may("related_customer_account", TEXT),
    may(
        "status",
        Shape::Choice(&["canceled", "processing", "requires_input", "verified"]),
    ),
];
static ONLY_EXPAND: [Field; 1] = [EXPAND];

#[derive(Deserialize)]
struct Create {
    #[serde(rename = "type")]
    kind: Option<String>,
    verification_flow: Option<String>,
    #[serde(default)]
    options: Value,
    #[serde(default)]
    provided_details: Value,
    metadata: Option<BTreeMap<String, String>>,
    client_reference_id: Option<String>,
    return_url: Option<String>,
    related_customer: Option<String>,
    related_customer_account: Option<String>,
    related_person: Option<Value>,
}

#[derive(Deserialize)]
struct Update {
    #[serde(rename = "type")]
    kind: Option<String>,
    options: Option<Value>,
    provided_details: Option<Value>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let read = read(&call.form, &CREATE)?;
    let expand = expand(&read, "", call)?;
    let asked: Create = typed(read)?;
    let kind = match (asked.kind, &asked.verification_flow) {
        (Some(kind), None) => kind,
        (None, Some(_)) => "verification_flow".to_owned(),
        (None, None) => return Err(Refusal::missing_parameter("type")),
        (Some(_), Some(_)) => {
            return Err(
                Refusal::invalid("type and verification_flow cannot be sent together.")
                    .code("parameters_exclusive")
                    .param("verification_flow")
                    .unexecuted(),
            );
        }
    };
    let return_url = asked.return_url.as_deref().map(web_address).transpose()?;
    let mut session = Session::new(kind, call.now_ms);
    session.options = options_of(&session.kind, &asked.options);
    session.provided_details = asked.provided_details;
    session.metadata = asked.metadata.unwrap_or_default();
    session.metadata.retain(|_, value| !value.is_empty());
    session.client_reference_id = asked.client_reference_id;
    session.return_url = return_url;
    session.related_customer = asked.related_customer;
    session.related_customer_account = asked.related_customer_account;
    session.related_person = asked.related_person;
    session.verification_flow = asked.verification_flow;
    session.issue_pass(call.now_ms);
    let id = session.id.clone();
    world.sessions.insert(session);
    world.emit(&id, "created", &call.cause, call.now_ms);
    shown(world, &id, &expand, call.now_ms)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let expand = only_expand(call)?;
    let session = world.sessions.find_mut(&call.id);
    let session = session.ok_or_else(|| missing(&call.id))?;
    if session.is_open() {
        session.issue_pass(call.now_ms);
    }
    shown(world, &call.id, &expand, call.now_ms)
}

pub(super) fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let read = read(&call.form, &UPDATE)?;
    let expand = expand(&read, "", call)?;
    let metadata = read.get("metadata").cloned();
    let asked: Update = typed(read)?;
    let session = world.sessions.find_mut(&call.id);
    let session = session.ok_or_else(|| missing(&call.id))?;
    let only_metadata =
        asked.kind.is_none() && asked.options.is_none() && asked.provided_details.is_none();
    if session.redaction.is_some() {
        return Err(stuck(Stuck::Redacted, &call.id, "updated"));
    }
    if session.status != Status::RequiresInput && !only_metadata {
        return Err(stuck(
            Stuck::WrongStatus(session.status),
            &call.id,
            "updated",
        ));
    }
    if let Some(kind) = asked.kind {
        session.options = options_of(&kind, &session.options);
        session.kind = kind;
    }
    if let Some(options) = asked.options {
        session.options = options_of(&session.kind, &options);
    }
    for (name, value) in asked
        .provided_details
        .iter()
        .filter_map(Value::as_object)
        .flatten()
    {
        session.provided_details[name] = value.clone();
    }
    merge_metadata(&mut session.metadata, metadata);
    shown(world, &call.id, &expand, call.now_ms)
}

pub(super) fn cancel(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    transition(world, call, World::cancel, "canceled")
}

pub(super) fn redact(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    transition(world, call, World::redact, "redacted")
}

fn transition(
    world: &mut World,
    call: &Call,
    change: fn(&mut World, &str, &Cause, i64) -> Result<(), Stuck>,
    done: &str,
) -> Result<Value, Refusal> {
    let expand = only_expand(call)?;
    change(world, &call.id, &call.cause, call.now_ms).map_err(|why| stuck(why, &call.id, done))?;
    shown(world, &call.id, &expand, call.now_ms)
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &LIST)?;
    let expand = expand(&asked, "data.", call)?;
    let page = page(&world.sessions, &asked, NOUN, |session| {
        let is = |name, found: Option<&str>| equals(&asked, name, found);
        is("status", Some(session.status.as_str()))
            && is(
                "client_reference_id",
                session.client_reference_id.as_deref(),
            )
            && is("related_customer", session.related_customer.as_deref())
            && is(
                "related_customer_account",
                session.related_customer_account.as_deref(),
            )
            && in_range(asked.get("created"), session.created)
    })?;
    Ok(page.render(URL, |session| {
        world.render_session(session, &expand, call.now_ms)
    }))
}

fn shown(world: &World, id: &str, expand: &Expand, now_ms: i64) -> Result<Value, Refusal> {
    let session = world.sessions.find(id).ok_or_else(|| missing(id))?;
    Ok(world.render_session(session, expand, now_ms))
}

fn only_expand(call: &Call) -> Result<Expand, Refusal> {
    expand(&read(&call.form, &ONLY_EXPAND)?, "", call)
}

fn expand(read: &Map<String, Value>, prefix: &str, call: &Call) -> Result<Expand, Refusal> {
    Expand::read(
        read.get("expand"),
        &expand::SESSION,
        prefix,
        call.restricted,
    )
}

/// The shapes have checked every member, so this fails only if a shape and a struct disagree.
pub(super) fn typed<T: serde::de::DeserializeOwned>(
    read: Map<String, Value>,
) -> Result<T, Refusal> {
    serde_json::from_value(Value::Object(read)).map_err(|_| Refusal::internal())
}

fn missing(id: &str) -> Refusal {
    Refusal::missing(NOUN, id, "session")
}

fn stuck(why: Stuck, id: &str, done: &str) -> Refusal {
    match why {
        Stuck::Missing | Stuck::UnknownCode => missing(id),
        Stuck::Redacted => Refusal::invalid(format!(
            "A redacted VerificationSession can be read, not {done}."
        )),
        Stuck::WrongStatus(status) => Refusal::invalid(format!(
            "A VerificationSession whose status is {} cannot be {done}.",
            status.as_str()
        )),
    }
}

/// What a session of this kind shows as its options.
fn options_of(kind: &str, options: &Value) -> Value {
    let document = options["document"].clone();
    match kind {
        "verification_flow" => Value::Null,
        "id_number" => json!({ "id_number": {} }),
        _ if document.is_null() => json!({ "document": {} }),
        _ => json!({ "document": document }),
    }
}

fn web_address(text: &str) -> Result<Url, Refusal> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| {
            Refusal::invalid("Not a valid URL: return_url is a whole http or https address.")
                .code("url_invalid")
                .param("return_url")
                .unexecuted()
        })
}

/// Posted values replace, empty ones delete, `metadata=` deletes all.
pub(super) fn merge_metadata(metadata: &mut BTreeMap<String, String>, change: Option<Value>) {
    match change {
        None => {}
        Some(Value::Object(change)) => {
            for (name, value) in change {
                match value.as_str() {
                    Some("") | None => metadata.remove(&name),
                    Some(value) => metadata.insert(name, value.to_owned()),
                };
            }
        }
        Some(_) => metadata.clear(),
    }
}
