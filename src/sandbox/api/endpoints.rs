//! `/v1/webhook_endpoints`, and the account they belong to.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{
    Call,
    paging::{AFTER, BEFORE, LIMIT, page},
    sessions::{merge_metadata, typed},
};
use crate::sandbox::{
    Webhook,
    delivery::is_loopback,
    ids,
    refusal::Refusal,
    shape::{EXPAND, Field, Shape, TEXT, may, must, read},
    time::second,
    world::{Endpoint, World},
};

const URL: &str = "/v1/webhook_endpoints";
const NOUN: &str = "webhook endpoint";
/// Stripe's own limit.
const MOST: usize = 16;
const EVENTS: Shape = Shape::List(&TEXT);

static CREATE: [Field; 8] = [
    EXPAND,
    must("url", TEXT),
    must("enabled_events", EVENTS),
    may("api_version", TEXT),
    may("connect", Shape::Flag),
    may("description", Shape::Unsettable(&TEXT)),
    may("metadata", Shape::Metadata),
    // Not Stripe's: lets a developer's webhook secret stay the same from run to run.
    may("secret", Shape::Text(255)),
];
static UPDATE: [Field; 6] = [
    EXPAND,
    may("url", TEXT),
    may("enabled_events", EVENTS),
    may("description", Shape::Unsettable(&TEXT)),
    may("disabled", Shape::Flag),
    may("metadata", Shape::Metadata),
];
static LIST: [Field; 4] = [EXPAND, LIMIT, AFTER, BEFORE];

#[derive(Deserialize)]
struct Asked {
    url: Option<String>,
    enabled_events: Option<Vec<String>>,
    api_version: Option<String>,
    description: Option<String>,
    disabled: Option<bool>,
    metadata: Option<BTreeMap<String, String>>,
    secret: Option<String>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked: Asked = typed(read(&call.form, &CREATE)?)?;
    if world.endpoints.len() >= MOST {
        let message = "There are 16 webhook endpoints already; delete one first.";
        return Err(Refusal::invalid(message));
    }
    let secret = asked
        .secret
        .unwrap_or_else(|| format!("whsec_{}", ids::random(32)));
    let endpoint = Endpoint {
        id: ids::id("we"),
        created: second(call.now_ms),
        url: local_url(asked.url.as_deref().unwrap_or_default())?,
        secret: secret.into(),
        enabled_events: events_of(asked.enabled_events)?,
        api_version: asked.api_version,
        description: asked.description,
        metadata: json!(asked.metadata.unwrap_or_default()),
        disabled: false,
    };
    let mut shown = render(&endpoint);
    shown["secret"] = json!(endpoint.secret.expose_secret());
    world.endpoints.insert(endpoint);
    Ok(shown)
}

/// Every type there is about a session, by name: `*` would leave the redactions out.
const SESSION_EVENTS: [&str; 6] = [
    "identity.verification_session.created",
    "identity.verification_session.processing",
    "identity.verification_session.verified",
    "identity.verification_session.requires_input",
    "identity.verification_session.canceled",
    "identity.verification_session.redacted",
];

/// Registers a receiver without a call.
pub(crate) fn register(world: &mut World, webhook: &Webhook, now_ms: i64) {
    world.endpoints.insert(Endpoint {
        id: ids::id("we"),
        created: second(now_ms),
        url: webhook.url.clone(),
        secret: webhook.secret.clone(),
        enabled_events: SESSION_EVENTS.map(str::to_owned).to_vec(),
        api_version: None,
        description: None,
        metadata: json!({}),
        disabled: false,
    });
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    read(&call.form, &[EXPAND])?;
    let endpoint = world.endpoints.find(&call.id);
    endpoint.map(render).ok_or_else(|| missing(&call.id))
}

pub(super) fn update(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let read = read(&call.form, &UPDATE)?;
    let metadata = read.get("metadata").cloned();
    let asked: Asked = typed(read)?;
    let url = asked.url.as_deref().map(local_url).transpose()?;
    let events = match asked.enabled_events {
        None => None,
        events => Some(events_of(events)?),
    };
    let endpoint = world.endpoints.find_mut(&call.id);
    let endpoint = endpoint.ok_or_else(|| missing(&call.id))?;
    endpoint.url = url.unwrap_or_else(|| endpoint.url.clone());
    endpoint.enabled_events = events.unwrap_or_else(|| endpoint.enabled_events.clone());
    endpoint.description = asked.description.or(endpoint.description.take());
    endpoint.disabled = asked.disabled.unwrap_or(endpoint.disabled);
    let mut merged: BTreeMap<String, String> =
        serde_json::from_value(endpoint.metadata.take()).unwrap_or_default();
    merge_metadata(&mut merged, metadata);
    endpoint.metadata = json!(merged);
    Ok(render(endpoint))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    read(&call.form, &[])?;
    match world.endpoints.remove(&call.id) {
        Some(endpoint) => {
            Ok(json!({ "id": endpoint.id, "object": "webhook_endpoint", "deleted": true }))
        }
        None => Err(missing(&call.id)),
    }
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &LIST)?;
    let page = page(&world.endpoints, &asked, NOUN, |_| true)?;
    Ok(page.render(URL, render))
}

/// The one account there is; command line tools ask for it.
pub(super) fn account(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    if !call.id.is_empty() && call.id != world.account {
        return Err(Refusal::missing("account", &call.id, "account"));
    }
    Ok(json!({
        "id": world.account,
        "object": "account",
        "charges_enabled": false,
        "payouts_enabled": false,
        "details_submitted": false,
        "country": "US",
        "default_currency": "usd",
        "type": "standard",
        "metadata": {},
        "settings": { "dashboard": { "display_name": "Verigate sandbox", "timezone": "Etc/UTC" } },
    }))
}

fn local_url(text: &str) -> Result<Url, Refusal> {
    let url = Url::parse(text).ok().filter(is_loopback);
    url.ok_or_else(|| {
        Refusal::invalid("Invalid URL: the sandbox delivers to this machine only, by loopback.")
            .code("url_invalid")
            .param("url")
            .unexecuted()
    })
}

fn events_of(events: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    match events.filter(|events| !events.is_empty()) {
        Some(events) => Ok(events),
        None => Err(Refusal::missing_parameter("enabled_events")),
    }
}

fn missing(id: &str) -> Refusal {
    Refusal::missing(NOUN, id, "webhook_endpoint")
}

fn render(endpoint: &Endpoint) -> Value {
    json!({
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": endpoint.api_version,
        "application": null,
        "created": endpoint.created,
        "description": endpoint.description,
        "enabled_events": endpoint.enabled_events,
        "livemode": false,
        "metadata": endpoint.metadata,
        "status": if endpoint.disabled { "disabled" } else { "enabled" },
        "url": endpoint.url.as_str(),
    })
}
