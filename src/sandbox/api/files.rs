//! `/v1/files` and `/v1/file_links`: the images of a report, for thirty seconds at a time.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Call,
    paging::{AFTER, BEFORE, LIMIT, equals, in_range, page},
    sessions::merge_metadata,
};
use crate::sandbox::{
    expand::Expand,
    ids,
    refusal::Refusal,
    shape::{EXPAND, Field, Shape, TEXT, may, must, read},
    time::second,
    world::{Link, World},
};

/// Links to documents and selfies must not live longer.
const LONGEST_SECONDS: i64 = 30;
const SIZE: u64 = 1_024;
const FILE: [&str; 1] = ["file"];

static ONLY_EXPAND: [Field; 1] = [EXPAND];
static CREATE: [Field; 4] = [
    EXPAND,
    must("file", TEXT),
    may("expires_at", Shape::Number(0, i64::MAX)),
    may("metadata", Shape::Metadata),
];
static UPDATE: [Field; 3] = [
    EXPAND,
    may("expires_at", Shape::Unsettable(&TEXT)),
    may("metadata", Shape::Metadata),
];
static LIST: [Field; 7] = [
    EXPAND,
    LIMIT,
    AFTER,
    BEFORE,
    may("created", Shape::Range),
    may("expired", Shape::Flag),
    may("file", TEXT),
];

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &ONLY_EXPAND)?;
    Expand::read(asked.get("expand"), &[], "", call.restricted)?;
    file(world, call, &call.id)
}

pub(super) fn create_link(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &CREATE)?;
    let expand = expand(&asked, "", call)?;
    let id = asked
        .get("file")
        .and_then(Value::as_str)
        .unwrap_or_default();
    file(world, call, id)?;
    let expires_at = asked.get("expires_at").and_then(Value::as_i64);
    let link = Link {
        id: ids::id("link"),
        token: ids::random(40),
        created: second(call.now_ms),
        file: id.to_owned(),
        expires_at: Some(soon(expires_at, call.now_ms)?),
        metadata: metadata(BTreeMap::new(), asked.get("metadata")),
    };
    let shown = render(world, &link, &expand, call)?;
    world.links.insert(link);
    Ok(shown)
}

pub(super) fn retrieve_link(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let expand = expand(&read(&call.form, &ONLY_EXPAND)?, "", call)?;
    let link = world
        .links
        .find(&call.id)
        .ok_or_else(|| missing(&call.id))?;
    render(world, link, &expand, call)
}

pub(super) fn update_link(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &UPDATE)?;
    let expand = expand(&asked, "", call)?;
    let now = second(call.now_ms);
    let expires_at = match asked.get("expires_at").and_then(Value::as_str) {
        None => None,
        Some("now") => Some(now),
        Some(at) => Some(soon(at.parse().ok(), call.now_ms)?),
    };
    let link = world.links.find_mut(&call.id);
    let link = link.ok_or_else(|| missing(&call.id))?;
    link.expires_at = expires_at.or(link.expires_at);
    let before = serde_json::from_value(link.metadata.take()).unwrap_or_default();
    link.metadata = metadata(before, asked.get("metadata"));
    let link = world
        .links
        .find(&call.id)
        .ok_or_else(|| missing(&call.id))?;
    render(world, link, &expand, call)
}

pub(super) fn list_links(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &LIST)?;
    let expand = expand(&asked, "data.", call)?;
    let expired = asked.get("expired").and_then(Value::as_bool);
    let page = page(&world.links, &asked, "file link", |link| {
        equals(&asked, "file", Some(&link.file))
            && expired.is_none_or(|expired| expired == link.is_expired(call.now_ms))
            && in_range(asked.get("created"), link.created)
    })?;
    Ok(page.render("/v1/file_links", |link| {
        render(world, link, &expand, call).unwrap_or_default()
    }))
}

impl Link {
    pub(crate) fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at.is_some_and(|at| at <= second(now_ms))
    }
}

fn expand(asked: &Map<String, Value>, prefix: &str, call: &Call) -> Result<Expand, Refusal> {
    Expand::read(asked.get("expand"), &FILE, prefix, call.restricted)
}

/// A file of some report, for a key that may see it.
fn file(world: &World, call: &Call, id: &str) -> Result<Value, Refusal> {
    let found = world.reports.newest_first().find_map(|(_, report)| {
        let (_, purpose) = report.files.iter().find(|(file, _)| file == id)?;
        Some((report.created, *purpose))
    });
    let (created, purpose) = found.ok_or_else(|| Refusal::missing("file", id, "file"))?;
    if !call.restricted {
        let message = "This key may not read files of this purpose: a restricted key with the \
            permission to access sensitive verification results may.";
        return Err(Refusal::new(403, "invalid_request_error", message));
    }
    Ok(json!({
        "id": id,
        "object": "file",
        "created": created,
        "expires_at": null,
        "filename": "specimen.svg",
        "purpose": purpose,
        "size": SIZE,
        "title": null,
        "type": "svg",
        "url": null,
    }))
}

fn soon(expires_at: Option<i64>, now_ms: i64) -> Result<i64, Refusal> {
    let now = second(now_ms);
    let soon = expires_at.filter(|at| (now..=now + LONGEST_SECONDS).contains(at));
    soon.ok_or_else(|| {
        Refusal::invalid("A link to this file must expire within 30 seconds.").param("expires_at")
    })
}

fn metadata(mut before: BTreeMap<String, String>, change: Option<&Value>) -> Value {
    merge_metadata(&mut before, change.cloned());
    json!(before)
}

fn missing(id: &str) -> Refusal {
    Refusal::missing("file link", id, "link")
}

fn render(world: &World, link: &Link, expand: &Expand, call: &Call) -> Result<Value, Refusal> {
    let is_expired = link.is_expired(call.now_ms);
    let url = world.address(&format!("/links/{}", link.token));
    let shown_file = if expand.has("file") {
        file(world, call, &link.file)?
    } else {
        json!(link.file)
    };
    Ok(json!({
        "id": link.id,
        "object": "file_link",
        "created": link.created,
        "expired": is_expired,
        "expires_at": link.expires_at,
        "file": shown_file,
        "livemode": false,
        "metadata": link.metadata,
        "url": (!is_expired).then_some(url),
    }))
}
