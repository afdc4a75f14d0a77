//! `/v1/ephemeral_keys`: what a native client opens a session with.

use serde_json::{Value, json};

use super::Call;
use crate::sandbox::{
    expand::Expand,
    ids,
    refusal::Refusal,
    shape::{EXPAND, Field, TEXT, may, read},
    time::second,
    world::{EphemeralKey, World},
};

const LIVES_SECONDS: i64 = 3_600;
static CREATE: [Field; 5] = [
    EXPAND,
    may("customer", TEXT),
    may("issuing_card", TEXT),
    may("nonce", TEXT),
    may("verification_session", TEXT),
];
static ONLY_EXPAND: [Field; 1] = [EXPAND];

pub(super) fn create(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &CREATE)?;
    Expand::read(asked.get("expand"), &[], "", call.restricted)?;
    if call.version.is_none() {
        let message = "An ephemeral key needs the Stripe-Version header of who will use it.";
        return Err(Refusal::invalid(message).unexecuted());
    }
    let session = asked.get("verification_session").and_then(Value::as_str);
    let Some(session) = session else {
        return Err(Refusal::missing_parameter("verification_session"));
    };
    if world.sessions.find(session).is_none() {
        let mut refusal = Refusal::missing("verificationsession", session, "verification_session");
        refusal.status = 400;
        return Err(refusal);
    }
    let created = second(call.now_ms);
    let key = EphemeralKey {
        id: ids::id("ephkey"),
        created,
        expires: created + LIVES_SECONDS,
    };
    let mut shown = render(&key);
    shown["secret"] = json!(format!("ek_test_{}", ids::random(40)));
    world.ephemeral_keys.insert(key);
    Ok(shown)
}

pub(super) fn delete(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &ONLY_EXPAND)?;
    Expand::read(asked.get("expand"), &[], "", call.restricted)?;
    match world.ephemeral_keys.remove(&call.id) {
        Some(key) => Ok(render(&key)),
        None => Err(Refusal::missing("ephemeral key", &call.id, "key")),
    }
}

fn render(key: &EphemeralKey) -> Value {
    json!({
        "id": key.id,
        "object": "ephemeral_key",
        "created": key.created,
        "expires": key.expires,
        "livemode": false,
    })
}
