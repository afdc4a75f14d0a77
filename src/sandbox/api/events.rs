//! `/v1/events` and `/v2/core/events`.

use serde_json::{Value, json};

use super::{
    Call,
    paging::{AFTER, BEFORE, LIMIT, equals, in_range, page},
};
use crate::sandbox::{
    delivery::Delivery,
    events::Event,
    expand::Expand,
    refusal::Refusal,
    schedule::Job,
    shape::{EXPAND, Field, Shape, TEXT, may, must, read},
    time::second,
    world::World,
};

/// Stripe knows the last thirty days.
const KEPT_SECONDS: i64 = 30 * 86_400;

static ONLY_EXPAND: [Field; 1] = [EXPAND];
static LIST: [Field; 8] = [
    EXPAND,
    LIMIT,
    AFTER,
    BEFORE,
    may("created", Shape::Range),
    may("delivery_success", Shape::Flag),
    may("type", TEXT),
    may("types", Shape::List(&TEXT)),
];
static RETRY: [Field; 2] = [EXPAND, may("webhook_endpoint", TEXT)];
static LIST_THIN: [Field; 2] = [may("limit", Shape::Number(1, 100)), must("object_id", TEXT)];

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &ONLY_EXPAND)?;
    Expand::read(asked.get("expand"), &[], "", call.restricted)?;
    Ok(found(world, call, &call.id)?.render(None))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &LIST)?;
    Expand::read(asked.get("expand"), &[], "data.", call.restricted)?;
    let types = asked.get("types").and_then(Value::as_array);
    if types.is_some() && asked.contains_key("type") {
        return Err(Refusal::invalid("type and types cannot be sent together.")
            .code("parameters_exclusive")
            .param("types")
            .unexecuted());
    }
    let delivered = asked.get("delivery_success").and_then(Value::as_bool);
    let page = page(&world.events, &asked, "event", |event| {
        equals(&asked, "type", Some(&event.kind))
            && types.is_none_or(|types| types.iter().any(|kind| *kind == event.kind))
            && delivered.is_none_or(|delivered| delivered == event.waiting.is_empty())
            && in_range(asked.get("created"), event.created)
            && is_kept(event, call)
    })?;
    Ok(page.render("/v1/events", |event| event.render(None)))
}

/// Delivers an event once more, to one endpoint or to all that had it.
pub(super) fn retry(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &RETRY)?;
    let rendered = found(world, call, &call.id)?.render(None);
    let only = asked.get("webhook_endpoint").and_then(Value::as_str);
    let endpoints: Vec<String> = world
        .endpoints
        .newest_first()
        .map(|(_, endpoint)| endpoint.id.clone())
        .filter(|id| only.is_none_or(|only| only == id))
        .collect();
    for endpoint in endpoints {
        let delivery = Delivery {
            event: call.id.clone(),
            endpoint,
            attempt: 1,
            thin: false,
            second_secret: None,
        };
        world.schedule.add(call.now_ms, Job::Deliver(delivery));
    }
    Ok(rendered)
}

pub(super) fn retrieve_thin(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    read(&call.form, &[])?;
    let id = call.id.replacen("evt_test_", "evt_", 1);
    Ok(found(world, call, &id)?.render_thin())
}

/// The events of one object, newest first.
pub(super) fn list_thin(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &LIST_THIN)?;
    let page = page(&world.events, &asked, "event", |event| {
        equals(&asked, "object_id", Some(&event.session))
    })?;
    let data: Vec<Value> = page.items.iter().map(|event| event.render_thin()).collect();
    Ok(json!({ "data": data, "next_page_url": null, "previous_page_url": null }))
}

fn is_kept(event: &Event, call: &Call) -> bool {
    event.created > second(call.now_ms) - KEPT_SECONDS
}

fn found<'a>(world: &'a World, call: &Call, id: &str) -> Result<&'a Event, Refusal> {
    let event = world.events.find(id).filter(|event| is_kept(event, call));
    event.ok_or_else(|| Refusal::missing("event", id, "id"))
}
